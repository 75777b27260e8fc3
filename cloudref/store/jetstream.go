package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What is where in JetStream. Records lie in key-value buckets and images in an
// object store, laid out as NATS tools expect them.
const (
	bucketStream  = "KV_"
	bucketSubject = "$KV."
	eventStream   = "muster_events"
	eventSubject  = "muster.events."
	imageBucket   = "muster_images"
	imageStream   = "OBJ_" + imageBucket
	imageChunks   = "$O." + imageBucket + ".C."
)

// duplicateWindow is the shortest that JetStream knows.
const duplicateWindow = 100 * time.Millisecond

// tombstoneTTL is how long the mark of a deleted key stays, in seconds, for
// others who follow the bucket.
const tombstoneTTL = "3600"

// Headers of JetStream and its key-value buckets.
const (
	headerExpect    = "Nats-Expected-Last-Subject-Sequence"
	headerTTL       = "Nats-TTL"
	headerSequence  = "Nats-Sequence"
	headerOperation = "KV-Operation"
	operationDelete = "DEL"
)

// A jet is the backend in JetStream, embedded or not.
type jet struct {
	conn     *nats.Conn
	js       jetstream.JetStream
	requests *requests
	images_  jetstream.ObjectStore
	sealer   *sealer

	embedded *embedded // nil with an external cluster
	datadir  *dataDir  // nil with an external cluster

	closing sync.Once
}

func dialURL(u string) func(...nats.Option) (*nats.Conn, error) {
	return func(opts ...nats.Option) (*nats.Conn, error) { return nats.Connect(u, opts...) }
}

// redact takes the passwords out of a list of URLs.
func redact(urls string) string {
	list := strings.Split(urls, ",")
	for i, s := range list {
		u, err := url.Parse(strings.TrimSpace(s))
		switch {
		case err != nil:
			list[i] = "(unreadable URL)"
		case u.User != nil:
			u.User = url.User("…") // a name alone may be a token
			list[i] = u.Host
		}
	}
	return strings.Join(list, ",")
}

// connect connects, makes what is missing and checks that the key is right.
func connect(ctx context.Context, c Config, dial func(...nats.Option) (*nats.Conn, error), key [keyLen]byte) (*jet, error) {
	j := &jet{sealer: newSealer(key)}
	var err error
	j.conn, err = dial(
		nats.Name("muster store"),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250*time.Millisecond),
		// A write that cannot leave fails at once: its device will try again.
		nats.ReconnectBufSize(-1),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			c.Warn("storage: " + err.Error())
		}),
	)
	if err != nil {
		return nil, err
	}
	if err := j.prepare(ctx, c); err != nil {
		j.conn.Close()
		return nil, err
	}
	return j, nil
}

func (j *jet) prepare(ctx context.Context, c Config) (err error) {
	if j.requests, err = newRequests(j.conn); err != nil {
		return err
	}
	if j.js, err = jetstream.New(j.conn); err != nil {
		return err
	}
	if c.Replicas == 0 {
		c.Replicas = 1
		if c.URL != "" && j.conn.ConnectedClusterName() != "" {
			c.Replicas = 3
		}
	}
	for b := range numBuckets {
		if err := j.needStream(ctx, bucketConfig(b, c)); err != nil {
			return fmt.Errorf("%s: %w", b, err)
		}
	}
	if err := j.needStream(ctx, eventConfig(c)); err != nil {
		return fmt.Errorf("%s: %w", eventStream, err)
	}
	if err := j.needImages(ctx, c); err != nil {
		return fmt.Errorf("%s: %w", imageBucket, err)
	}
	return j.checkKey(ctx)
}

func bucketConfig(b bucket, c Config) jetstream.StreamConfig {
	s := jetstream.StreamConfig{
		Name:              bucketStream + b.String(),
		Description:       buckets[b].about,
		Subjects:          []string{bucketSubject + b.String() + ".>"},
		MaxMsgsPerSubject: 1,
		Storage:           jetstream.FileStorage,
		Replicas:          c.Replicas,
		Discard:           jetstream.DiscardNew,
		DenyDelete:        true,
		AllowRollup:       true,
		AllowDirect:       true,
		AllowMsgTTL:       true,
		// We send no message ids. The default of two minutes would make every
		// start read again what was written in the last two.
		Duplicates: duplicateWindow,
	}
	if buckets[b].compress {
		s.Compression = jetstream.S2Compression
	}
	return s
}

func eventConfig(c Config) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        eventStream,
		Description: "published events",
		Subjects:    []string{eventSubject + "*.*"},
		MaxAge:      c.EventAge,
		MaxBytes:    c.EventBytes,
		Storage:     jetstream.FileStorage,
		Replicas:    c.Replicas,
		Discard:     jetstream.DiscardOld,
		Compression: jetstream.S2Compression,
		AllowDirect: true,
		Duplicates:  duplicateWindow,
	}
}

