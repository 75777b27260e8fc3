package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// DeviceByCID returns the device whose session has the connection id. It
// answers from memory, for sessions written since the store opened or yielded
// by [Store.Sessions].
func (s *Store) DeviceByCID(c CID) (DeviceID, bool) { return s.dir.findCID(c) }

// Session returns the session of a device, brought up to its last progress. The
// error is [ErrNotFound] if it has none, [ErrRevoked] if the device lost the
// key of it.
func (s *Store) Session(ctx context.Context, id DeviceID) (*Session, error) {
	e, err := s.get(ctx, bucketSessions, id.String())
	if err != nil {
		return nil, fmt.Errorf("session of device %s: %w", id, err)
	}
	session, err := openSession(id, e, s.sealer)
	if err != nil {
		return nil, fmt.Errorf("session of device %s: %w", id, err)
	}
	if err := s.dir.mayHold(id, session.Key); err != nil {
		return nil, err
	}
	e, err = s.get(ctx, bucketProgress, id.String())
	switch {
	case errors.Is(err, ErrNotFound):
		return session, nil
	case err != nil:
		return nil, fmt.Errorf("progress of device %s: %w", id, err)
	}
	p, err := parseProgress(id, e.value)
	if err != nil {
		return nil, fmt.Errorf("progress of device %s: %w", id, err)
	}
	session.merge(p)
	return session, nil
}

// Sessions yields every stored session once, brought up to its last progress,
// and makes [Store.DeviceByCID] find it. It removes sessions of devices that do
// not exist and of keys that they no longer have; [Store.Report] counts them.
// It ends with an error if the storage fails.
//
// Call it once, before the first session is written. The Session is the
// caller's to keep.
func (s *Store) Sessions(ctx context.Context) iter.Seq2[*Session, error] {
	return func(yield func(*Session, error) bool) {
		err := s.eachSession(ctx, func(session *Session) error {
			if !yield(session, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(nil, err)
		}
	}
}

func (s *Store) eachSession(ctx context.Context, yield func(*Session) error) error {
	progress, err := s.loadProgress(ctx)
	if err != nil {
		return err
	}
	return s.backend.scan(ctx, bucketSessions, ">", func(e entry) error {
		id, err := ParseDeviceID(e.key)
		if err != nil {
			s.count(func(r *Report) { r.Unreadable++ })
			return nil
		}
		session, err := openSession(id, e, s.sealer)
		if err != nil {
			s.count(func(r *Report) { r.Unreadable++ })
			return nil
		}
		if !s.dir.setSession(id, session.CID, session.Key) {
			s.discard(id, session)
			return nil
		}
		session.merge(progress.of(id))
		return yield(session)
	})
}

// discard removes a session that nobody may use. It does not wait: if the
// removal is lost, the next load makes it again.
func (s *Store) discard(id DeviceID, session *Session) {
	s.count(func(r *Report) {
		if errors.Is(s.dir.mayHold(id, session.Key), ErrUnknownDevice) {
			r.Homeless++
		} else {
			r.StaleKeys++
		}
	})
	s.backend.write(write{
		bucket: bucketSessions, key: id.String(), delete: true,
		cas: true, expect: session.Revision,
	}, func(Revision, error) {})
}

// A progressTable holds the progress of all devices while sessions load, by
// their row in the directory.
type progressTable struct {
	dir  *directory
	rows []Progress
}

func (t progressTable) of(id DeviceID) Progress {
	if at, ok := t.dir.at(id); ok && int(at) < len(t.rows) {
		return t.rows[at]
	}
	return Progress{}
}

func (s *Store) loadProgress(ctx context.Context) (progressTable, error) {
	t := progressTable{dir: s.dir, rows: make([]Progress, s.dir.size())}
	err := s.backend.scan(ctx, bucketProgress, ">", func(e entry) error {
		id, err := ParseDeviceID(e.key)
		if err == nil {
			var p Progress
			if p, err = parseProgress(id, e.value); err == nil {
				s.keepProgress(t, p, e)
				return nil
			}
		}
		s.count(func(r *Report) { r.Unreadable++ })
		return nil
	})
	return t, err
}

// keepProgress enters p into the table, or removes it if it belongs to nobody.
func (s *Store) keepProgress(t progressTable, p Progress, e entry) {
	at, ok := s.dir.at(p.Device)
	switch {
	case !ok:
		s.count(func(r *Report) { r.Homeless++ })
		s.backend.write(write{
			bucket: bucketProgress, key: e.key, delete: true,
			cas: true, expect: e.revision,
		}, func(Revision, error) {})
	case int(at) < len(t.rows): // else a device that was made just now
		t.rows[at] = p
	}
}

func (s *Store) putSession(op *Op, done func(Revision, error)) {
	session := op.session
	if len(session.Record) > MaxSessionRecord {
		done(0, fmt.Errorf("session record of %d bytes: %w", len(session.Record), ErrTooLarge))
		return
	}
	if err := s.dir.mayHold(session.Device, session.Key); err != nil {
		done(0, err)
		return
	}
	id, cid, key := session.Device, session.CID, session.Key
	s.backend.write(op.write(bucketSessions, id.String(), session.seal(s.sealer)), func(r Revision, err error) {
		if err == nil && !s.dir.setSession(id, cid, key) {
			err = ErrRevoked // meanwhile; the record is removed at the next load
		}
		done(r, err)
	})
}
