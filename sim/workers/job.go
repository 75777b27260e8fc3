package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/workers/plan"
)

// A job is the part that a worker has in one run. Its loop is one goroutine, to
// which all others post what happened.
type job struct {
	worker  *Worker
	run     string
	notice  Notice
	payload []byte
	ctx     context.Context
	base    time.Time // where its Instants begin
	machine *plan.Worker
	out     plan.WorkerOut
	posts   chan func(now clock.Instant)
	over    bool // the run is over

	parts   []plan.Part
	tasks   map[int]*task
	clock   plan.Clock
	clocked chan struct{} // closed when the clock is known
	start   time.Time     // by the coordinator's clock; zero: not known
	begin   chan struct{} // closed when began is set
	began   time.Time
}

// A task runs one part.
type task struct {
	lease  plan.Lease
	cancel context.CancelCauseFunc
}

// errStopped is why a part ends before its time.
var errStopped = errors.New("the run was stopped")

func newJob(ctx context.Context, w *Worker, run string, n Notice, payload []byte) *job {
	j := &job{
		worker: w, run: run, notice: n, payload: payload, ctx: ctx, base: time.Now(),
		posts: make(chan func(clock.Instant), 64), tasks: make(map[int]*task),
		clocked: make(chan struct{}), begin: make(chan struct{}),
	}
	j.machine = plan.NewWorker(j.now(), w.session, n.Lease, n.Patience)
	return j
}

func (j *job) now() clock.Instant { return clock.Instant(time.Since(j.base)) }

// post has something done by the loop.
func (j *job) post(f func(now clock.Instant)) {
	select {
	case j.posts <- f:
	case <-j.ctx.Done():
	}
}

// work takes part in the run until it is over, or leave is done and everything is
// given back.
func (j *job) work(leave context.Context) (why string, err error) {
	ctx, cancel := context.WithCancel(j.ctx)
	j.ctx = ctx
	defer cancel()
	watch, err := j.worker.bus.kv.Watch(ctx, j.run+".>")
	if err != nil {
		return "", fmt.Errorf("workers: following the run: %w", err)
	}
	defer func() { _ = watch.Stop() }() // the connection may be gone
	alive, err := j.worker.bus.conn.Subscribe(subjectCall, func(m *nats.Msg) {
		var c call
		if json.Unmarshal(m.Data, &c) == nil && c.Run == j.run {
			j.post(func(now clock.Instant) { j.machine.Heard(now) })
		}
	})
	if err != nil {
		return "", fmt.Errorf("workers: following the coordinator: %w", err)
	}
	defer func() { _ = alive.Unsubscribe() }()
	go j.measure()
	return j.loop(leave, watch)
}

// helloEvery is how often a worker says that it lives.
const helloEvery = time.Second

func (j *job) loop(leave context.Context, watch jetstream.KeyWatcher) (why string, err error) {
	hello := time.NewTicker(helloEvery)
	defer hello.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	leaving := leave.Done()
	var end <-chan time.Time // when it waits for nothing more
	for {
		now := j.now()
		j.machine.Advance(now, &j.out)
		if j.carryOut() {
			why = fmt.Sprintf("the coordinator has been silent for %v", j.notice.Patience)
		}
		if (j.over || leave.Err() != nil || why != "") && j.machine.Idle() {
			return why, nil
		}
		timer.Reset(max(0, min(j.machine.Deadline().Sub(j.now()), time.Minute)))
		select {
		case <-timer.C:
		case <-hello.C:
			j.worker.hello(j)
		case f := <-j.posts:
			f(j.now())
		case e, ok := <-watch.Updates():
			if !ok {
				return "", errors.New("workers: the server ended the watch of the run")
			}
			if e != nil {
				if text := j.entry(e); text != "" {
					why = text
				}
			}
		case <-leaving:
			leaving = nil
			j.machine.Leave(j.now(), &j.out)
			end = time.After(flushTime + 3*j.notice.Lease)
		case <-end:
			return "the worker ends", nil
		}
	}
}

// entry takes what was stored. The result is why the run is over, "" if it is not.
func (j *job) entry(e jetstream.KeyValueEntry) string {
	name := strings.TrimPrefix(e.Key(), j.run+".")
	if e.Operation() != jetstream.KeyValuePut {
		if name != keyRun {
			return ""
		}
		// Cleared away.
		j.over = true
		j.machine.End(j.now(), "the run is over", &j.out)
		return "it is over"
	}
	switch {
	case name == keyPlan:
		var parts []plan.Part
		if json.Unmarshal(e.Value(), &parts) == nil {
			j.parts = parts
		}
	case name == keyBegin:
		var s start
		if json.Unmarshal(e.Value(), &s) == nil {
			j.start = s.At
			j.setBegin(j.now())
		}
	case name == keyStop:
		var s stop
		if json.Unmarshal(e.Value(), &s) == nil {
			j.over = true
			j.machine.End(j.now(), s.Why, &j.out)
			return s.Why
		}
	case strings.HasPrefix(name, keyPart+"."):
		var l plan.Lease
		if n, err := strconv.Atoi(name[len(keyPart)+1:]); err == nil && json.Unmarshal(e.Value(), &l) == nil && l.Part == n {
			j.machine.Observe(j.now(), l, e.Revision(), &j.out)
		}
	}
	return ""
}

// setBegin tells the parts when to begin, once that is known in our own time.
func (j *job) setBegin(now clock.Instant) {
	if j.start.IsZero() || !j.clock.Known() || !j.began.IsZero() {
		return
	}
	at, within := j.clock.At(j.start, now)
	j.began = j.base.Add(time.Duration(at))
	j.worker.say(fmt.Sprintf("run %s begins in %v (by the coordinator's clock, to %v)", j.run, time.Until(j.began).Round(time.Millisecond), within.Round(time.Microsecond)))
	close(j.begin)
}

