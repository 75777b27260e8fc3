package store

import (
	"errors"
	"fmt"
)

// deviceTries bounds how often a change of a device is repeated because someone
// else changed it at the same time.
const deviceTries = 8

// UpdateDevice reads the record of a device, lets change change it, and writes it
// back, again and again if someone else was faster. change returns whether there
// is something to write. done is called under the rules of [Store.Write]; the error
// is [ErrNotFound] if there is no such device.
func (s *Store) UpdateDevice(id DeviceID, change func(*Device) bool, done func(error)) {
	s.updateDevice(id, change, deviceTries, done)
}

func (s *Store) updateDevice(id DeviceID, change func(*Device) bool, tries int, done func(error)) {
	s.ReadDevice(id, func(d *Device, err error) {
		if err != nil || !change(d) {
			done(err)
			return
		}
		op := PutDevice(d).If(d.Revision)
		s.putDevice(&op, func(_ Revision, err error) {
			switch {
			case errors.Is(err, ErrConflict) && tries > 1:
				s.updateDevice(id, change, tries-1, done)
			case err != nil:
				done(fmt.Errorf("device %s: %w", id, err))
			default:
				done(nil)
			}
		})
	})
}
