package workers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/muster/muster/fixtures/natstest"
	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/workers/plan"
)

// patience is for what must come in the end, on a machine that is busy.
const patience = 2 * time.Minute

func dial(t *testing.T, s *server.Server) *Bus {
	t.Helper()
	b, err := Dial(t.Context(), Server{URL: s.ClientURL()}, "test", func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// A fake runs devices that publish an event in each interval. What it sent is
// counted, as a cloud would.
type fake struct {
	mu     sync.Mutex
	sent   uint64
	parts  map[int]int // how many run each now
	twice  bool
	begun  chan plan.Part
	broken string
	job    string
	length time.Duration
}

func newFake() *fake {
	return &fake{parts: make(map[int]int), begun: make(chan plan.Part, 10000), length: fakeLength}
}

const fakeEvery = 100 * time.Millisecond

func (f *fake) Prepare(_ context.Context, job []byte, p plan.Part) (Prepared, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.job = string(job)
	if f.broken != "" {
		return nil, errors.New(f.broken)
	}
	return &fakePart{f, p}, nil
}

type fakePart struct {
	f *fake
	p plan.Part
}

func (*fakePart) Close() {}

func (p *fakePart) Run(ctx context.Context, began time.Time, sink Sink) error {
	p.enter(1)
	defer p.enter(-1)
	last := max(0, time.Since(began))
	for {
		at := last.Truncate(fakeEvery) + fakeEvery
		wait(ctx, time.Until(began.Add(at)))
		now := time.Since(began)
		s := &record.Sample{At: now, Every: now - last, Phase: "all", Group: "g"}
		s.Count(record.Published, uint64(p.p.Count))
		s.Time(record.PublishTime).Add(time.Duration(p.p.Index+1) * time.Millisecond)
		p.f.mu.Lock()
		p.f.sent += uint64(p.p.Count)
		p.f.mu.Unlock()
		sink.Sample(s)
		p.f.begun <- p.p
		sink.Sample(&record.Sample{At: now, Every: now - last, Phase: "all", Self: &record.Self{Cores: 2}})
		if last = now; now >= p.f.length || ctx.Err() != nil {
			return nil
		}
	}
}

func (p *fakePart) enter(n int) {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	p.f.parts[p.p.Index] += n
	p.f.twice = p.f.twice || p.f.parts[p.p.Index] > 1
}

const fakeLength = 3 * time.Second

// A seen is a sink that adds up.
type seen struct {
	mu    sync.Mutex
	tally record.Tally
	notes []record.Note
	began time.Time
	noted func(record.Note)
}

func (s *seen) Sample(x *record.Sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally.Add(&x.Tally)
}

func (s *seen) Note(n record.Note) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes = append(s.notes, n)
	if s.noted != nil {
		s.noted(n)
	}
}

func (s *seen) Begun(at time.Time, _ []record.Host) { s.began = at }

func testRun(id string, sink Sink) Run {
	return Run{
		ID: id, Job: []byte("the secret of the devices"), Digest: "d", Name: "test", Sink: sink,
		Plan: plan.Options{
			Devices: 30, Length: fakeLength, Every: fakeEvery, Version: "v1", Workers: 3,
			Wait: patience, Lead: 500 * time.Millisecond,
			Lease: patience / 4, // nobody is to lose one because the machine stands still
		},
	}
}

// startWorker starts a worker as a goroutine; stop ends it and waits.
func startWorker(t *testing.T, b *Bus, c WorkerConfig, r Runner) (stop func() error) {
	t.Helper()
	if c.Version == "" {
		c.Version = "v1"
	}
	if c.Capacity == 0 {
		c.Capacity, c.Sockets = 100, 100
	}
	c.Host.Name = "bench"
	name := c.Name
	c.Say = func(text string) { t.Logf("worker %s: %s", name, text) }
	w, err := NewWorker(b, c, r)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Serve(ctx) }()
	var once sync.Once
	stop = func() (err error) {
		once.Do(func() { cancel(); err = <-done })
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

// Three workers run a fleet, and what they tell adds up to what was sent.
func TestThreeWorkers(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := natstest.Start(t)
	f := newFake()
	for i := range 3 {
		startWorker(t, dial(t, s), WorkerConfig{Name: fmt.Sprint("w", i)}, f)
	}
	sink := &seen{}
	b := dial(t, s)
	r := testRun("three", sink)
	r.Say = func(text string) { t.Log(text) }
	o, err := Coordinate(t.Context(), b, r)
	if err != nil {
		t.Fatal(err)
	}
	if n := sink.tally.Counts[record.Published]; n != f.sent || n == 0 || f.twice {
		t.Errorf("%d events came, %d were sent, twice: %v", n, f.sent, f.twice)
	}
	if n := sink.tally.Times[record.PublishTime].Count(); n == 0 || o.Began.IsZero() || len(o.Hosts) != 3 || o.Length != fakeLength {
		t.Errorf("%d times, %+v", n, o)
	}
	if f.job != "the secret of the devices" {
		t.Errorf("the workers got %q", f.job)
	}
	t.Log(sink.notes)
	o.Clear()
	info, err := b.stream.Info(t.Context(), jetstream.WithSubjectFilter(">"))
	if err != nil || info.State.Msgs != 0 {
		t.Errorf("the stream holds %+v, %v", info, err)
	}
	if _, err := Coordinate(t.Context(), b, r); err == nil || !strings.Contains(err.Error(), "give another --run-id") {
		t.Errorf("the same run again: %v", err)
	}
}

// Nothing that is stored on the server tells the secret, nor does what is said.
func TestSecretsAreSealed(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := natstest.Start(t)
	b := dial(t, s)
	var mu sync.Mutex
	var all strings.Builder
	note := func(data []byte) {
		mu.Lock()
		defer mu.Unlock()
		all.Write(data)
	}
	watcher := dial(t, s)
	watch, err := watcher.kv.WatchAll(t.Context(), jetstream.IncludeHistory())
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for e := range watch.Updates() {
			if e != nil {
				note(e.Value())
			}
		}
	}()
	f := newFake()
	startWorker(t, dial(t, s), WorkerConfig{Name: "w", Secret: Secret("sixteen bytes and more")}, f)
	startWorker(t, dial(t, s), WorkerConfig{Name: "stranger", Secret: Secret("another secret of some length")}, newFake())
	sink := &seen{}
	r := testRun("sealed", sink)
	r.Plan.Workers = 1
	r.Secret = Secret("sixteen bytes and more")
	r.Say = func(text string) { t.Log(text) }
	if _, err := Coordinate(t.Context(), b, r); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if text := all.String(); !strings.Contains(text, `"sealed":`) || strings.Contains(text, "the secret") || strings.Contains(text, "dGhlIHNlY3JldC") {
		t.Errorf("the server holds %s", text)
	}
	if f.job != "the secret of the devices" || len(sink.notes) == 0 || !strings.Contains(fmt.Sprint(sink.notes), "worker stranger on bench is refused: it does not know the secret") {
		t.Errorf("job %q, notes %v", f.job, sink.notes)
	}
}

// A gate is a way to a server that can be shut.
type gate struct {
	listener net.Listener
	mu       sync.Mutex
	shut     bool
	conns    []net.Conn
}

func newGate(t *testing.T, to string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	g := &gate{listener: l}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("tcp", to)
			g.mu.Lock()
			if err != nil || g.shut {
				_ = c.Close()
				g.mu.Unlock()
				continue
			}
			g.conns = append(g.conns, c, there)
			g.mu.Unlock()
			go func() { _, _ = io.Copy(c, there) }()
			go func() { _, _ = io.Copy(there, c) }()
		}
	}()
	return g
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	for _, c := range g.conns {
		_ = c.Close()
	}
	g.conns = nil
}