// carryOut does what the machine wants. It reports whether the coordinator is given
// up.
func (j *job) carryOut() (orphaned bool) {
	orphaned = j.out.Orphaned
	for len(j.out.Leases)+len(j.out.Start)+len(j.out.Stop) > 0 {
		out := j.out
		j.out = plan.WorkerOut{}
		for _, h := range out.Stop {
			if t := j.tasks[h.Part]; t != nil {
				cause := errStopped
				if h.Fenced {
					cause = ErrFenced
					j.worker.say(fmt.Sprintf("part %d is lost: %s", h.Part, h.Why))
				}
				t.cancel(cause)
			}
		}
		for _, w := range out.Leases {
			go j.write(w)
		}
		for _, l := range out.Start {
			j.startTask(l)
		}
	}
	j.out.Reset()
	return orphaned
}

// write stores a lease and tells the machine how that went.
func (j *job) write(w plan.Write) {
	b, k := j.worker.bus, partKey(j.run, w.Lease.Part)
	// A renewal that takes long is of no use.
	ctx, cancel := context.WithTimeout(j.ctx, j.notice.Lease/2)
	defer cancel()
	revision, err := b.put(ctx, k, w.Lease, w.Revision)
	if err == nil {
		j.post(func(now clock.Instant) { j.machine.Wrote(now, w.Lease, revision, &j.out) })
		return
	}
	var stored *plan.Lease
	if errors.Is(err, errMoved) {
		stored = &plan.Lease{}
		if revision, err = b.get(ctx, k, stored); err != nil {
			stored = nil
		}
	}
	j.post(func(now clock.Instant) { j.machine.Refused(now, w.Lease.Part, stored, revision, &j.out) })
}

// startTask begins to run a part.
func (j *job) startTask(l plan.Lease) {
	ctx, cancel := context.WithCancelCause(j.ctx)
	j.tasks[l.Part] = &task{l, cancel}
	if l.Part < 0 || l.Part >= len(j.parts) {
		go j.ended(l, fmt.Errorf("there is no part %d in the plan", l.Part))
		return
	}
	part := j.parts[l.Part]
	j.worker.say(fmt.Sprintf("run %s: preparing %v", j.run, part))
	go func() { j.ended(l, j.runPart(ctx, part, l)) }()
}

// ended tells the machine that a part has ended.
func (j *job) ended(l plan.Lease, err error) {
	why := ""
	if err != nil {
		why = err.Error()
		j.worker.say(fmt.Sprintf("part %d failed: %v", l.Part, err))
	}
	j.post(func(now clock.Instant) {
		if t := j.tasks[l.Part]; t != nil && t.lease.Epoch == l.Epoch {
			t.cancel(errStopped)
			delete(j.tasks, l.Part)
		}
		j.machine.Ended(now, l.Part, l.Epoch, why, &j.out)
	})
}

// runPart does everything for a part. The error is why it could not.
func (j *job) runPart(ctx context.Context, part plan.Part, l plan.Lease) error {
	p, err := j.worker.runner.Prepare(ctx, j.payload, part)
	if ctx.Err() != nil {
		if err == nil {
			p.Close()
		}
		return nil
	}
	if err != nil {
		return err
	}
	for _, ready := range []<-chan struct{}{j.clocked, j.begin} {
		if ready == (<-chan struct{})(j.begin) {
			j.post(func(now clock.Instant) { j.machine.Prepared(now, l.Part, l.Epoch, &j.out) })
		}
		select {
		case <-ready:
		case <-ctx.Done():
			p.Close()
			return nil
		}
	}
	box := newOutbox(j.ctx, j.worker.bus, j.run, l, j.worker.say)
	err = p.Run(ctx, j.began, box)
	if ctx.Err() != nil {
		err = nil
	}
	if errors.Is(context.Cause(ctx), ErrFenced) {
		// Somebody else has the devices by now. What was measured is told when the server
		// can be reached again, as long as the run goes on.
		go j.flush(j.ctx, box, l)
		return nil
	}
	// The part is ours until all is told; if that takes too long, it is lost anyway.
	flush, cancel := context.WithTimeout(j.ctx, max(flushTime, 2*j.notice.Lease))
	defer cancel()
	j.flush(flush, box, l)
	return err
}

// flushTime is how long a part that is over may take to tell what it measured.
const flushTime = time.Minute

// flush waits until all that was measured is stored.
func (j *job) flush(ctx context.Context, box *outbox, l plan.Lease) {
	box.close(ctx)
	if n := box.left(); n > 0 {
		j.worker.say(fmt.Sprintf("part %d: %d intervals could not be stored and are lost", l.Part, n))
	}
}

// measure asks the coordinator what time it is, often at first.
func (j *job) measure() {
	const quick, pause = 8, 10 * time.Second
	for n := 0; j.ctx.Err() == nil; n++ {
		sent := j.now()
		m, err := j.worker.bus.conn.RequestWithContext(within(j.ctx, 2*time.Second), subjectClock+j.run, nil)
		received := j.now()
		var theirs time.Time
		if err == nil && theirs.UnmarshalText(m.Data) == nil {
			j.post(func(now clock.Instant) {
				first := !j.clock.Known()
				j.clock.Add(sent, received, theirs)
				if first {
					close(j.clocked)
				}
				j.setBegin(now)
			})
		}
		if n < quick {
			wait(j.ctx, 100*time.Millisecond)
		} else {
			wait(j.ctx, pause)
		}
	}
}

// within is a context with a limit. Its resources are freed when that is over.
func within(ctx context.Context, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(ctx, d)
	context.AfterFunc(ctx, cancel)
	return ctx
}
