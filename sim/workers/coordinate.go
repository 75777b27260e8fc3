package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/workers/plan"
)

// A Run is what a coordinator has done.
type Run struct {
	ID string
	// Job is what the workers get: sealed for each, and read by their Runner.
	Job []byte
	// Digest is of all that must be the same when a run goes on after its coordinator
	// was killed. It is stored in the clear: it must tell nothing of secrets.
	Digest string
	Name   string // of the scenario
	Secret Secret // of the workers; nil: none
	// Patience is how long workers go on without a coordinator; 0: 5 min.
	Patience time.Duration
	Plan     plan.Options
	// Sink hears of the run as it goes on. One that has Begin too hears when the
	// first phase begins, before anything else.
	Sink Sink
	// Say tells a person what happens, in one line; Progress how it stands.
	Say      func(string)
	Progress func(plan.Status)
}

// A Beginner hears when the first phase begins or began, and who takes part by then.
type Beginner interface {
	Begun(at time.Time, hosts []record.Host)
}

// Outcome is what became of a run.
type Outcome struct {
	Began       time.Time // zero: it did not
	Length      time.Duration
	Hosts       []record.Host
	Interrupted bool
	// Levels is where the devices of each group were at the end. Samples that come late
	// do not tell it.
	Levels map[string]map[record.Level]int64
	// Clear takes the run away from the server, when what came of it is safe. The word
	// that it is over stays for a while.
	Clear func()
}

const (
	patienceDefault = 5 * time.Minute
	// look is how often a coordinator looks at what is due.
	look = 100 * time.Millisecond
	// callEvery is how often it calls workers.
	callEvery = time.Second
	// catchUpTime bounds the wait for what is stored and has not come, at the end.
	catchUpTime = 2 * time.Minute
)

// A coordinator drives a plan.Coordinator. Its loop is one goroutine, to which all
// others post what happened.
type coordinator struct {
	bus     *Bus
	run     Run
	session string
	ctx     context.Context
	base    time.Time
	machine *plan.Coordinator
	out     plan.Out
	posts   chan func(now clock.Instant)
	began   time.Time
	seat    uint64 // revision
	beat    uint64
	seen    time.Time // when the seat was renewed last
	seating bool
	lost    error  // the seat
	read    uint64 // of the stream: the last that was taken
	target  uint64 // what must have been taken for the end; valid while asked
	asked   bool
	entered bool // the run is ours
}

// Coordinate runs a fleet on the workers of a server. When ctx is done it ends the
// run cleanly, which takes a few leases at most.
func Coordinate(ctx context.Context, b *Bus, r Run) (*Outcome, error) {
	if r.Patience == 0 {
		r.Patience = patienceDefault
	}
	if r.Say == nil {
		r.Say = func(string) {}
	}
	if r.Plan.Lease == 0 {
		r.Plan.Lease = plan.DefaultLease
	}
	if r.Plan.Every == 0 {
		r.Plan.Every = time.Second
	}
	if r.Secret != nil {
		object := r.Plan.Object
		r.Plan.Object = func(h *plan.Hello) string {
			if !r.Secret.proves(h) {
				return "it does not know the secret of the workers: give it the coordinator's --secret-file"
			}
			if object != nil {
				return object(h)
			}
			return ""
		}
	}
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	c := &coordinator{
		bus: b, run: r, session: newSession(), ctx: inner, base: time.Now(),
		posts: make(chan func(clock.Instant), 256),
	}
	c.machine = plan.NewCoordinator(0, r.Plan)
	if err := c.sit(ctx); err != nil {
		return nil, err
	}
	o, err := c.coordinate(ctx)
	if c.lost != nil {
		return nil, c.lost // it is another's now: nothing of it is ours to clear
	}
	if err != nil {
		if c.entered {
			c.putStop(err.Error())
			c.clear()
		}
		return nil, err
	}
	c.putStop("it is over")
	o.Clear = c.clear
	return o, nil
}

func (c *coordinator) now() clock.Instant { return clock.Instant(time.Since(c.base)) }

func (c *coordinator) post(f func(now clock.Instant)) {
	select {
	case c.posts <- f:
	case <-c.ctx.Done():
	}
}

func (c *coordinator) setBegan(at time.Time) {
	if !c.began.IsZero() {
		return
	}
	c.began = at
	if b, ok := c.run.Sink.(Beginner); ok {
		b.Begun(at, c.machine.Hosts())
	}
}

// coordinate is the work between the seat and its end.
func (c *coordinator) coordinate(ctx context.Context) (*Outcome, error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	c.entered = true
	watch, err := c.bus.kv.Watch(c.ctx, key(c.run.ID, keyPart, "*"))
	if err != nil {
		return nil, fmt.Errorf("workers: following the leases: %w", explain(err))
	}
	defer func() { _ = watch.Stop() }()
	go c.follow(watch)
	collect, err := c.collect()
	if err != nil {
		return nil, fmt.Errorf("workers: following what is measured: %w", explain(err))
	}
	defer collect.Stop()
	for subject, take := range map[string]nats.MsgHandler{subjectHello + c.run.ID: c.hello, subjectClock + c.run.ID: c.tellTime} {
		sub, err := c.bus.conn.Subscribe(subject, take)
		if err != nil {
			return nil, fmt.Errorf("workers: listening to workers: %w", explain(err))
		}
		defer func() { _ = sub.Unsubscribe() }()
	}
	return c.loop(ctx)
}

