package workers

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/sim/loadtest"
	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/scenario"
	"github.com/muster/muster/sim/show"
	"github.com/muster/muster/sim/workers/plan"
)

// A Fleet is a scenario to run on workers.
type Fleet struct {
	ID       string // of the run, [plan.ValidName]
	Scenario *scenario.Scenario
	File     string // its name
	Cloud    loadtest.Cloud
	Keys     KeySource
	Files    map[string][]byte // that the scenario names
	Seed     uint64            // of the load; 0: that of the scenario, or what follows from the ID
	Secret   Secret            // of the workers; nil: none

	// Workers, Parts, Wait, Prepare, Lease and Patience are those of plan.Options and
	// Run; zero means their default.
	Workers, Parts                 int
	Wait, Prepare, Lease, Patience time.Duration

	Muster  string   // version of the program
	Command []string // that repeats it, without secrets
	// Sink hears of the run as it goes on, and before that of what it waits for.
	Sink loadtest.Sink
}

// Run runs the fleet on the workers of a server, and brings what they measured
// together as if one machine had done it all: judged, with a host for each worker.
// clear takes the run away from the server, once what came of it is safe.
func (f *Fleet) Run(ctx context.Context, b *Bus) (r *record.Run, clear func(), err error) {
	job, err := f.job()
	if err != nil {
		return nil, nil, err
	}
	book := &book{fleet: f, sink: &locked{sink: f.Sink}, run: &record.Run{}}
	o, err := Coordinate(ctx, b, Run{
		ID: f.ID, Job: job, Digest: f.digest(), Name: f.Scenario.Name, Secret: f.Secret, Patience: f.Patience,
		Plan: plan.Options{
			Devices: f.Scenario.Devices(), Length: f.Scenario.Duration(), Every: f.Scenario.Every(), Drain: f.Scenario.Patience(),
			Version: f.Muster, Parts: f.Parts, Workers: f.Workers, PerSocket: f.perSocket(),
			Wait: f.Wait, Prepare: f.Prepare, Lease: f.Lease, Object: f.object,
		},
		Sink: book, Say: book.say, Progress: book.progress,
	})
	if err != nil {
		return nil, nil, err
	}
	book.finish(o)
	return book.run, o.Clear, nil
}

// seed is that of the load. It must be the same when a coordinator goes on with a run.
func (f *Fleet) seed() uint64 {
	if n := cmp.Or(f.Seed, f.Scenario.Seed); n != 0 {
		return n
	}
	h := sha256.Sum256([]byte(f.ID))
	return binary.LittleEndian.Uint64(h[:])>>16 | 1 // short enough to type
}

// object says why a worker cannot have devices of this fleet, "" when it can.
func (f *Fleet) object(h *plan.Hello) string {
	if here, err := os.Hostname(); !f.perSocket() && err == nil && h.Host.Name != here {
		return fmt.Sprintf("the cloud is at a loopback address of %s, which is another machine: give --cloud an address that the workers reach", here)
	}
	return ""
}

// perSocket reports whether each device needs a socket of its own.
func (f *Fleet) perSocket() bool {
	udp, tcp := f.Cloud.UDP.Addr(), f.Cloud.TCP.Addr()
	return udp.IsValid() && !udp.IsLoopback() || tcp.IsValid() && !tcp.IsLoopback()
}

// job is what the workers get.
func (f *Fleet) job() ([]byte, error) {
	j := Job{
		Scenario: f.Scenario.Source(), File: f.File, Devices: f.Scenario.Devices(), Seed: f.seed(), Keys: f.Keys, Files: f.Files,
		Cloud: JobCloud{Name: f.Cloud.Name, UDP: f.Cloud.UDP, TCP: f.Cloud.TCP, API: f.Cloud.API, Token: f.Cloud.Token},
	}
	if f.Cloud.EC != nil {
		j.Cloud.EC = dtls.SPKI(f.Cloud.EC)
	}
	if f.Cloud.RSA != nil {
		j.Cloud.RSA = lightssl.AppendCloudSPKI(nil, f.Cloud.RSA)
	}
	b, err := json.Marshal(&j)
	if err != nil {
		return nil, fmt.Errorf("workers: encoding the run: %w", err)
	}
	if len(b) > jobMost {
		return nil, fmt.Errorf("workers: the scenario and its files have %d bytes, and workers take %d at most", len(b), jobMost)
	}
	return b, nil
}