// needStream makes a stream if there is none. One that is there keeps what an
// operator may have changed (replicas, placement), but for the age and size of
// events, which are the caller's.
func (j *jet) needStream(ctx context.Context, want jetstream.StreamConfig) error {
	s, err := j.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = j.js.CreateStream(ctx, want)
		return err
	}
	if err != nil {
		return err
	}
	have := s.CachedInfo().Config
	if have.MaxMsgsPerSubject != want.MaxMsgsPerSubject && want.MaxMsgsPerSubject != 0 ||
		len(have.Subjects) != 1 || have.Subjects[0] != want.Subjects[0] {
		return errors.New("a stream of this name exists that is not ours")
	}
	if want.MaxAge != 0 && (have.MaxAge != want.MaxAge || have.MaxBytes != want.MaxBytes) {
		have.MaxAge, have.MaxBytes = want.MaxAge, want.MaxBytes
		_, err = j.js.UpdateStream(ctx, have)
	}
	return err
}

// A format is the one record of bucketMeta.
type format struct {
	Version int    `json:"version"` // formatVersion
	KeyID   string `json:"key_id"`  // of the key that seals sessions
}

const formatKey = "format"

// checkKey makes sure that the sessions that are stored were encrypted with our
// key: with another they would all be lost, one by one and without a word.
func (j *jet) checkKey(ctx context.Context) error {
	ours, err := json.Marshal(format{Version: formatVersion, KeyID: j.sealer.keyID()})
	if err != nil {
		return err
	}
	s := &Store{backend: j}
	_, err = s.put(ctx, write{bucket: bucketMeta, key: formatKey, value: ours, cas: true})
	if !errors.Is(err, ErrConflict) {
		return err
	}
	e, err := s.get(ctx, bucketMeta, formatKey)
	if err != nil {
		return err
	}
	var f format
	if err := json.Unmarshal(e.value, &f); err != nil {
		return fmt.Errorf("the record of its format: %w", err)
	}
	switch {
	case f.Version > formatVersion:
		return fmt.Errorf("%w: its format is version %d, this program knows %d", ErrNewer, f.Version, formatVersion)
	case f.KeyID != j.sealer.keyID():
		return fmt.Errorf("%w: the sessions were encrypted with another key (%s, this is %s); put the right key file back",
			ErrKeyLost, f.KeyID, j.sealer.keyID())
	}
	return nil
}

func (j *jet) now() time.Time { return time.Now() }

// close waits for what is under way and releases everything.
func (j *jet) close() (err error) {
	j.closing.Do(func() {
		j.requests.close()
		j.conn.Close()
		if j.embedded != nil {
			j.embedded.stop()
			err = j.datadir.close()
		}
	})
	return err
}

func (j *jet) subject(b bucket, key string) string {
	return bucketSubject + b.String() + "." + key
}

func (j *jet) write(w write, done func(Revision, error)) {
	if s := j.requests.space; s != nil && !w.delete {
		if err := s.check(time.Now()); err != nil {
			done(0, err)
			return
		}
	}
	j.publish(w, func(r Revision, err error) {
		if w.cas && w.expect == 0 && errors.Is(err, ErrConflict) {
			j.writeOverTombstone(w, done)
			return
		}
		done(r, err)
	})
}

func (j *jet) publish(w write, done func(Revision, error)) {
	msg := &nats.Msg{Subject: j.subject(w.bucket, w.key), Data: w.value}
	if w.delete {
		msg.Data = nil
		msg.Header = nats.Header{headerOperation: {operationDelete}, headerTTL: {tombstoneTTL}}
	}
	if w.cas {
		if msg.Header == nil {
			msg.Header = nats.Header{}
		}
		msg.Header[headerExpect] = []string{strconv.FormatUint(uint64(w.expect), 10)}
	}
	j.requests.send(msg, func(m *nats.Msg, err error) {
		if err != nil {
			done(0, err)
			return
		}
		done(parseAck(m.Data))
	})
}

// writeOverTombstone repeats a write that asked for a new key: to JetStream a
// deleted key is not new.
func (j *jet) writeOverTombstone(w write, done func(Revision, error)) {
	j.last(w.bucket, w.key, func(m *nats.Msg, err error) {
		switch {
		case errors.Is(err, ErrNotFound): // the mark has just gone
		case err != nil:
			done(0, err)
			return
		case m.Header.Get(headerOperation) != operationDelete:
			done(0, ErrConflict)
			return
		default:
			w.expect = sequenceOf(m)
		}
		j.publish(w, done)
	})
}

// last gets the last message of a key, which may be the mark of its deletion.
func (j *jet) last(b bucket, key string, done func(*nats.Msg, error)) {
	api := "$JS.API.DIRECT.GET." + bucketStream + b.String() + "." + j.subject(b, key)
	j.requests.send(&nats.Msg{Subject: api}, func(m *nats.Msg, err error) {
		switch {
		case err != nil:
			done(nil, err)
		case m.Header.Get("Status") == "404":
			done(nil, ErrNotFound)
		case m.Header.Get("Status") != "":
			done(nil, fmt.Errorf("%w: %s %s", ErrUnavailable, m.Header.Get("Status"), m.Header.Get("Description")))
		default:
			done(m, nil)
		}
	})
}

func sequenceOf(m *nats.Msg) Revision {
	n, _ := strconv.ParseUint(m.Header.Get(headerSequence), 10, 64)
	return Revision(n)
}

func (j *jet) read(b bucket, key string, done func(entry, error)) {
	j.last(b, key, func(m *nats.Msg, err error) {
		if err == nil && m.Header.Get(headerOperation) == operationDelete {
			err = ErrNotFound
		}
		if err != nil {
			done(entry{}, err)
			return
		}
		done(entry{key: key, value: m.Data, revision: sequenceOf(m)}, nil)
	})
}
