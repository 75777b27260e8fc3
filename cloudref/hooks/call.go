package hooks

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/muster/muster/cloudref/store"
)

// callVersion is that of the encoding of a Call in the queue.
const callVersion = 1

// A Call is an event that a webhook is for.
type Call struct {
	ID        string          `json:"id"` // of the event
	Name      string          `json:"name"`
	Data      []byte          `json:"data,omitempty"`
	Text      string          `json:"text,omitempty"` // Data as people see it: a data URL for what is no text
	Published time.Time       `json:"published"`
	Device    store.DeviceID  `json:"device,omitzero"` // zero for the API
	Core      string          `json:"core"`            // who published it, in words
	Owner     store.AccountID `json:"owner,omitzero"`  // of the device
	Product   store.ProductID `json:"product,omitempty"`
	Version   uint16          `json:"version,omitempty"` // of the product's firmware
}

type callRecord struct {
	V int `json:"v"`
	Call
}

// Op returns the operation that puts the call into the store's queue.
func (c *Call) Op(hook store.DeviceID) store.Op {
	return store.PutCall(store.Call{Hook: hook, Body: encode(callRecord{callVersion, *c})})
}

func parseCall(b []byte) (*Call, error) {
	var r callRecord
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("hooks: a call that cannot be read: %w", err)
	}
	if r.V != callVersion {
		return nil, errors.New("hooks: a call of another version of this program")
	}
	return &r.Call, nil
}

// timeFormat has milliseconds, always three digits of them.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// defaults are the fields that every request has unless it wants none.
func (c *Call) defaults() map[string]any {
	return map[string]any{
		"event": c.Name, "data": c.Text, "published_at": c.Published.UTC().Format(timeFormat), "coreid": c.Core,
	}
}

// json is the data as JSON: itself, if it is JSON, else a string.
func (c *Call) json() string {
	if json.Valid(c.Data) {
		return string(c.Data)
	}
	return string(encode(c.Text))
}

// scope is what templates can name: the event, and what is in its data.
func (c *Call) scope() Scope {
	at := c.Published.UTC().Format(timeFormat)
	names := map[string]any{
		"PARTICLE_DEVICE_ID": c.Core, "PARTICLE_EVENT_NAME": c.Name, "PARTICLE_EVENT_VALUE": c.Text,
		"PARTICLE_PUBLISHED_AT": at, "PARTICLE_EVENT_ID": c.ID,
		"PARTICLE_EVENT_JSON": c.json(), "PARTICLE_EVENT_BASE64": base64.StdEncoding.EncodeToString(c.Data),
		"SPARK_CORE_ID": c.Core, "SPARK_EVENT_NAME": c.Name, "SPARK_EVENT_VALUE": c.Text, "SPARK_PUBLISHED_AT": at,
		"PRODUCT_ID": nil, "PRODUCT_VERSION": nil, "PRODUCT_USER_ID": nil,
	}
	if c.Product != 0 {
		names["PRODUCT_ID"], names["PRODUCT_VERSION"] = c.Product.String(), fmt.Sprint(c.Version)
	}
	if c.Owner != (store.AccountID{}) {
		names["PRODUCT_USER_ID"] = c.Owner.String()
	}
	if fields, ok := decode(c.Data); ok {
		// The event's own fields do not hide what the cloud says of it.
		return Scope{fields, names}
	}
	return Scope{names}
}