// jobMost is how large a job may be, in bytes: a message of NATS holds 1 MiB, and it
// travels in base64.
const jobMost = 700 << 10

// digest tells whether two runs are the same. It holds nothing secret.
func (f *Fleet) digest() string {
	h := sha256.New()
	fmt.Fprintln(h, f.Scenario.Source(), f.Cloud.UDP, f.Cloud.TCP, f.Cloud.API, f.Scenario.Devices(), f.seed())
	names := make([]string, 0, len(f.Files))
	for name := range f.Files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(h, "%s %x\n", name, sha256.Sum256(f.Files[name]))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// A book makes the record of a run of what the workers measured.
type book struct {
	fleet  *Fleet
	sink   *locked
	run    *record.Run
	status string // that was told
}

// Begun implements Beginner.
func (b *book) Begun(at time.Time, hosts []record.Host) {
	f := b.fleet
	b.run = loadtest.Describe(&loadtest.Options{Scenario: f.Scenario, Cloud: f.Cloud, Seed: f.seed(), Began: at, Muster: f.Muster, Command: f.Command})
	b.run.Hosts = hosts
	b.sink.Begin(b.run)
}

// say tells those who watch what happens besides the run.
func (b *book) say(text string) { b.sink.say(text) }

// progress tells them what the run waits for, whenever that changes.
func (b *book) progress(st plan.Status) {
	text := ""
	switch st.Stage {
	case plan.Gathering:
		of := ""
		if w := b.fleet.Workers; w > 0 {
			of = fmt.Sprintf(" of %d", w)
		}
		text = fmt.Sprintf("waiting for workers: there are %d%s, with room for %s; the fleet has %d",
			st.Workers, of, show.Count(st.Room, "device"), b.fleet.Scenario.Devices())
	case plan.Preparing:
		text = fmt.Sprintf("%d of %d parts are ready", st.Ready, st.Parts)
		if st.Ready > 0 && st.Ready < st.Parts { // the first and the last will do
			return
		}
	default: // the samples tell
	}
	if text != "" && text != b.status {
		b.status = text
		b.say(text)
	}
}

// Sample implements Sink.
func (b *book) Sample(s *record.Sample) {
	b.run.Cell(s.Phase, s.Group).Add(&s.Tally)
	b.sink.Sample(s)
}

// Note implements Sink.
func (b *book) Note(n record.Note) {
	b.run.Notes = append(b.run.Notes, n)
	b.sink.Note(n)
}

// finish completes and judges the record.
func (b *book) finish(o *Outcome) {
	r := b.run
	r.Hosts = o.Hosts
	for group, levels := range o.Levels {
		r.Levels[group] = levels
	}
	if r.Interrupted = o.Interrupted && o.Length < b.fleet.Scenario.Duration(); r.Interrupted {
		loadtest.Cut(r, o.Length)
	}
	scenario.Judge(b.fleet.Scenario, r)
}

// A locked sink may be told things by several goroutines.
type locked struct {
	mu    sync.Mutex
	sink  loadtest.Sink
	began time.Time // zero: not yet
}

// say tells what happens now.
func (l *locked) say(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := record.Note{Kind: "worker", Text: text}
	if !l.began.IsZero() {
		n.At = max(0, time.Since(l.began))
	}
	l.sink.Note(n)
}

func (l *locked) Begin(r *record.Run) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.began = r.Began
	if b, ok := l.sink.(loadtest.Beginner); ok {
		b.Begin(r)
	}
}

func (l *locked) Sample(s *record.Sample) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sink.Sample(s)
}

func (l *locked) Note(n record.Note) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sink.Note(n)
}
