package workers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/sim/loadtest"
	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/scenario"
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
	Seed     uint64            // of the load; not 0
	Secret   Secret            // of the workers; nil: none

	// Workers, Parts, Wait, Prepare, Lease and Patience are those of plan.Options and
	// Run; zero means their default.
	Workers, Parts                 int
	Wait, Prepare, Lease, Patience time.Duration

	Muster   string   // version of the program
	Command  []string // that repeats it, without secrets
	Sink     loadtest.Sink
	Say      func(string)
	Progress func(plan.Status)
}

// Run runs the fleet on the workers of a server, and brings what they measured
// together as if one machine had done it all: judged, with a host for each worker.
// clear takes the run away from the server, once what came of it is safe.
func (f *Fleet) Run(ctx context.Context, b *Bus) (r *record.Run, clear func(), err error) {
	job, err := f.job()
	if err != nil {
		return nil, nil, err
	}
	book := &book{fleet: f, run: &record.Run{}, levels: make(map[string]map[string]map[record.Level]int64)}
	o, err := Coordinate(ctx, b, Run{
		ID: f.ID, Job: job, Digest: f.digest(), Name: f.Scenario.Name, Secret: f.Secret, Patience: f.Patience,
		Plan: plan.Options{
			Devices: f.Scenario.Devices(), Length: f.Scenario.Duration(), Every: f.Scenario.Every(), Drain: f.Scenario.Patience(),
			Version: f.Muster, Parts: f.Parts, Workers: f.Workers, PerSocket: f.perSocket(),
			Wait: f.Wait, Prepare: f.Prepare, Lease: f.Lease, Lead: f.lead(),
		},
		Sink: book, Say: f.Say, Progress: f.Progress,
	})
	if err != nil {
		return nil, nil, err
	}
	book.finish(o)
	return book.run, o.Clear, nil
}

// perSocket reports whether each device needs a socket of its own.
func (f *Fleet) perSocket() bool {
	udp, tcp := f.Cloud.UDP.Addr(), f.Cloud.TCP.Addr()
	return udp.IsValid() && !udp.IsLoopback() || tcp.IsValid() && !tcp.IsLoopback()
}

// lead is how long before the first phase it is told when that begins: workers make
// some 200,000 devices a second meanwhile.
func (f *Fleet) lead() time.Duration {
	return 2*time.Second + time.Duration(f.Scenario.Devices())*5*time.Microsecond
}

// job is what the workers get.
func (f *Fleet) job() ([]byte, error) {
	j := Job{
		Scenario: f.Scenario.Source(), File: f.File, Seed: f.Seed, Keys: f.Keys, Files: f.Files,
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
	fmt.Fprintln(h, f.Scenario.Source(), f.Cloud.UDP, f.Cloud.TCP, f.Cloud.API, f.Scenario.Devices())
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
	run    *record.Run
	levels map[string]map[string]map[record.Level]int64 // by group and worker
}

// Begun implements Beginner.
func (b *book) Begun(at time.Time) {
	f := b.fleet
	b.run = loadtest.Describe(&loadtest.Options{Scenario: f.Scenario, Cloud: f.Cloud, Seed: f.Seed, Began: at, Muster: f.Muster, Command: f.Command})
	if s, ok := f.Sink.(loadtest.Beginner); ok {
		s.Begin(b.run)
	}
}

// Sample implements Sink.
func (b *book) Sample(s *record.Sample) {
	b.run.Cell(s.Phase, s.Group).Add(&s.Tally)
	if s.Group != "" && s.Levels != nil {
		if b.levels[s.Group] == nil {
			b.levels[s.Group] = make(map[string]map[record.Level]int64)
		}
		b.levels[s.Group][s.Worker] = s.Levels
	}
	b.fleet.Sink.Sample(s)
}

// Note implements Sink.
func (b *book) Note(n record.Note) {
	b.run.Notes = append(b.run.Notes, n)
	b.fleet.Sink.Note(n)
}

// finish completes and judges the record.
func (b *book) finish(o *Outcome) {
	r := b.run
	r.Hosts = o.Hosts
	for group, workers := range b.levels {
		sum := make(map[record.Level]int64)
		for _, levels := range workers {
			for name, n := range levels {
				sum[name] += n
			}
		}
		r.Levels[group] = sum
	}
	if r.Interrupted = o.Interrupted && o.Length < b.fleet.Scenario.Duration(); r.Interrupted {
		loadtest.Cut(r, o.Length)
	}
	scenario.Judge(b.fleet.Scenario, r)
}