// follow posts what becomes of leases.
func (c *coordinator) follow(watch jetstream.KeyWatcher) {
	for e := range watch.Updates() {
		var l plan.Lease
		if e == nil || e.Operation() != jetstream.KeyValuePut || json.Unmarshal(e.Value(), &l) != nil || e.Key() != partKey(c.run.ID, l.Part) {
			continue
		}
		revision := e.Revision()
		c.post(func(now clock.Instant) { c.machine.Observe(now, l, revision, &c.out) })
	}
}

// collect posts what was measured, from the beginning.
func (c *coordinator) collect() (jetstream.ConsumeContext, error) {
	ctx, cancel := context.WithTimeout(c.ctx, answerTime)
	defer cancel()
	consumer, err := c.bus.stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subjectSamples + c.run.ID}, DeliverPolicy: jetstream.DeliverAllPolicy,
	})
	if err != nil {
		return nil, err
	}
	return consumer.Consume(func(m jetstream.Msg) {
		b := &plan.Batch{}
		if err := json.Unmarshal(m.Data(), b); err != nil {
			c.run.Say(fmt.Sprintf("something in the stream %s is no batch of samples, and is left out: %v", Stream, err))
			return
		}
		at := uint64(0)
		if meta, err := m.Metadata(); err == nil {
			at = meta.Sequence.Stream
		}
		c.post(func(now clock.Instant) {
			c.machine.Take(now, b, &c.out)
			c.read = max(c.read, at)
		})
	})
}

func (c *coordinator) hello(m *nats.Msg) {
	var h plan.Hello
	if json.Unmarshal(m.Data, &h) == nil && plan.ValidName(h.Session) {
		c.post(func(now clock.Instant) { c.machine.Hello(now, h, &c.out) })
	}
}

// tellTime answers a worker what time it is here. It does so where the question
// arrives: it must not wait.
func (c *coordinator) tellTime(m *nats.Msg) {
	// The clock of this run is the monotonic one: it never jumps.
	b, err := c.base.Add(time.Since(c.base)).Round(0).MarshalText()
	if err == nil {
		_ = m.Respond(b) // it asks again
	}
}

func (c *coordinator) loop(ctx context.Context) (*Outcome, error) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	var called time.Time
	done := ctx.Done()
	interrupted := false
	for {
		if time.Since(called) >= callEvery {
			c.call()
			called = time.Now()
		}
		c.keepSeat()
		c.machine.Advance(c.now(), &c.out)
		if c.asked && c.read >= c.target {
			c.asked = false
			c.machine.CaughtUp(c.now(), true, &c.out)
		}
		over, err := c.carryOut()
		if c.run.Progress != nil {
			c.run.Progress(c.machine.Status(c.now()))
		}
		if over || c.lost != nil {
			o := &Outcome{Began: c.began, Hosts: c.machine.Hosts(), Interrupted: interrupted, Length: c.machine.Length(), Levels: c.machine.End()}
			return o, err
		}
		select {
		case <-done:
			done, interrupted = nil, true
			c.run.Say("ending the run on all workers")
			c.machine.Interrupt(c.now(), "interrupted", &c.out)
		case <-tick.C:
		case f := <-c.posts:
			f(c.now())
			for more := true; more; {
				select {
				case f := <-c.posts:
					f(c.now())
				default:
					more = false
				}
			}
		}
	}
}

// call tells workers of the run, and that its coordinator lives.
func (c *coordinator) call() {
	b, err := json.Marshal(call{plan.Protocol, c.run.Plan.Version, c.run.ID, c.session})
	if err != nil {
		panic("workers: encoding a call: " + err.Error())
	}
	_ = c.bus.conn.Publish(subjectCall, b) // again in a second
}

