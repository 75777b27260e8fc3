package cloudref

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
)

// Account returns the account with that user name, made if there is none.
func (c *Cloud) Account(ctx context.Context, username string) (store.AccountID, error) {
	return account(ctx, c.store, username)
}

// A Registration says who a device is: its id, its public keys and its owner.
type Registration struct {
	ID    store.DeviceID
	Name  string
	Owner store.AccountID
	// P256 is the key over UDP, RSA the key over TCP, SubjectPublicKeyInfo in
	// DER; nil where the device has none. A field that is nil leaves a key that is
	// registered already as it is.
	P256, RSA []byte
}

// Register makes devices known, or changes what is known of them: only a device
// whose key is registered gets in. It returns when all of them are durable.
func (c *Cloud) Register(ctx context.Context, list ...Registration) error {
	ops := make([]store.Op, 0, len(list))
	for _, r := range list {
		d, err := c.store.Device(ctx, r.ID)
		switch {
		case errors.Is(err, store.ErrNotFound):
			d = &store.Device{ID: r.ID, Created: time.Now()}
		case err != nil:
			return fmt.Errorf("cloud: registering device %s: %w", r.ID, err)
		}
		r.apply(d)
		ops = append(ops, store.PutDevice(d))
	}
	err := c.store.Do(ctx, ops...)
	var op *store.OpError
	if errors.As(err, &op) {
		return fmt.Errorf("cloud: registering device %s: %w", list[op.Index].ID, op.Err)
	}
	if err != nil && len(list) == 1 {
		return fmt.Errorf("cloud: registering device %s: %w", list[0].ID, err)
	}
	if err != nil {
		return fmt.Errorf("cloud: registering: %w", err)
	}
	for i := range list {
		c.node.Reroute(list[i].ID)
	}
	return nil
}

// OwnerChanged says that the store was told another owner of a device: from now
// on it hears that account's events.
func (c *Cloud) OwnerChanged(id store.DeviceID) {
	c.node.Reroute(id)
	c.resetLedgers(id) // the new owner has others
}

// ownerOf returns whose a device is, zero for nobody's.
func (c *Cloud) ownerOf(id store.DeviceID) store.AccountID {
	identity, _ := c.store.Identity(id)
	return identity.Owner
}

// Time returns the time of day at an Instant of this run.
func (c *Cloud) Time(at clock.Instant) time.Time { return c.o.Clock.Start().Add(time.Duration(at)) }

func (r *Registration) apply(d *store.Device) {
	if r.Name != "" {
		d.Name = r.Name
	}
	if r.Owner != (store.AccountID{}) && r.Owner != d.Owner {
		d.Owner, d.Claimed = r.Owner, time.Now()
	}
	if r.P256 != nil {
		d.P256 = r.P256
	}
	if r.RSA != nil {
		d.RSA = r.RSA
	}
}

// ClaimCode returns a code with which a device can be claimed for an account: the
// device publishes it when it connects. It can be used once, until it expires.
func (c *Cloud) ClaimCode(ctx context.Context, owner store.AccountID, valid time.Duration) (string, error) {
	code, err := store.NewClaimCode(rand.Reader)
	if err != nil {
		return "", err
	}
	return code, c.store.PutClaimCode(ctx, code, owner, time.Now().Add(valid))
}
