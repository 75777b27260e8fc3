package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/sim/loadtest"
	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/scenario"
	"github.com/muster/muster/sim/selfwatch"
	"github.com/muster/muster/sim/workers/plan"
)

// A Job is what a worker must know to run its part of a scenario. It travels sealed:
// Keys may be a number from which all private keys follow, Token opens the cloud's
// API, and a scenario may hold what is nobody's business.
type Job struct {
	Scenario string    `json:"scenario"` // the text of the file
	File     string    `json:"file"`     // its name
	Devices  int       `json:"devices"`  // as many, in the proportions of the file
	Seed     uint64    `json:"seed"`     // of the load
	Cloud    JobCloud  `json:"cloud"`
	Keys     KeySource `json:"keys"`
	// Files are those that the scenario names, by that name.
	Files map[string][]byte `json:"files,omitempty"`
}

// A JobCloud is a loadtest.Cloud on its way.
type JobCloud struct {
	Name  string         `json:"name"`
	UDP   netip.AddrPort `json:"udp"`
	TCP   netip.AddrPort `json:"tcp"`
	EC    []byte         `json:"ec,omitempty"`  // SubjectPublicKeyInfo
	RSA   []byte         `json:"rsa,omitempty"` // the same
	API   string         `json:"api,omitempty"`
	Token string         `json:"token,omitempty"`
}

// cloud returns it for a run.
func (c *JobCloud) cloud() (loadtest.Cloud, error) {
	out := loadtest.Cloud{Name: c.Name, UDP: c.UDP, TCP: c.TCP, API: c.API, Token: c.Token}
	if len(c.EC) > 0 {
		var ok bool
		if out.EC, ok = dtls.ParseSPKI(c.EC); !ok {
			return out, errors.New("the cloud's P-256 key is none")
		}
	}
	if len(c.RSA) > 0 {
		var err error
		if out.RSA, err = lightssl.ParseCloudSPKI(c.RSA); err != nil {
			return out, fmt.Errorf("the cloud's RSA key is none: %w", err)
		}
	}
	return out, nil
}

// Hands is the Runner of real devices, with package loadtest.
type Hands struct {
	Name    string       // of the worker
	Version string       // of the program
	Sources []netip.Addr // local addresses of devices, if the cloud is elsewhere
	Say     func(string)

	once    sync.Once
	watcher *selfwatch.Watcher
	mu      sync.Mutex
	self    record.Self // of the latest interval
	selfAt  time.Time
}

// Prepare implements Runner.
func (h *Hands) Prepare(ctx context.Context, payload []byte, part plan.Part) (Prepared, error) {
	h.once.Do(func() {
		h.watcher = selfwatch.New()
		go h.watcher.Run(context.Background()) // as long as the process: it costs nothing
	})
	var job Job
	if err := json.Unmarshal(payload, &job); err != nil {
		return nil, fmt.Errorf("reading what the run is: %w", err)
	}
	s, err := scenario.Read(job.File, []byte(job.Scenario))
	if err != nil {
		return nil, err
	}
	if s.Devices() != job.Devices {
		if err := s.Scale(job.Devices); err != nil {
			return nil, err
		}
	}
	cloud, err := job.Cloud.cloud()
	if err != nil {
		return nil, err
	}
	keys, member, err := job.Keys.Devices(ctx, s, part.First, part.Count, func(done, of int) {
		if done == of || done%100 == 0 {
			h.say(fmt.Sprintf("%v: %d of %d RSA keys", part, done, of))
		}
	})
	if err != nil {
		return nil, err
	}
	o := loadtest.Options{
		Scenario: s, Part: loadtest.Part{First: part.First, Count: part.Count}, Cloud: cloud, Member: member, Keys: keys,
		Seed: job.Seed, Sources: h.Sources, Worker: h.Name, Muster: h.Version,
		Self: func() *record.Self { return h.read(s.Every()) },
	}
	p := &handsPart{}
	if p.folder, err = unpack(job.Files); err != nil {
		return nil, err
	}
	o.Folder = p.folder
	if p.ready, err = loadtest.Prepare(o); err != nil {
		p.clean()
		return nil, err
	}
	return p, nil
}

func (h *Hands) say(text string) {
	if h.Say != nil {
		h.Say(text)
	}
}

// read returns how loaded this process was lately. The parts of a worker ask at the
// same times, and get the same answer.
func (h *Hands) read(every time.Duration) *record.Self {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.selfAt) > every/2 {
		h.self, h.selfAt = h.watcher.Read(), time.Now()
	}
	self := h.self
	return &self
}

// A handsPart is a part that is ready.
type handsPart struct {
	ready  *loadtest.Ready
	folder string // with the files of the scenario; "": none
}

// unpack writes the files that a scenario names to where they are found.
func unpack(files map[string][]byte) (dir string, err error) {
	if len(files) == 0 {
		return "", nil
	}
	if dir, err = os.MkdirTemp("", "muster-worker-"); err != nil {
		return "", fmt.Errorf("making a folder for the files of the scenario: %w", err)
	}
	for name, data := range files {
		path := filepath.Join(dir, name)
		switch {
		case !filepath.IsLocal(name):
			err = fmt.Errorf("the scenario's file %q is not in its folder: it cannot go to workers", name)
		default:
			err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, data, 0o600))
		}
		if err != nil {
			return "", errors.Join(err, os.RemoveAll(dir))
		}
	}
	return dir, nil
}

func (p *handsPart) clean() {
	if p.folder != "" {
		_ = os.RemoveAll(p.folder) // a temporary one
	}
}

// Close implements Prepared.
func (p *handsPart) Close() {
	_ = p.ready.Close() // nothing has been sent
	p.clean()
}

// Run implements Prepared.
func (p *handsPart) Run(ctx context.Context, began time.Time, sink Sink) error {
	defer p.clean()
	run, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() {
		cause := context.Cause(ctx)
		if errors.Is(cause, ErrFenced) {
			cause = fmt.Errorf("%w: %w", cause, loadtest.ErrAbort)
		}
		cancel(cause)
	})
	defer stop()
	_, err := p.ready.Run(run, began, sink)
	return err
}
