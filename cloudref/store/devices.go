package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// errStop ends a scan whose reader has had enough.
var errStop = errors.New("store: stop")

// Identify returns the device that has the key with the given fingerprint. It
// answers from memory.
func (s *Store) Identify(f Fingerprint) (Identity, bool) { return s.dir.findKey(f) }

// Identity returns what a connection must know of a device. It answers from
// memory.
func (s *Store) Identity(id DeviceID) (Identity, bool) { return s.dir.findID(id) }

// DevicesOf returns the ids of the devices that an account owns, the zero
// account those that nobody owns. It answers from memory.
func (s *Store) DevicesOf(a AccountID) []DeviceID { return s.dir.ownedBy(a) }

// Device returns the record of a device. The error is [ErrNotFound] if there is
// none.
func (s *Store) Device(ctx context.Context, id DeviceID) (*Device, error) {
	e, err := s.get(ctx, bucketDevices, id.String())
	if err != nil {
		return nil, fmt.Errorf("device %s: %w", id, err)
	}
	return parseDevice(id, e)
}

// ReadDevice reads the record of a device and calls done, under the rules of
// [Store.Write]. The error is [ErrNotFound] if there is none.
func (s *Store) ReadDevice(id DeviceID, done func(*Device, error)) {
	s.backend.read(bucketDevices, id.String(), func(e entry, err error) {
		if err != nil {
			done(nil, fmt.Errorf("device %s: %w", id, err))
			return
		}
		done(parseDevice(id, e))
	})
}

// Devices yields the records of all devices, oldest change first. It ends with
// an error if the storage fails, and skips records that do not decode.
func (s *Store) Devices(ctx context.Context) iter.Seq2[*Device, error] {
	return func(yield func(*Device, error) bool) {
		err := s.backend.scan(ctx, bucketDevices, ">", func(e entry) error {
			id, err := ParseDeviceID(e.key)
			if err != nil {
				return nil // counted when the store opened
			}
			d, err := parseDevice(id, e)
			if err != nil {
				return nil // as above
			}
			if !yield(d, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(nil, err)
		}
	}
}

// RemoveDevice forgets a device and everything stored of it: keys, session,
// application state, its place in a product, vitals. Its events stay.
func (s *Store) RemoveDevice(ctx context.Context, id DeviceID) error {
	if _, ok := s.dir.findID(id); !ok {
		return fmt.Errorf("device %s: %w", id, ErrNotFound)
	}
	// The device first: without it nothing else is of use to anyone, and what
	// a crash leaves is removed when the store opens again.
	w := write{bucket: bucketDevices, key: id.String(), delete: true}
	if _, err := s.put(ctx, w); err != nil {
		return fmt.Errorf("removing device %s: %w", id, err)
	}
	s.dir.remove(id)
	s.onRevoke(id)
	for _, b := range []bucket{bucketSessions, bucketProgress} {
		if _, err := s.put(ctx, write{bucket: b, key: id.String(), delete: true}); err != nil {
			return fmt.Errorf("removing the session of device %s: %w", id, err)
		}
	}
	if err := s.members.remove(ctx, id); err != nil {
		return err
	}
	if _, err := s.put(ctx, write{bucket: bucketVitals, key: id.String(), delete: true}); err != nil {
		return fmt.Errorf("removing the vitals of device %s: %w", id, err)
	}
	return s.removeAll(ctx, bucketApps, id.String()+".*")
}

// removeAll deletes the records that match a pattern.
func (s *Store) removeAll(ctx context.Context, b bucket, pattern string) error {
	var keys []string
	err := s.backend.scan(ctx, b, pattern, func(e entry) error {
		keys = append(keys, e.key)
		return nil
	})
	if err != nil {
		return err
	}
	for _, key := range keys {
		if _, err := s.put(ctx, write{bucket: b, key: key, delete: true}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) putDevice(op *Op, done func(Revision, error)) {
	h := op.device.head()
	if err := s.dir.hold(h); err != nil {
		done(0, err)
		return
	}
	// A session goes with its key. This tombstone comes before any session by
	// the new key, which is refused until the device is durable; and if it is
	// lost, the check at load removes the session.
	if s.dir.losesSession(h) {
		w := write{bucket: bucketSessions, key: h.id.String(), delete: true}
		s.backend.write(w, func(Revision, error) {})
		s.dir.dropSession(h.id)
	}
	value := op.device.append(make([]byte, 0, 512), h)
	s.backend.write(op.write(bucketDevices, h.id.String(), value), func(r Revision, err error) {
		if err != nil {
			r = 0
		}
		revoked := s.dir.release(h, r)
		done(r, err)
		if revoked {
			s.onRevoke(h.id)
		}
	})
}

// Registered returns the number of devices. It answers from memory.
func (s *Store) Registered() int { return s.dir.count() }
