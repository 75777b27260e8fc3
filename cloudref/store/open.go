package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Config says where a store keeps its state. Exactly one of Dir and URL is set.
type Config struct {
	// Dir is the data directory of a NATS server inside this process, which
	// opens no port. It is made if there is none; only one process can have it.
	Dir string

	// URL is that of a NATS cluster with JetStream, nats://host:port[,…]. The
	// stored state is made if there is none.
	URL string

	// Files are what its servers may ask for.
	Files ServerFiles

	// KeyFile holds the key that encrypts sessions, 32 bytes in hexadecimal,
	// readable by its owner only. Empty means session.key in Dir. All nodes of
	// a cluster need the same. With Dir it is made with the directory.
	KeyFile string

	// Replicas is how many servers of a cluster keep each record, when the
	// state is made: 1 to 5. Zero means 3 in a cluster and 1 otherwise.
	Replicas int

	// SyncAlways, for Dir, waits for the disk at every write, so that what was
	// acknowledged survives the loss of power. Without it, it survives the loss
	// of the process, and the disk lags behind by at most SyncInterval. It
	// costs nearly all throughput on disks without a protected cache.
	SyncAlways bool

	// EventAge and EventBytes bound the stream of events, whichever is reached
	// first. Zero means 24 hours and 1 GiB.
	EventAge   time.Duration
	EventBytes int64

	// FreeBytesMin, for Dir, is the space on the disk below which writes are
	// refused with ErrFull. Zero means 64 MiB, a negative one none: for tests of disks
	// that fail.
	FreeBytesMin int64

	// Warn receives what the server has to say, one line at a time, without
	// secrets. It may be nil, and may be called on any goroutine.
	Warn func(string)
}

// SyncInterval is how long written data may stay in the operating system's
// memory where [Config].SyncAlways is off.
const SyncInterval = 10 * time.Second

const (
	eventAgeDefault     = 24 * time.Hour
	eventBytesDefault   = 1 << 30
	freeBytesMinDefault = 64 << 20
)

// Open opens the store and checks its records. The error says what to do; it
// wraps [ErrLocked], [ErrForeign], [ErrNewer], [ErrKeyLost], [ErrWrongKey] or
// [ErrOpenKey]
// where one of them is the reason.
func Open(ctx context.Context, c Config) (*Store, error) {
	c = c.withDefaults()
	var (
		b   *jet
		err error
	)
	switch {
	case (c.Dir == "") == (c.URL == ""):
		return nil, errors.New("store: give either a data directory or the URL of a NATS cluster")
	case c.Dir != "":
		b, err = openDir(ctx, c)
	default:
		b, err = openURL(ctx, c)
	}
	if err != nil {
		return nil, err
	}
	s, err := newStore(ctx, b, b.sealer)
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return s, nil
}

func (c Config) withDefaults() Config {
	if c.EventAge == 0 {
		c.EventAge = eventAgeDefault
	}
	if c.EventBytes == 0 {
		c.EventBytes = eventBytesDefault
	}
	if c.FreeBytesMin == 0 {
		c.FreeBytesMin = freeBytesMinDefault
	}
	if c.Warn == nil {
		c.Warn = func(string) {}
	}
	return c
}

// openDir starts a server in the data directory.
func openDir(ctx context.Context, c Config) (*jet, error) {
	d, err := openDataDir(c.Dir, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	e, err := newEmbedded(d.jetstream(), c)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store: data directory %s: %w", c.Dir, err), d.close())
	}
	j, err := connect(ctx, c, e.dial, d.key)
	if err != nil {
		e.stop()
		if why := e.lastError(); why != "" {
			err = fmt.Errorf("%w: %s", err, why)
		}
		return nil, errors.Join(fmt.Errorf("store: data directory %s: %w", c.Dir, err), d.close())
	}
	if err := d.raise(); err != nil {
		j.conn.Close()
		e.stop()
		return nil, errors.Join(fmt.Errorf("store: data directory %s: %w", c.Dir, err), d.close())
	}
	j.embedded, j.datadir = e, d
	j.requests.why = e.lastError
	j.requests.watch(&space{dir: c.Dir, free: c.FreeBytesMin, broken: e.broken})
	e.healing.Go(j.heal)
	return j, nil
}