// carryOut does what the machine wants.
func (c *coordinator) carryOut() (over bool, err error) {
	out := c.out
	c.out = plan.Out{}
	c.out.Reset()
	if out.Plan != nil {
		if _, err := c.bus.put(c.ctx, key(c.run.ID, keyPlan), out.Plan, 0); err != nil {
			return true, fmt.Errorf("workers: run %s: storing the plan: %w", c.run.ID, explain(err))
		}
	}
	if out.Begin != clock.Never && out.Begin != 0 {
		at := c.base.Add(time.Duration(out.Begin)).Round(0)
		if _, err := c.bus.put(c.ctx, key(c.run.ID, keyBegin), start{at}, 0); err != nil {
			return true, fmt.Errorf("workers: run %s: storing when it begins: %w", c.run.ID, explain(err))
		}
		c.setBegan(at)
	}
	if out.Stop != "" {
		c.putStop(out.Stop)
	}
	if out.CatchUp {
		go c.catchUp()
	}
	for _, session := range out.Admit {
		if h, ok := c.machine.Worker(session); ok {
			go c.admit(h)
		}
	}
	for _, r := range out.Refuse {
		if b, err := json.Marshal(r); err == nil {
			_ = c.bus.conn.Publish(subjectRefused+r.Session, b)
		}
	}
	for _, w := range out.Leases {
		go c.write(w)
	}
	for _, b := range out.Publish {
		go c.publish(b)
	}
	for i := range out.Samples {
		c.run.Sink.Sample(&out.Samples[i])
	}
	for _, n := range out.Notes {
		c.run.Sink.Note(n)
	}
	return out.Over, out.Err
}

// catchUp finds out what the last batch of the run is.
func (c *coordinator) catchUp() {
	ctx, cancel := context.WithTimeout(c.ctx, catchUpTime)
	defer cancel()
	for ctx.Err() == nil {
		once, done := context.WithTimeout(ctx, answerTime)
		m, err := c.bus.stream.GetLastMsgForSubject(once, subjectSamples+c.run.ID)
		done()
		switch {
		case err == nil:
			c.post(func(clock.Instant) { c.asked, c.target = true, m.Sequence })
			<-ctx.Done()
		case errors.Is(err, jetstream.ErrMsgNotFound):
			c.post(func(clock.Instant) { c.asked, c.target = true, 0 })
			<-ctx.Done()
		}
		wait(ctx, time.Second)
	}
	c.post(func(now clock.Instant) { c.machine.CaughtUp(now, false, &c.out) })
}

// putStop tells the workers to end.
func (c *coordinator) putStop(why string) {
	k := key(c.run.ID, keyStop)
	if _, err := c.bus.put(c.ctx, k, stop{why}, 0); err != nil && !errors.Is(err, errMoved) {
		c.run.Say(fmt.Sprintf("the workers may not hear that the run is over: %v; they end by themselves %v after this coordinator", err, c.run.Patience))
	}
}

// admit gives a worker what the run is.
func (c *coordinator) admit(h plan.Hello) {
	sealed, err := seal(h.Key, c.run.Secret.info(c.run.ID, h.Session), c.run.Job)
	if err != nil {
		c.run.Say(fmt.Sprintf("worker %s cannot take part: %v", h.Name, err))
		return
	}
	k := key(c.run.ID, keyFor, h.Session)
	for range 10 {
		var there admission
		revision, err := c.bus.get(c.ctx, k, &there)
		if err == nil {
			_, err = c.bus.put(c.ctx, k, admission{h, sealed}, revision)
		}
		if err == nil || c.ctx.Err() != nil {
			return
		}
		wait(c.ctx, time.Second)
	}
}

// write stores a lease.
func (c *coordinator) write(w plan.Write) {
	k := partKey(c.run.ID, w.Lease.Part)
	revision, err := c.bus.put(c.ctx, k, w.Lease, w.Revision)
	if err == nil {
		c.post(func(now clock.Instant) { c.machine.Observe(now, w.Lease, revision, &c.out) })
		return
	}
	if !errors.Is(err, errMoved) {
		wait(c.ctx, c.run.Plan.Lease/10)
	}
	// What is there instead may have been seen already, or not.
	var there plan.Lease
	revision, err = c.bus.get(c.ctx, k, &there)
	c.post(func(now clock.Instant) {
		c.machine.Rejected(w.Lease.Part)
		if err == nil && revision != 0 {
			c.machine.Observe(now, there, revision, &c.out)
		}
	})
}

// publish stores notes, so that they outlive this process.
func (c *coordinator) publish(b plan.Batch) {
	value, err := json.Marshal(&b)
	if err != nil {
		panic("workers: encoding a batch: " + err.Error())
	}
	for c.ctx.Err() == nil {
		if err := c.bus.publish(c.ctx, c.run.ID, batchID(c.run.ID, &b), value); err == nil {
			return
		}
		wait(c.ctx, time.Second)
	}
}

// clear takes the run away, but for the word that it is over.
func (c *coordinator) clear() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), startTime)
	defer cancel()
	problem := c.bus.stream.Purge(ctx, jetstream.WithPurgeSubject(subjectSamples+c.run.ID))
	keys, err := c.bus.kv.ListKeysFiltered(ctx, c.run.ID+".>")
	if err == nil {
		for k := range keys.Keys() {
			if k != key(c.run.ID, keyStop) {
				problem = errors.Join(problem, c.bus.kv.Purge(ctx, k))
			}
		}
	}
	if problem = errors.Join(problem, err); problem != nil {
		c.run.Say(fmt.Sprintf("run %s could not be cleared away on the server, which does so in %v: %v", c.run.ID, keep, problem))
	}
}
