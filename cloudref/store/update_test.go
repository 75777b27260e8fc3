package store

import (
	"errors"
	"sync"
	"testing"
)

// Changes made at the same time are all made.
func TestUpdateDevice(t *testing.T) {
	x := openTest(t, Config{Dir: t.TempDir()})
	x.want(nil, x.Do(x.ctx, PutDevice(device(1))))
	update := func(id DeviceID, change func(*Device) bool) error {
		done := make(chan error, 1)
		x.UpdateDevice(id, change, func(err error) { done <- err })
		return <-done
	}
	const writers = 6 // fewer than deviceTries: each loses to every other at most once
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			if err := update(deviceID(1), func(d *Device) bool { d.ProductVersion++; return true }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	d, err := x.Device(x.ctx, deviceID(1))
	x.want(nil, err)
	if d.ProductVersion != device(1).ProductVersion+writers {
		t.Errorf("%d of %d changes were made", d.ProductVersion-device(1).ProductVersion, writers)
	}
	revision := d.Revision
	x.want(nil, update(deviceID(1), func(*Device) bool { return false }))
	if d, err := x.Device(x.ctx, deviceID(1)); err != nil || d.Revision != revision {
		t.Errorf("nothing to change, but it was written: %v", err)
	}
	if err := update(deviceID(2), func(*Device) bool { return true }); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}
