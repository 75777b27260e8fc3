package evidence

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/muster/muster/harness/capture"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/timeline"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/transport"
)

// Default limits.
const (
	// DefaultLimit is how large a bundle gets, about, in bytes.
	DefaultLimit = 64 << 20
	// DefaultSpool is how many bytes of packets are kept while a run goes on.
	DefaultSpool = 512 << 20
	// partiesMax is how many addresses are told apart.
	partiesMax = 1 << 17
)

// A Config configures a Collector.
type Config struct {
	// Dir is the folder of the bundle. It is made, and what an earlier run left in
	// it is removed.
	Dir string
	// Start is the wall-clock time of the instant 0.
	Start time.Time
	// Limit is how large the bundle may become, in bytes, about: what findings are
	// about is in it in any case. 0 means DefaultLimit.
	Limit int64
	// Spool bounds the packets that are kept on disk while the run goes on, in
	// bytes; 0 means DefaultSpool.
	Spool int64
	// Secrets puts the secrets of sessions and decrypted data into the bundle.
	Secrets bool
	// All keeps the packets of all virtual networks, not only of those whose checks
	// did not pass.
	All bool
}

// A Collector keeps what a run shows. It is safe for concurrent use. The methods of
// a nil Collector do nothing, so that whoever is observed need not ask.
type Collector struct {
	cfg      Config
	timeline *timeline.Log

	mu      sync.Mutex
	spool   *spool
	sizes   map[netip.AddrPort]int64 // of packets on disk, by the device's address
	packets []*trace.Packet
	secrets []capture.Secrets
	logs    map[string]*logFile
	virtual virtuals
}

// New returns a Collector that has made an empty folder for the bundle.
func New(cfg Config) (*Collector, error) {
	if cfg.Limit <= 0 {
		cfg.Limit = DefaultLimit
	}
	if cfg.Spool <= 0 {
		cfg.Spool = DefaultSpool
	}
	if err := clear(cfg.Dir); err != nil {
		return nil, err
	}
	s, err := newSpool(cfg.Dir, cfg.Spool)
	if err != nil {
		return nil, err
	}
	return &Collector{
		cfg: cfg, spool: s, timeline: timeline.New(cfg.Start, 0),
		sizes: make(map[netip.AddrPort]int64), logs: make(map[string]*logFile),
	}, nil
}

// clear makes a folder, or empties that of an earlier bundle. It refuses to empty
// anything else.
func clear(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return fmt.Errorf("evidence: %w", err)
	case len(entries) > 0:
		if _, err := os.Stat(filepath.Join(dir, manifestFile)); err != nil {
			return fmt.Errorf("evidence: %s is not empty and holds no bundle: choose another folder, or remove it", dir)
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("evidence: removing the bundle of an earlier run: %w", err)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("evidence: making the folder of the bundle: %w", err)
	}
	// Whoever breaks off now leaves a folder that the next run may empty.
	if err := os.WriteFile(filepath.Join(dir, manifestFile), []byte("{}\n"), 0o644); err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	return nil
}

// Began says at which wall-clock time the instant 0 of the run was. Before that it is
// Config.Start.
func (c *Collector) Began(start time.Time) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cfg.Start = start
	c.timeline.Began(start)
}

// Timeline returns the timeline of the run, nil of a nil Collector.
func (c *Collector) Timeline() *timeline.Log {
	if c == nil {
		return nil
	}
	return c.timeline
}

// Sight takes a sighting at a device, or at what plays one.
func (c *Collector) Sight(s transport.Sighting) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.spool.size
	c.spool.add(s)
	if _, known := c.sizes[s.Local]; known || len(c.sizes) < partiesMax {
		c.sizes[s.Local] += c.spool.size - before
	}
}

// Packet takes a decoded packet, which must not change any more.
func (c *Collector) Packet(p *trace.Packet) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.packets = append(c.packets, p)
}

// Secrets takes the secrets of a session.
func (c *Collector) Secrets(s capture.Secrets) {
	if c == nil || !c.cfg.Secrets {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secrets = append(c.secrets, s)
}

// logMax bounds one log file, in bytes.
const logMax = 4 << 20

// A logFile is what was logged under one name.
type logFile struct {
	mu      sync.Mutex
	b       []byte
	dropped int
}

// Log returns a writer for the log of that name, such as "cloud". What is beyond
// 4 MiB is left out, and that is said at its end. The writer of secrets is at
// fault, not the log: what goes in comes out.
func (c *Collector) Log(name string) io.Writer {
	if c == nil {
		return io.Discard
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.logs[name] == nil {
		c.logs[name] = &logFile{}
	}
	return c.logs[name]
}

// Write implements io.Writer.
func (l *logFile) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.b)+len(b) > logMax {
		l.dropped += len(b)
		return len(b), nil
	}
	l.b = append(l.b, b...)
	return len(b), nil
}

// Check says whose virtual networks are made from now on.
func (c *Collector) Check(name string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.virtual.check = name
}

// Checked says how a check ended: the packets of its virtual networks are kept if
// it did not pass. Its networks are over.
func (c *Collector) Checked(name string, results []report.Result) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.virtual.close(name, results, c.cfg.All)
}

// Discard ends the Collector without a bundle.
func (c *Collector) Discard() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.spool.close(), os.RemoveAll(c.cfg.Dir))
}
