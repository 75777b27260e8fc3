package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Bucket is the key-value bucket in which hosts agree.
const Bucket = "muster-rig-leases"

// answerTime bounds how long the server may take to answer.
const answerTime = 10 * time.Second

// A Remote is where hosts agree: a key-value bucket of NATS JetStream. An entry
// is a lease; it is valid for its TTL from when the server stored it, on the
// server's clock, so the clocks of hosts do not matter. That of a process which
// was killed ends at once for its own host, which knows it by the lock file.
type Remote struct {
	conn *nats.Conn
	kv   jetstream.KeyValue
}

// Dial connects to the server at a URL, such as nats://bench:4222.
func Dial(ctx context.Context, url string) (*Remote, error) {
	conn, err := nats.Connect(url, nats.Name("muster rig"), nats.MaxReconnects(-1), nats.Timeout(answerTime))
	if err != nil {
		return nil, fmt.Errorf("leases among hosts: connecting to %s: %w: start the server, or unset $MUSTER_RIG_NATS on a host that shares its boards with nobody", redactURL(url), err)
	}
	r, err := NewRemote(ctx, conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return r, nil
}

// NewRemote uses a connection, which Close closes.
func NewRemote(ctx context.Context, conn *nats.Conn) (*Remote, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, fmt.Errorf("leases among hosts: %w", err)
	}
	kv, err := js.KeyValue(ctx, Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: Bucket, Description: "who has which board", History: 1})
		if errors.Is(err, jetstream.ErrBucketExists) {
			kv, err = js.KeyValue(ctx, Bucket) // another host was first
		}
	}
	if err != nil {
		return nil, fmt.Errorf("leases among hosts: the bucket %s (is JetStream on?): %w", Bucket, err)
	}
	return &Remote{conn, kv}, nil
}

// Close closes the connection.
func (r *Remote) Close() { r.conn.Close() }

// clockKey is written to learn the server's time.
const clockKey = "clock"

// clock returns a recent time of the server.
func (r *Remote) clock(ctx context.Context) (time.Time, error) {
	if _, err := r.kv.Put(ctx, clockKey, nil); err != nil {
		return time.Time{}, fmt.Errorf("leases among hosts: %w", err)
	}
	e, err := r.kv.Get(ctx, clockKey)
	if err != nil {
		return time.Time{}, fmt.Errorf("leases among hosts: %w", err)
	}
	return e.Created(), nil
}

func entryKey(key string) string { return "board." + name(key) }

// valid returns the lease of an entry and whether it holds still.
func (r *Remote) valid(ctx context.Context, e jetstream.KeyValueEntry, desk string) (h Holder, ok bool, err error) {
	if json.Unmarshal(e.Value(), &h) != nil {
		return h, false, nil
	}
	now, err := r.clock(ctx)
	if err != nil {
		return h, false, err
	}
	if h.Kept && h.Bound != 0 && h.Host == host() && startOf(h.Bound) != h.BoundSince {
		return h, false, nil
	}
	// Who asks has found the lock of this host free.
	if !h.Kept && h.Desk == desk && desk != "" {
		return h, false, nil // its process was killed
	}
	return h, now.Sub(e.Created()) <= h.TTL, nil
}

// acquire enters a lease, or adopts what the same owner keeps.
func (r *Remote) acquire(ctx context.Context, l *Lease) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	value, err := json.Marshal(l.holder)
	if err != nil {
		return err
	}
	key := entryKey(l.request.Key)
	const tries = 5
	for range tries {
		l.remote, err = r.kv.Create(ctx, key, value)
		if err == nil {
			return nil
		}
		if !errors.Is(err, jetstream.ErrKeyExists) {
			return fmt.Errorf("leases among hosts: %w", err)
		}
		e, err := r.kv.Get(ctx, key)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			continue // released meanwhile
		}
		if err != nil {
			return fmt.Errorf("leases among hosts: %w", err)
		}
		h, ok, err := r.valid(ctx, e, l.holder.Desk)
		if err != nil {
			return err
		}
		if ok && h.Kept && h.Owner == l.holder.Owner && !l.request.Keep {
			l.under, l.holder = true, h
			return nil
		}
		if ok && (h.Owner != l.holder.Owner || !h.Kept) && h.Token != l.holder.Token {
			return &HeldError{l.request.Board, h}
		}
		if l.remote, err = r.kv.Update(ctx, key, value, e.Revision()); err == nil {
			return nil
		}
	}
	return fmt.Errorf("leases among hosts: board %s changes hands too fast: try again", l.request.Board)
}

// renew gives a sign of life. taken says that somebody else has the board now.
func (r *Remote) renew(l *Lease, h Holder) (taken bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), min(answerTime, l.request.TTL/3))
	defer cancel()
	value, err := json.Marshal(h)
	if err != nil {
		return false, err
	}
	key := entryKey(l.request.Key)
	revision, err := r.kv.Update(ctx, key, value, l.remote)
	if err == nil {
		l.remote = revision
		return false, nil
	}
	// An answer that was lost leaves an entry of ours behind.
	e, get := r.kv.Get(ctx, key)
	var now Holder
	switch {
	case errors.Is(get, jetstream.ErrKeyNotFound):
		return true, errors.New("somebody released it")
	case get != nil:
		return false, err
	case json.Unmarshal(e.Value(), &now) == nil && now.Token == h.Token:
		l.remote = e.Revision()
		return false, err
	}
	return true, fmt.Errorf("taken by %s", now)
}

// release takes the lease out.
func (r *Remote) release(l *Lease) error {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	err := r.kv.Delete(ctx, entryKey(l.request.Key), jetstream.LastRevision(l.remote))
	if err != nil && l.Err() == nil {
		return fmt.Errorf("board %s is released here; other hosts see it in %s: %w", l.request.Board, l.request.TTL, err)
	}
	return nil
}

// unkeep takes a kept lease out.
func (r *Remote) unkeep(ctx context.Context, key string, h Holder) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	e, err := r.kv.Get(ctx, entryKey(key))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("leases among hosts: %w", err)
	}
	var now Holder
	if json.Unmarshal(e.Value(), &now) == nil && now.Token != h.Token {
		return nil // another's by now
	}
	if err := r.kv.Delete(ctx, entryKey(key), jetstream.LastRevision(e.Revision())); err != nil {
		return fmt.Errorf("leases among hosts: %w", err)
	}
	return nil
}

// holder returns who has a board, on any host.
func (r *Remote) holder(ctx context.Context, key, desk string) (h Holder, held bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	e, err := r.kv.Get(ctx, entryKey(key))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return h, false, nil
	}
	if err != nil {
		return h, false, fmt.Errorf("leases among hosts: %w", err)
	}
	return r.valid(ctx, e, desk)
}

// redactURL leaves out what may be a password.
func redactURL(url string) string {
	for i := len(url) - 1; i >= 0; i-- {
		if url[i] == '@' {
			return "…" + url[i:]
		}
	}
	return url
}
