package cloudref

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/muster/muster/cloudref/store"
)

// trustMax bounds how long unknown devices may be let in with one command: what
// stays open over night is open for everybody.
const trustMax = 24 * time.Hour

// A trust is a window of time in which unknown devices are registered with the
// key that they come with (trust on first use), and the account that gets them.
type trust struct {
	mu    sync.Mutex
	until time.Time
	owner store.AccountID
}

// TrustNew registers every device that connects from now on, for d, with the key
// that it has proven and the owner given, unless its id has another key already.
// A later call replaces an earlier one; zero ends it.
func (c *Cloud) TrustNew(owner store.AccountID, d time.Duration) error {
	if d < 0 || d > trustMax {
		return fmt.Errorf("cloud: unknown devices can be let in for up to %v, not for %v", trustMax, d)
	}
	c.trust.mu.Lock()
	defer c.trust.mu.Unlock()
	c.trust.until, c.trust.owner = time.Now().Add(d), owner
	return nil
}

func (t *trust) open() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Now().Before(t.until)
}

// left returns how much longer unknown devices are let in, 0 if they are not.
func (t *trust) left() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(0, time.Until(t.until))
}

func (t *trust) account() store.AccountID {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.owner
}

// adopt registers the key that a device has proven, if it has no other.
func (c *Cloud) adopt(id store.DeviceID, spki []byte, udp bool, done func(error)) {
	c.store.ReadDevice(id, func(record *store.Device, err error) {
		revision := store.Revision(0)
		switch {
		case errors.Is(err, store.ErrNotFound):
			record = &store.Device{ID: id, Created: time.Now(), Claimed: time.Now(), Owner: c.trust.account()}
		case err != nil:
			done(err)
			return
		case record.Flags&store.Denied != 0:
			done(fmt.Errorf("device %s is denied", id))
			return
		default:
			revision = record.Revision
		}
		key := &record.RSA
		if udp {
			key = &record.P256
		}
		if *key != nil && !slices.Equal(*key, spki) {
			done(fmt.Errorf("device %s is registered with another key: if it really has a new one, use muster cloud device rekey", id))
			return
		}
		*key = spki
		c.store.Write([]store.Op{store.PutDevice(record).If(revision)}, func(err error) {
			if err == nil {
				c.o.Log(fmt.Sprintf("device %s registered on first use; its key has the SHA-256 %s", id, store.FingerprintOf(spki)))
			}
			done(err)
		})
	})
}

// letIn opens the window from the command line.
func (c *Cloud) letIn(ctx context.Context, d time.Duration) error {
	owner, err := c.Account(ctx, defaultOwner)
	if err != nil {
		return err
	}
	return c.TrustNew(owner, d)
}
