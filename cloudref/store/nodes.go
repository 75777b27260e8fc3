package store

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// What a store needs where several processes share one state: it follows the
// changes of the others, so that what is held in memory stays right.

// OnChange sets the function that is called after another process changed the
// record of a device. It must not block. Call it before the store is used.
func (s *Store) OnChange(f func(DeviceID)) { s.onChange = f }

// Conn returns the connection to the NATS cluster, nil where the state is this
// process's own.
func (s *Store) Conn() *nats.Conn {
	if j, is := s.backend.(*jet); is && j.embedded == nil {
		return j.conn
	}
	return nil
}

// watch follows a bucket until the store is closed.
func (s *Store) watch(ctx context.Context, b bucket, learn func(e entry, deleted bool)) error {
	stop, err := s.backend.watch(ctx, b, learn)
	s.stops = append(s.stops, stop)
	return err
}

// learnDevice takes in a device as somebody wrote it.
func (s *Store) learnDevice(e entry, deleted bool) {
	id, err := ParseDeviceID(e.key)
	if err != nil {
		return
	}
	if deleted {
		if s.dir.forget(id, e.revision) {
			s.onRevoke(id)
		}
		return
	}
	h, err := parseHead(id, e.value)
	if err != nil {
		s.count(func(r *Report) { r.Unreadable++ })
		return
	}
	revoked, changed := s.dir.learn(h, e.revision)
	switch {
	case revoked:
		s.onRevoke(id)
	case changed:
		s.onChange(id)
	}
}

// forget removes a device that was removed by somebody else, unless it was written
// again since.
func (d *directory) forget(id DeviceID, at Revision) bool {
	d.mu.RLock()
	row, ok := d.byID[id]
	older := ok && d.rows[row].at < at
	d.mu.RUnlock()
	if older {
		d.remove(id)
	}
	return older
}

// learnAccount takes in an account as somebody wrote it.
func (s *Store) learnAccount(e entry, deleted bool) {
	id, err := ParseAccountID(e.key)
	if err != nil {
		return
	}
	var a *Account
	if !deleted {
		if a, err = parseAccount(e); err != nil {
			s.count(func(r *Report) { r.Unreadable++ })
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.accounts[id]
	if old != nil && old.Revision >= e.revision {
		return
	}
	if old != nil && s.names[old.name()] == id {
		delete(s.names, old.name())
	}
	delete(s.accounts, id)
	if a == nil {
		return
	}
	s.accounts[id] = a
	// Of two that were made with one name at the same moment, by two nodes, the one
	// with the smaller id has it.
	if other, taken := s.names[a.name()]; !taken || id.String() < other.String() {
		s.names[a.name()] = id
	}
}

// NamedAccount returns the id that an account of that name gets if it is made by
// several nodes at once, so that it is one account.
func (s *Store) NamedAccount(name string) AccountID {
	secret := []byte("muster, a store in memory")
	if s.sealer != nil {
		secret = s.sealer.master[:]
	}
	b, err := hkdf.Key(sha256.New, secret, nil, "muster account "+name, len(AccountID{}))
	if err != nil {
		panic(fmt.Sprintf("store: HKDF: %v", err))
	}
	return AccountID(b)
}

// Agree stores a value under a name if there is none yet, and returns the one that
// there is: all nodes get the same.
func (s *Store) Agree(ctx context.Context, name string, value []byte) ([]byte, error) {
	_, err := s.put(ctx, write{bucket: bucketMeta, key: name, value: value, cas: true})
	if !errors.Is(err, ErrConflict) {
		return value, err
	}
	type result struct {
		entry entry
		err   error
	}
	got := make(chan result, 1)
	s.backend.latest(bucketMeta, name, func(e entry, err error) { got <- result{e, err} })
	select {
	case r := <-got:
		return r.entry.value, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ReadSession reads the session of a device as it is stored last, by whatever
// node, brought up to its last progress, and calls done under the rules of
// [Store.Write]. The errors are those of [Store.Session].
func (s *Store) ReadSession(id DeviceID, done func(*Session, error)) {
	s.backend.latest(bucketSessions, id.String(), func(e entry, err error) {
		var session *Session
		if err == nil {
			session, err = openSession(id, e, s.sealer)
		}
		if err == nil {
			err = s.dir.mayHold(id, session.Key)
		}
		if err != nil {
			done(nil, fmt.Errorf("session of device %s: %w", id, err))
			return
		}
		s.backend.latest(bucketProgress, id.String(), func(e entry, err error) {
			var p Progress
			if err == nil {
				p, err = parseProgress(id, e.value)
			}
			switch {
			case errors.Is(err, ErrNotFound):
				done(session, nil)
			case err != nil:
				done(nil, fmt.Errorf("progress of device %s: %w", id, err))
			default:
				session.merge(p)
				session.Progress = e.revision
				done(session, nil)
			}
		})
	})
}

// ReadParts reads parts of the application state of a device as they are stored
// last, by whatever node, and calls done under the rules of [Store.Write] with the
// value of each, nil for one that there is not.
func (s *Store) ReadParts(id DeviceID, parts []Part, done func([][]byte, error)) {
	s.readParts(id, parts, nil, done)
}

func (s *Store) readParts(id DeviceID, parts []Part, read [][]byte, done func([][]byte, error)) {
	if len(read) == len(parts) {
		done(read, nil)
		return
	}
	s.backend.latest(bucketApps, appKey(id, parts[len(read)]), func(e entry, err error) {
		var value []byte
		if err == nil {
			var state AppState
			state, err = parseApp(e)
			value = state.Value
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			done(nil, fmt.Errorf("application state of device %s: %w", id, err))
			return
		}
		s.readParts(id, parts, append(read, value), done)
	})
}

// FollowSessions calls fn with every session that is stored, and then with every
// one that any node stores or drops, until the store is closed: with a nil Session
// where there is none any more. It returns when those that were there are told. In a
// store that no other process writes to it tells of nothing.
func (s *Store) FollowSessions(ctx context.Context, fn func(DeviceID, *Session, Revision)) error {
	return s.watch(ctx, bucketSessions, func(e entry, deleted bool) {
		id, err := ParseDeviceID(e.key)
		if err != nil {
			return
		}
		if deleted {
			s.dir.dropSession(id)
			fn(id, nil, e.revision)
			return
		}
		session, err := openSession(id, e, s.sealer)
		if err != nil {
			s.count(func(r *Report) { r.Unreadable++ })
			return
		}
		s.dir.setSession(id, session.CID, session.Key)
		fn(id, session, e.revision)
	})
}
