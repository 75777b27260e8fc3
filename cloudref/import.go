package cloudref

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/muster/muster/cloudref/store"
)

// An importItem is one device of a file of many.
type importItem struct {
	ID    string `json:"id"`
	Key   []byte `json:"key"` // as ParseDeviceKey reads it; base64 in JSON
	Name  string `json:"name,omitempty"`
	Owner string `json:"owner,omitempty"` // user name
}

// An importRequest is what the desk takes at a time.
type importRequest struct {
	Owner   string       `json:"owner,omitempty"` // of items that name none
	Devices []importItem `json:"devices"`
}

// An importAnswer tells what came of it.
type importAnswer struct {
	Added   int             `json:"added"`
	Changed int             `json:"changed"` // known before, with less
	Known   int             `json:"known"`   // nothing to do
	Failed  []importFailure `json:"failed,omitempty"`
}

type importFailure struct {
	Index int    `json:"index"` // in the request
	Error string `json:"error"`
}

// Bounds of one request.
const (
	importBatch   = 1000
	importBodyMax = 4 << 20
)

// importDevices registers many devices at a time. One that fails keeps no other
// from getting in; all that are counted as added or changed are durable.
func (d *desk) importDevices(w http.ResponseWriter, r *http.Request) {
	var in importRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, importBodyMax)).Decode(&in); err != nil {
		answer(w, nil, fmt.Errorf("not a list of devices: %w", err))
		return
	}
	if len(in.Devices) > importBatch {
		answer(w, nil, fmt.Errorf("%d devices at a time: want up to %d", len(in.Devices), importBatch))
		return
	}
	i := importer{desk: d, ctx: r.Context(), owner: in.Owner, owners: make(map[string]store.AccountID)}
	for at := range in.Devices {
		if err := i.one(at, &in.Devices[at]); err != nil {
			i.fail(at, err)
		}
	}
	i.writes.Wait()
	slices.SortFunc(i.answer.Failed, func(a, b importFailure) int { return a.Index - b.Index })
	answer(w, i.answer, nil)
}

// An importer works on one request. Its writes are under way at the same time.
type importer struct {
	*desk
	ctx    context.Context
	owner  string
	owners map[string]store.AccountID
	writes sync.WaitGroup

	mu     sync.Mutex
	answer importAnswer
}

func (i *importer) fail(at int, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer.Failed = append(i.answer.Failed, importFailure{at, err.Error()})
}

func (i *importer) count(n *int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	*n++
}

// one begins to register a device.
func (i *importer) one(at int, in *importItem) error {
	id, err := store.ParseDeviceID(in.ID)
	if err != nil {
		return fmt.Errorf("device %q: an id has 24 hexadecimal digits", in.ID)
	}
	r := Registration{ID: id, Name: in.Name}
	if r.P256, r.RSA, err = ParseDeviceKey(in.Key); err != nil {
		return fmt.Errorf("device %s: %w", id, err)
	}
	if _, known := i.store.Identity(id); known {
		return i.known(at, in, r)
	}
	if r.Owner, err = i.account(firstOf(in.Owner, i.owner, defaultOwner)); err != nil {
		return err
	}
	record := &store.Device{ID: id, Created: time.Now()}
	r.apply(record)
	i.write(at, record, 0, &i.answer.Added)
	return nil
}

// known completes what is known of a device. A key takes the place of another one
// by rekey only.
func (i *importer) known(at int, in *importItem, r Registration) error {
	record, err := i.store.Device(i.ctx, r.ID)
	if err != nil {
		return err
	}
	for _, key := range []struct{ old, young []byte }{{record.P256, r.P256}, {record.RSA, r.RSA}} {
		if key.young != nil && key.old != nil && !slices.Equal(key.old, key.young) {
			return fmt.Errorf("device %s has another key: if it really has a new one, use rekey", r.ID)
		}
	}
	if owner := firstOf(in.Owner, i.owner); owner != "" {
		if r.Owner, err = i.account(owner); err != nil {
			return err
		}
	}
	before := *record
	r.apply(record)
	if before.Name == record.Name && before.Owner == record.Owner &&
		slices.Equal(before.P256, record.P256) && slices.Equal(before.RSA, record.RSA) {
		i.count(&i.answer.Known)
		return nil
	}
	i.write(at, record, record.Revision, &i.answer.Changed)
	return nil
}

// write stores a record, unless somebody else did since, and counts it when it is
// durable.
func (i *importer) write(at int, record *store.Device, since store.Revision, counter *int) {
	i.writes.Add(1)
	id := record.ID
	i.store.Write([]store.Op{store.PutDevice(record).If(since)}, func(err error) {
		defer i.writes.Done()
		var one *store.OpError
		if errors.As(err, &one) {
			err = one.Err
		}
		switch {
		case errors.Is(err, store.ErrConflict):
			i.fail(at, fmt.Errorf("device %s is being changed by somebody else: import it again", id))
		case err != nil:
			i.fail(at, fmt.Errorf("device %s: %w", id, err))
		default:
			i.count(counter)
			if i.node != nil {
				i.node.Reroute(id)
			}
		}
	})
}

func (i *importer) account(name string) (store.AccountID, error) {
	if id, known := i.owners[name]; known {
		return id, nil
	}
	id, err := account(i.ctx, i.store, name)
	if err == nil {
		i.owners[name] = id
	}
	return id, err
}
