package workers

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/workers/plan"
)

// A WorkerConfig says what a worker is.
type WorkerConfig struct {
	Name     string // [plan.ValidName]
	Version  string // of the program
	Capacity int    // devices it has room for
	Sockets  int    // devices it has room for when each needs a socket
	Host     record.Host
	Secret   Secret // of the workers; nil: none
	Once     bool   // end after one run
	// Wait is how long to wait for the first run; 0: for ever.
	Wait time.Duration
	// Say tells a person what happens, in one line.
	Say func(string)
}

// A Worker waits for runs and has its part in them, one run at a time.
type Worker struct {
	bus     *Bus
	config  WorkerConfig
	runner  Runner
	session string
	keys    *keyPair

	calls    chan call
	admitted chan entry
	told     string // of the last refusal
}

// An entry is an admission and the run that it is for.
type entry struct {
	run string
	admission
}

// ErrNoWork says that no run came in time.
var ErrNoWork = errors.New("no run came in time")

// NewWorker returns a worker on a server.
func NewWorker(b *Bus, c WorkerConfig, r Runner) (*Worker, error) {
	keys, err := newKeyPair()
	if err != nil {
		return nil, err
	}
	if c.Say == nil {
		c.Say = func(string) {}
	}
	return &Worker{
		bus: b, config: c, runner: r, session: newSession(), keys: keys,
		calls: make(chan call, 16), admitted: make(chan entry, 16),
	}, nil
}

// newSession draws what tells this process from others.
func newSession() string {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("workers: no random bytes: " + err.Error()) // crypto/rand never returns one
	}
	return hex.EncodeToString(b[:])
}

func (w *Worker) say(text string) { w.config.Say(text) }

// Serve works until ctx is done; what it has then is given back. With Once it
// returns after one run.
func (w *Worker) Serve(ctx context.Context) error {
	// The work itself goes on for a little while when ctx is done.
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	watch, err := w.bus.kv.Watch(inner, "*."+keyFor+"."+w.session)
	if err != nil {
		return fmt.Errorf("workers: waiting for work: %w", explain(err))
	}
	defer func() { _ = watch.Stop() }()
	go func() {
		for e := range watch.Updates() {
			if e == nil || len(e.Value()) == 0 {
				continue
			}
			var a admission
			if json.Unmarshal(e.Value(), &a) == nil {
				select {
				case w.admitted <- entry{run: runOf(e.Key()), admission: a}:
				case <-inner.Done():
					return
				}
			}
		}
	}()
	for subject, take := range map[string]nats.MsgHandler{subjectCall: w.called, subjectRefused + w.session: w.refused} {
		sub, err := w.bus.conn.Subscribe(subject, take)
		if err != nil {
			return fmt.Errorf("workers: waiting for work: %w", explain(err))
		}
		defer func() { _ = sub.Unsubscribe() }()
	}
	return w.wait(ctx, inner)
}

func runOf(key string) string {
	for i := range key {
		if key[i] == '.' {
			return key[:i]
		}
	}
	return key
}

// called takes the call of a coordinator.
func (w *Worker) called(m *nats.Msg) {
	var c call
	if json.Unmarshal(m.Data, &c) == nil && plan.ValidName(c.Run) {
		select {
		case w.calls <- c:
		default: // it calls again
		}
	}
}

// refused tells a person once why a coordinator does not want this worker.
func (w *Worker) refused(m *nats.Msg) {
	var r plan.Refusal
	if json.Unmarshal(m.Data, &r) != nil {
		return
	}
	if text := fmt.Sprintf("refused by a coordinator: %s", r.Why); w.told != text {
		w.told = text
		w.say(text)
	}
}

// wait answers coordinators until one has work.
func (w *Worker) wait(ctx, inner context.Context) error {
	w.say(fmt.Sprintf("worker %s is ready for %d devices and waits for work", w.config.Name, w.config.Capacity))
	var patience <-chan time.Time
	if w.config.Wait > 0 {
		patience = time.After(w.config.Wait)
	}
	sealed := make(map[string]bool) // runs that this worker cannot open
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-patience:
			return ErrNoWork
		case c := <-w.calls:
			if !sealed[c.Run] {
				w.answer(c.Run)
			}
		case e := <-w.admitted:
			if sealed[e.run] {
				continue
			}
			did, err := w.take(ctx, inner, e)
			switch {
			case errors.Is(err, errSealed):
				sealed[e.run] = true
				w.say(fmt.Sprintf("run %s cannot be read: %v", e.run, err))
			case err != nil && ctx.Err() == nil:
				w.say(fmt.Sprintf("run %s: %v", e.run, err))
			}
			if !did {
				continue
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if w.config.Once {
				return err
			}
			patience = nil
			w.say("waiting for work")
		}
	}
}

// answer says hello to a coordinator.
func (w *Worker) answer(run string) {
	h := w.greeting()
	b, err := json.Marshal(h)
	if err != nil {
		panic("workers: encoding a hello: " + err.Error())
	}
	_ = w.bus.conn.Publish(subjectHello+run, b) // it calls again
}

func (w *Worker) greeting() plan.Hello {
	h := plan.Hello{
		Protocol: plan.Protocol, Version: w.config.Version, Name: w.config.Name, Session: w.session,
		Capacity: w.config.Capacity, Sockets: w.config.Sockets, Key: w.keys.public, Host: w.config.Host,
	}
	h.Proof = w.config.Secret.proof(&h)
	return h
}

// hello says to the coordinator of a job that this worker lives.
func (w *Worker) hello(j *job) {
	h := w.greeting()
	h.Run = j.run
	if j.clock.Known() {
		theirs, within := j.clock.Theirs(j.now())
		h.Offset, h.Within = time.Until(theirs), within
	}
	b, err := json.Marshal(&h)
	if err != nil {
		panic("workers: encoding a hello: " + err.Error())
	}
	_ = w.bus.conn.Publish(subjectHello+j.run, b)
}

// take takes part in a run. did is false when there is nothing to do.
func (w *Worker) take(ctx, inner context.Context, e entry) (did bool, err error) {
	var n Notice
	revision, err := w.bus.get(inner, key(e.run, keyRun), &n)
	if err != nil || revision == 0 {
		return false, err
	}
	var s stop
	if revision, err := w.bus.get(inner, key(e.run, keyStop), &s); err != nil || revision != 0 {
		return false, err // it is over already
	}
	if n.Protocol != plan.Protocol {
		return false, fmt.Errorf("its coordinator speaks version %d of the protocol, and this worker %d: run the same muster everywhere", n.Protocol, plan.Protocol)
	}
	payload, err := w.keys.open(w.config.Secret.info(e.run, w.session), e.Sealed)
	if err != nil {
		return false, err
	}
	w.say(fmt.Sprintf("run %s (%s): %d devices in all", e.run, n.Name, n.Devices))
	work, cancel := context.WithCancel(inner)
	defer cancel()
	j := newJob(work, w, e.run, n, payload)
	why, err := j.work(ctx)
	if ctx.Err() != nil {
		h := w.greeting()
		h.Run, h.Leaving = e.run, true
		if b, err := json.Marshal(&h); err == nil {
			_ = w.bus.conn.Publish(subjectHello+e.run, b)
			_ = w.bus.conn.FlushTimeout(answerTime)
		}
	}
	if err == nil {
		w.say(fmt.Sprintf("run %s: %s", e.run, why))
	}
	return true, err
}
