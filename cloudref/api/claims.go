package api

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/lightssl"
)

var (
	errNoDevice = refuseList(http.StatusNotFound, "device not found")
	// errForeign: the command-line tool looks for "belongs to someone else".
	errForeign = refuseList(http.StatusForbidden, "That belongs to someone else.")
)

// claimDevice answers POST /v1/devices.
func (s *Server) claimDevice(q *request) (any, error) {
	if q.body.has("product_id") && !q.body.has("id") {
		return nil, sentence(http.StatusNotImplemented,
			"This cloud gives out no device ids: boards have theirs. Register the key of one with POST /v1/provisioning/ID.")
	}
	id, err := store.ParseDeviceID(q.body.text("id"))
	if err != nil {
		return nil, errNoDevice
	}
	changed := false
	_, err = s.update(q, id, func(d *store.Device) error {
		changed = d.Owner != q.account
		switch d.Owner {
		case store.AccountID{}:
			d.Owner, d.Claimed = q.account, s.c.Now().UTC()
			return nil
		case q.account:
			return nil
		}
		return errForeign
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, errNoDevice
	case errors.Is(err, errForeign) && q.body.flag("request_transfer"):
		// The real service writes to the owner, who may agree. Here the operator
		// moves devices, so the request has a number and no effect.
		return object{"ok": true, "transfer_id": randomHex(12)}, nil
	case err != nil:
		return nil, err
	}
	if changed {
		s.cloud.OwnerChanged(id)
	}
	return object{
		"ok": true, "user_id": q.account.String(), "id": id.String(), "connected": s.cloud.Status(id).Online,
		"deviceID": id.String(), "claimed": true, // as the types of the JavaScript client have it
	}, nil
}

// unclaimDevice answers DELETE /v1/devices/:id. The device stays known, so that
// it can be claimed again.
func (s *Server) unclaimDevice(q *request) (any, error) {
	d, err := s.device(q)
	if err != nil {
		return nil, err
	}
	_, err = s.update(q, d.ID, func(d *store.Device) error {
		if d.Owner != q.account {
			return unknownDevice(q.Method)
		}
		// What people wrote about it is not for whoever claims it next.
		d.Owner, d.Name, d.Notes = store.AccountID{}, "", ""
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.cloud.OwnerChanged(d.ID)
	return object{"ok": true}, nil
}

// claimCode answers POST /v1/device_claims: a code that a device is given over
// USB or Wi-Fi, and publishes when it connects.
func (s *Server) claimCode(q *request) (any, error) {
	code, err := s.cloud.ClaimCode(q.Context(), q.account, s.c.ClaimCodeLife)
	if err != nil {
		return nil, err
	}
	ids := []string{}
	for _, id := range s.store.DevicesOf(q.account) {
		ids = append(ids, id.String())
	}
	return object{"claim_code": code, "device_ids": ids}, nil
}

// provision answers POST /v1/provisioning/:id: it registers the public key of a
// device, and makes the caller its owner.
func (s *Server) provision(q *request) (any, error) {
	id, err := store.ParseDeviceID(q.PathValue("device"))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "A device id has 24 hexadecimal digits.")
	}
	key, err := devicePublicKey(q.body.text("publicKey"), q.body.text("algorithm"))
	if err != nil {
		return nil, err
	}
	changed, err := s.setKey(q, id, key, registeredPlatform(q.body.text("product_id")))
	var taken *store.KeyError
	switch {
	case errors.As(err, &taken):
		return nil, refuse(http.StatusBadRequest, "Another device has this key. Make a new one.")
	case err != nil:
		return nil, err
	}
	if changed {
		s.cloud.OwnerChanged(id)
	}
	return "Success!", nil
}

// setKey stores the key of a device, which may be new, its owner and what platform
// it is said to be of, zero for none. It reports whether the owner changed.
func (s *Server) setKey(q *request, id store.DeviceID, key any, platform uint16) (changed bool, err error) {
	change := func(d *store.Device) (err error) { // its own, not that of setKey
		switch d.Owner {
		case store.AccountID{}:
			d.Owner, d.Claimed, changed = q.account, s.c.Now().UTC(), true
		case q.account:
			changed = false
		default:
			return errForeign
		}
		if platform != 0 {
			d.Platform = platform
		}
		switch key := key.(type) {
		case *rsa.PublicKey:
			d.RSA = lightssl.AppendDeviceSPKI(nil, key)
		case *ecdsa.PublicKey:
			d.P256, err = x509.MarshalPKIXPublicKey(key)
		}
		return err
	}
	_, err = s.update(q, id, change)
	if !errors.Is(err, store.ErrNotFound) {
		return changed, err
	}
	d := &store.Device{ID: id, Created: s.c.Now().UTC()}
	if err := change(d); err != nil {
		return false, err
	}
	err = s.store.Do(q.Context(), store.PutDevice(d).If(0))
	if errors.Is(err, store.ErrConflict) {
		_, err = s.update(q, id, change) // someone else was faster
	}
	return changed, err
}

// devicePublicKey reads a key in PEM and checks that devices have such keys.
func devicePublicKey(text, algorithm string) (any, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, refuse(http.StatusBadRequest, "publicKey is not a public key in PEM.")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	}
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "publicKey is not a public key.")
	}
	switch key := key.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() == 1024 && key.E == 65537 && algorithm != "ecc" {
			return key, nil
		}
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() && algorithm != "rsa" {
			return key, nil
		}
	}
	return nil, refuse(http.StatusBadRequest, "Devices have keys of P-256 (algorithm ecc) or RSA with 1024 bits (algorithm rsa).")
}
