package cloudref

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
)

// A desk is where devices are registered and tokens made: over a socket of the running cloud,
// which holds the store, or on the store itself when no cloud runs. It speaks
// JSON over HTTP either way.
//
//	GET    /devices              []deskDevice
//	POST   /devices              deskDevice in, deskDevice out; ?rekey=1 allows another key
//	POST   /devices/import       importRequest in, importAnswer out
//	DELETE /devices/{id}
//	POST   /tokens               deskToken in, deskToken out
//	GET    /users                []deskUser
//	POST   /users                deskUser in, deskUser out
//	POST   /trust                deskTrust in, deskTrust out
//	GET    /report               doctor.Report; ?device=ID tells of that device too
type desk struct {
	store *store.Store
	node  *endpoint.Node // nil when no cloud runs
	cloud *Cloud         // nil when no cloud runs
	keys  string         // folder of keys that are registered when they appear
}

// A deskDevice is one device as the desk tells it.
type deskDevice struct {
	ID     string `json:"id"`
	Name   string `json:"name,omitempty"`
	Owner  string `json:"owner,omitempty"` // user name
	P256   []byte `json:"p256,omitempty"`  // SubjectPublicKeyInfo
	RSA    []byte `json:"rsa,omitempty"`
	Online bool   `json:"online"`
	Peer   string `json:"peer,omitempty"`
	System uint16 `json:"system,omitempty"` // module version of its Device OS

	// Platform is what it is registered as; zero, which is a Core's, says nothing.
	Platform uint16 `json:"platform,omitempty"`
}

// defaultOwner is the account of devices for which nobody says another.
const defaultOwner = "local"

// deskError is an answer that is not a success.
type deskError struct {
	Error string `json:"error"`
}

const deskBodyMax = 64 << 10

func (d *desk) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /devices", d.list)
	mux.HandleFunc("POST /devices", d.add)
	mux.HandleFunc("POST /devices/import", d.importDevices)
	mux.HandleFunc("DELETE /devices/{id}", d.remove)
	mux.HandleFunc("POST /tokens", d.issue)
	mux.HandleFunc("GET /users", d.users)
	mux.HandleFunc("POST /users", d.addUser)
	mux.HandleFunc("POST /trust", d.trust)
	mux.HandleFunc("GET /report", d.report)
	return mux
}

func answer(w http.ResponseWriter, v any, err error) {
	status := http.StatusOK
	if err != nil {
		status = http.StatusBadRequest
		if errors.Is(err, store.ErrNotFound) {
			status = http.StatusNotFound
		}
		v = deskError{err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		return // the client is gone
	}
}

func (d *desk) list(w http.ResponseWriter, r *http.Request) {
	devices := []deskDevice{}
	for record, err := range d.store.Devices(r.Context()) {
		if err != nil {
			answer(w, nil, err)
			return
		}
		devices = append(devices, d.tell(record))
	}
	slices.SortFunc(devices, func(a, b deskDevice) int { return strings.Compare(a.ID, b.ID) })
	answer(w, devices, nil)
}

func (d *desk) tell(record *store.Device) deskDevice {
	t := deskDevice{ID: record.ID.String(), Name: record.Name, P256: record.P256, RSA: record.RSA, Platform: record.Platform}
	if a, known := d.store.Account(record.Owner); known {
		t.Owner = a.Username
	}
	if d.node != nil {
		st, _ := d.node.Status(record.ID)
		t.Online, t.Peer, t.System = st.Online, st.Peer, st.Dialect.System
	}
	return t
}

func (d *desk) add(w http.ResponseWriter, r *http.Request) {
	var in deskDevice
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, deskBodyMax)).Decode(&in); err != nil {
		answer(w, nil, fmt.Errorf("not a device: %w", err))
		return
	}
	out, err := d.register(r.Context(), in, r.URL.Query().Has("rekey"))
	answer(w, out, err)
}

// register adds a device, or completes what is known of it. A key takes the place
// of another one only where that was asked for.
func (d *desk) register(ctx context.Context, in deskDevice, rekey bool) (deskDevice, error) {
	id, err := store.ParseDeviceID(in.ID)
	if err != nil {
		return in, fmt.Errorf("device %q: an id has 24 hexadecimal digits", in.ID)
	}
	record, err := d.store.Device(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound) && rekey:
		return in, fmt.Errorf("device %s is not registered: add it", id)
	case errors.Is(err, store.ErrNotFound):
		record = &store.Device{ID: id, Created: time.Now()}
	case err != nil:
		return in, fmt.Errorf("device %s: %w", id, err)
	}
	for _, key := range []struct{ old, young []byte }{{record.P256, in.P256}, {record.RSA, in.RSA}} {
		if key.young != nil && key.old != nil && !slices.Equal(key.old, key.young) && !rekey {
			return in, fmt.Errorf("device %s has another key: if it really has a new one, use rekey", id)
		}
	}
	owner, err := account(ctx, d.store, firstOf(in.Owner, d.tell(record).Owner, defaultOwner))
	if err != nil {
		return in, err
	}
	change := Registration{ID: id, Name: in.Name, Owner: owner, P256: in.P256, RSA: in.RSA}
	change.apply(record)
	if in.Platform != 0 {
		record.Platform = in.Platform
	}
	if err := d.store.Do(ctx, store.PutDevice(record)); err != nil {
		return in, fmt.Errorf("device %s: %w", id, err)
	}
	if d.node != nil {
		d.node.Reroute(id)
	}
	return d.tell(record), nil
}

func (d *desk) remove(w http.ResponseWriter, r *http.Request) {
	id, err := store.ParseDeviceID(r.PathValue("id"))
	if err != nil {
		answer(w, nil, fmt.Errorf("device %q: an id has 24 hexadecimal digits", r.PathValue("id")))
		return
	}
	// First the file: it would bring the device back.
	if err := setAside(d.keys, id); err != nil {
		answer(w, nil, fmt.Errorf("the key of device %s cannot be taken out of the folder: %w", id, err))
		return
	}
	err = d.store.RemoveDevice(r.Context(), id)
	if errors.Is(err, store.ErrNotFound) {
		err = fmt.Errorf("device %s is not registered: see muster cloud device list", id)
	}
	answer(w, struct{}{}, err)
}

func firstOf(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

// account returns the account with that user name, made if there is none.
func account(ctx context.Context, st *store.Store, username string) (store.AccountID, error) {
	if a, known := st.AccountByName(username); known {
		return a.ID, nil
	}
	a := &store.Account{ID: st.NamedAccount(username), Username: username, Created: time.Now()}
	if _, taken := st.Account(a.ID); taken { // under another name by now
		if _, err := rand.Read(a.ID[:]); err != nil {
			return a.ID, fmt.Errorf("cloud: making an account: %w", err)
		}
	}
	switch err := st.PutAccount(ctx, a); {
	case errors.Is(err, store.ErrNameTaken):
		// Another node has just made it, and this one has not heard of it yet.
		return accountOfOthers(ctx, st, username)
	case err != nil:
		return a.ID, fmt.Errorf("cloud: making an account: %w", err)
	}
	return a.ID, nil
}

// accountTime is how long an account that another node made may take to be heard of.
const accountTime = 10 * time.Second

// accountOfOthers waits for an account that another node has made.
func accountOfOthers(ctx context.Context, st *store.Store, username string) (store.AccountID, error) {
	ctx, cancel := context.WithTimeout(ctx, accountTime)
	defer cancel()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		if a, known := st.AccountByName(username); known {
			return a.ID, nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return store.AccountID{}, fmt.Errorf("cloud: making an account: %w", store.ErrNameTaken)
		}
	}
}