// A worker whose connection is cut stops before another has its devices. When it is
// back its samples come late, and count.
func TestCutWorkerStopsInTime(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := natstest.Start(t)
	f := newFake()
	g := newGate(t, s.Addr().String())
	b, err := Dial(t.Context(), Server{URL: "nats://" + g.listener.Addr().String()}, "test", func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	startWorker(t, b, WorkerConfig{Name: "cut"}, f)
	for i := range 2 {
		startWorker(t, dial(t, s), WorkerConfig{Name: fmt.Sprint("w", i)}, f)
	}
	sink := &seen{}
	r := testRun("cut", sink)
	r.Plan.Length, f.length = 20*time.Second, 20*time.Second
	r.Plan.Lease = 6 * time.Second // a machine stands still for seconds, too
	r.Say = func(text string) { t.Log(text) }
	sink.noted = func(n record.Note) {
		if strings.Contains(n.Text, "is taken over") {
			g.set(false)
		}
	}
	go func() {
		<-f.begun
		g.set(true)
	}()
	if _, err := Coordinate(t.Context(), dial(t, s), r); err != nil {
		t.Fatal(err)
	}
	if n := sink.tally.Counts[record.Published]; f.twice || n != f.sent {
		t.Errorf("twice: %v, %d came of %d", f.twice, n, f.sent)
	}
	if text := fmt.Sprint(sink.notes); !strings.Contains(text, "which worker cut had, is taken over by worker w") || !strings.Contains(text, "never arrived") {
		t.Error(text)
	}
}

// What goes wrong is said in a sentence.
func TestClearErrors(t *testing.T) {
	t.Parallel() // it waits most of the time
	_, err := Dial(t.Context(), Server{URL: "nats://user:hunter2@127.0.0.1:1"}, "test", func(string) {})
	if err == nil || !strings.Contains(err.Error(), "no NATS server answers there") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("nobody there: %v", err)
	}
	plain := natstest.StartWith(t, server.Options{})
	if _, err := Dial(t.Context(), Server{URL: plain.ClientURL()}, "test", func(string) {}); err == nil || !strings.Contains(err.Error(), "nats-server -js") {
		t.Errorf("no JetStream: %v", err)
	}
	s := natstest.Start(t)
	r := testRun("nobody", &seen{})
	r.Plan.Wait = 100 * time.Millisecond
	if _, err := Coordinate(t.Context(), dial(t, s), r); err == nil || !strings.Contains(err.Error(), "muster fleet worker --nats") {
		t.Errorf("no worker: %v", err)
	}
	startWorker(t, dial(t, s), WorkerConfig{Name: "old", Version: "v0"}, newFake())
	r = testRun("old", &seen{})
	r.Plan.Wait = 20 * time.Second
	if _, err := Coordinate(t.Context(), dial(t, s), r); err == nil || !strings.Contains(err.Error(), "run the same muster everywhere") {
		t.Errorf("another version: %v", err)
	}
	broken := newFake()
	broken.broken = "there are no keys here"
	startWorker(t, dial(t, s), WorkerConfig{Name: "broken"}, broken)
	r = testRun("broken", &seen{})
	r.Plan.Workers = 1
	if _, err := Coordinate(t.Context(), dial(t, s), r); err == nil || !strings.Contains(err.Error(), "worker broken: there are no keys here") {
		t.Errorf("a worker that cannot: %v", err)
	}
}

