package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
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
	imageAbout    = "$O." + imageBucket + ".M." // and the name in base64
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
	headerNode      = "Muster-Node"
	headerProduct   = "Muster-Product"
	headerTo        = "Muster-To"
	headerBy        = "Muster-By"
)

// A jet is the backend in JetStream, embedded or not.
type jet struct {
	conn     *nats.Conn
	js       jetstream.JetStream
	requests *requests
	objects  jetstream.ObjectStore
	sealer   *sealer

	embedded *embedded // nil with an external cluster
	datadir  *dataDir  // nil with an external cluster
	acked    acked

	closing sync.Once
}

func dialURL(u string, files []nats.Option) func(...nats.Option) (*nats.Conn, error) {
	return func(opts ...nats.Option) (*nats.Conn, error) { return nats.Connect(u, append(opts, files...)...) }
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
		nats.Timeout(requestTimeout), // a busy server takes its time, also one in this process
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

// away tells of a NATS cluster that is out of reach. One in this process never is.
func (c Config) away() func(bool) {
	if c.URL == "" {
		return nil
	}
	return func(is bool) {
		if is {
			c.Warn("storage: no NATS server of " + redact(c.URL) + " is in reach: nothing is acknowledged until one is; trying again")
			return
		}
		c.Warn("storage: a NATS server is in reach again")
	}
}

func (j *jet) prepare(ctx context.Context, c Config) (err error) {
	if j.requests, err = newRequests(j.conn, c.away()); err != nil {
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
	if err := j.needStream(ctx, callConfig(c)); err != nil {
		return fmt.Errorf("%s: %w", callStream, err)
	}
	if err := j.needImages(ctx, c); err != nil {
		return fmt.Errorf("%s: %w", imageBucket, err)
	}
	return j.checkFormat(ctx, c.Warn)
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
		Duplicates:  c.duplicates(),
	}
}

// duplicates is how long copies are told by their names. A cluster may not answer
// although it has stored something, and takes no time to start.
func (c Config) duplicates() time.Duration {
	if c.URL != "" {
		return 2 * time.Minute
	}
	return duplicateWindow
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
	if want.MaxAge != 0 && (have.MaxAge != want.MaxAge || have.MaxBytes != want.MaxBytes || have.Duplicates != want.Duplicates) {
		have.MaxAge, have.MaxBytes, have.Duplicates = want.MaxAge, want.MaxBytes, want.Duplicates
		_, err = j.js.UpdateStream(ctx, have)
	}
	return err
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