// An interrupt ends the run on all workers, and what was measured is there.
func TestInterrupt(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := natstest.Start(t)
	f := newFake()
	for i := range 3 {
		startWorker(t, dial(t, s), WorkerConfig{Name: fmt.Sprint("w", i)}, f)
	}
	ctx, cancel := context.WithCancel(t.Context())
	sink := &seen{}
	r := testRun("interrupted", sink)
	go func() { <-f.begun; cancel() }()
	o, err := Coordinate(ctx, dial(t, s), r)
	if err != nil || !o.Interrupted || o.Length >= fakeLength {
		t.Fatalf("%+v, %v", o, err)
	}
	if n := sink.tally.Counts[record.Published]; n != f.sent {
		t.Errorf("%d events came, %d were sent", n, f.sent)
	}
}

// A coordinator that goes on with a run tells all of it.
func TestCoordinatorAgain(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := natstest.Start(t)
	f := newFake()
	for i := range 3 {
		startWorker(t, dial(t, s), WorkerConfig{Name: fmt.Sprint("w", i)}, f)
	}
	first := dial(t, s)
	r := testRun("again", &seen{})
	r.Plan.Lease = 8 * time.Second // of the coordinator's seat, too
	r.Say = func(text string) { t.Log(text) }
	done := make(chan error, 1)
	go func() {
		_, err := Coordinate(context.Background(), first, r)
		done <- err
	}()
	<-f.begun
	first.Close() // as if it was killed: it says nothing more
	sink := &seen{}
	r.Sink = sink
	o, err := Coordinate(t.Context(), dial(t, s), r)
	if err != nil {
		t.Fatal(err)
	}
	if n := sink.tally.Counts[record.Published]; n != f.sent || f.twice || len(o.Hosts) != 3 {
		t.Errorf("%d events came, %d were sent, %+v", n, f.sent, o)
	}
	t.Log(sink.notes)
}
