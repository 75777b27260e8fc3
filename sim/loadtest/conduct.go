package loadtest

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/scenario"
	"github.com/muster/muster/transport"
)

// A conductor keeps the time of a run: it closes the books once an interval.
type conductor struct {
	options *Options
	plan    *plan
	engine  engine
	run     *record.Run
	halt    atomic.Bool // no more is begun

	tcp       []bool // which devices are over TCP, until the books know
	books     []*book
	desk      *book         // of the API's callers: it has no devices
	joined    clock.Instant // when this part began
	callers   []*caller
	campaigns []*campaign
	spares    []*tallies // one a book, to put in the place of what is taken
	wire      transport.Counts
	stray     uint64
	up, down  uint64            // bytes sent and received so far
	heard     uint64            // how often a device came online
	silent    bool              // that nothing comes back has been told
	seen      map[string]uint64 // errors by reason, so far
	last      clock.Instant     // end of the last interval
	phase     int               // that has been told of

	mu    sync.Mutex
	notes []record.Note // that wait to be told
}

// header is what is known of the run before it begins.
func (c *conductor) header() *record.Run {
	r := Describe(c.options)
	r.Began = c.plan.began
	r.Hosts = []record.Host{Host(c.options.Worker)}
	return r
}

// Describe returns what is known of a run before it begins, but for the machines
// that take part: for whoever brings parts together.
func Describe(o *Options) *record.Run {
	r := &record.Run{
		Format: record.Format, Muster: o.Muster, Name: o.Scenario.Name, Began: o.Began, Seed: o.Seed,
		Every: o.Scenario.Every(), Scenario: o.Scenario.Source(), Cloud: o.Cloud.Name, Command: o.Command,
		Levels: make(map[string]map[record.Level]int64),
	}
	for i := range o.Scenario.Groups {
		g := &o.Scenario.Groups[i]
		group := record.Group{Name: g.Name, First: o.Scenario.First(i), Devices: g.Devices, RSAKeys: g.RSAKeys}
		if kinds, err := g.Kinds(); err == nil {
			for _, k := range kinds {
				group.Profiles = append(group.Profiles, k.String())
			}
		}
		r.Groups = append(r.Groups, group)
	}
	at := time.Duration(0)
	for i := range o.Scenario.Phases {
		p := &o.Scenario.Phases[i]
		r.Phases = append(r.Phases, record.Phase{Name: p.Name, Start: at, End: at + p.Duration, Doing: p.Doing()})
		at += p.Duration
	}
	return r
}

// conduct runs the scenario.
func (c *conductor) conduct(ctx context.Context) (*record.Run, error) {
	if b, ok := c.options.Sink.(Beginner); ok {
		b.Begin(c.run)
	}
	c.engine.start()
	atDesk, closeDesk := context.WithCancel(ctx)
	defer closeDesk()
	var others sync.WaitGroup
	for _, one := range c.callers {
		others.Go(func() { one.run(atDesk) })
	}
	for _, one := range c.campaigns {
		others.Go(func() { one.run(atDesk) })
	}
	c.last = max(c.engine.now(), c.plan.base)
	every := c.options.Scenario.Every()
	end := c.plan.end()
	for at := c.plan.base; c.engine.now() < end && ctx.Err() == nil && !c.broken(); {
		at = c.tick(at, every)
		c.engine.until(ctx, min(at, end), nil)
		if now := c.engine.now(); now >= min(at, end) || ctx.Err() != nil || c.broken() {
			c.sample(now)
		}
	}
	c.halt.Store(true)
	c.run.Interrupted = ctx.Err() != nil && c.engine.now() < end
	closeDesk()
	c.drain(ctx)
	others.Wait()
	c.sample(c.engine.now())
	return c.finish()
}

// tick returns the end of the next interval: intervals begin with the run, and a
// part that joined keeps their time.
func (c *conductor) tick(at clock.Instant, every time.Duration) clock.Instant {
	for at <= c.last {
		at = at.Add(every)
	}
	return at
}

func (c *conductor) broken() bool {
	select {
	case <-c.engine.failed():
		return true
	default:
		return false
	}
}

// drainAfterInterrupt is how long an interrupted run waits for what is
// unacknowledged.
const drainAfterInterrupt = 2 * time.Second

// ErrAbort ends a run at once, as the cause of a context that is done: nothing is
// sent any more, and nothing waited for. What was measured is told all the same.
var ErrAbort = errors.New("loadtest: ended at once")

// drain waits for what is unacknowledged at the end.
func (c *conductor) drain(ctx context.Context) {
	if errors.Is(context.Cause(ctx), ErrAbort) {
		_ = c.engine.stop() // finish asks again
		return
	}
	wait := c.options.Scenario.Patience()
	if ctx.Err() != nil {
		wait = min(wait, drainAfterInterrupt)
		ctx = context.Background()
	}
	for until := c.engine.now().Add(wait); c.engine.now() < until && ctx.Err() == nil && !c.broken() && c.inAir() > 0; {
		c.engine.until(ctx, min(until, c.engine.now().Add(drainStep)), nil)
	}
}

const drainStep = 50 * time.Millisecond

// inAir returns how many events are unacknowledged.
func (c *conductor) inAir() (n int) {
	for _, b := range c.books {
		_, air := b.standing()
		n += air
	}
	return n
}

// finish ends the run and judges it.
func (c *conductor) finish() (*record.Run, error) {
	err := c.engine.stop()
	if err != nil {
		c.note(record.Note{Kind: "generator", Text: fmt.Sprintf("the sockets of this machine failed: %v", err)})
	}
	for reason, n := range c.seen {
		if n > 1 {
			c.note(record.Note{Kind: "cloud", Text: unreached(reason), Count: n})
		}
	}
	c.tell()
	if c.run.Interrupted {
		Cut(c.run, c.last.Sub(c.plan.base))
	}
	if c.plan.part.Count == c.options.Scenario.Devices() {
		scenario.Judge(c.options.Scenario, c.run)
	}
	return c.run, nil
}

// Cut takes the phases away that an interrupted run did not reach: it ended at an
// offset from its beginning.
func Cut(r *record.Run, end time.Duration) {
	kept := r.Phases[:0]
	for _, p := range r.Phases {
		if p.Start < end {
			p.End = min(p.End, end)
			kept = append(kept, p)
		}
	}
	r.Phases = kept
}

// note takes a note, from any goroutine.
func (c *conductor) note(n record.Note) {
	n.At = max(c.engine.now().Sub(c.plan.base), 0)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notes = append(c.notes, n)
}

// tell tells the sink what was noted.
func (c *conductor) tell() {
	c.mu.Lock()
	notes := c.notes
	c.notes = nil
	c.mu.Unlock()
	for _, n := range notes {
		c.run.Notes = append(c.run.Notes, n)
		c.options.Sink.Note(n)
	}
}

// tellPhase notes that a phase has begun.
func (c *conductor) tellPhase(now clock.Instant) {
	for p := c.plan.phase(now); c.phase < p; {
		c.phase++
		text := c.run.Phases[c.phase].Name
		if doing := c.run.Phases[c.phase].Doing; doing != "" {
			text += ": " + doing
		}
		n := record.Note{At: c.run.Phases[c.phase].Start, Kind: "phase", Text: text}
		c.mu.Lock()
		c.notes = append(c.notes, n)
		c.mu.Unlock()
	}
}

// sample ends an interval.
func (c *conductor) sample(now clock.Instant) {
	c.tellPhase(now - 1)
	c.tell()
	base := record.Sample{
		At: max(now.Sub(c.plan.base), 0), Every: max(now.Sub(c.last), 0), Worker: c.options.Worker,
	}
	c.last = max(now, c.last)
	p := c.plan
	sum := newTallies(p)
	lag := time.Duration(0)
	list := make([]record.Tally, len(sum.list))
	standing := make([]levels, len(p.groups))
	for i, b := range append(c.books[:len(c.books):len(c.books)], c.desk) {
		taken, l := b.take(c.spares[i])
		lag = max(lag, l)
		for j, t := range taken.list {
			if t != nil {
				t.addTo(&list[j])
				t.reset()
			}
		}
		taken.forget(max(p.phase(now)-1, 0))
		c.spares[i] = taken
		at, _ := b.standing()
		for g := range at {
			for k := range at[g] {
				standing[g][k] += at[g][k]
			}
		}
	}
	current := p.phase(now - 1)
	for phase := range p.ends {
		for g := range p.groups {
			t := &list[phase*len(p.groups)+g]
			if empty(t) && phase != current {
				continue
			}
			s := base
			s.Phase, s.Group, s.Tally = p.scenario.Phases[phase].Name, p.scenario.Groups[g].Name, *t
			if phase == current {
				s.Levels = c.levels(g, standing[g])
				c.run.Levels[s.Group] = s.Levels
			}
			c.give(&s)
		}
	}
	base.Phase = p.scenario.Phases[current].Name
	for _, one := range c.campaigns {
		base.Campaign(one.what.Name, one.since())
	}
	c.self(&base, lag)
	c.give(&base)
	c.tell()
}

func empty(t *record.Tally) bool {
	return len(t.Counts) == 0 && len(t.Errors) == 0 && len(t.Bytes) == 0 && len(t.Times) == 0
}

// give adds a sample to the run and hands it on.
func (c *conductor) give(s *record.Sample) {
	c.heard += s.Counts[record.Connected]
	for reason, n := range s.Errors {
		if c.seen[reason] == 0 {
			text := unreached(reason)
			if c.heard == 0 {
				text += hint(reason)
			}
			c.note(record.Note{Kind: "cloud", Text: text})
		}
		c.seen[reason] += n
	}
	moved := s.Traffic()
	c.up, c.down = c.up+moved.Up, c.down+moved.Down
	if s.Group == "" && !c.silent && c.up > 0 && c.down == 0 && s.At > silence {
		c.silent = true
		c.note(record.Note{Kind: "cloud", Text: fmt.Sprintf("nothing comes back from %s: is a cloud there, and is this its port?", c.options.Cloud.Name)})
	}
	c.run.Cell(s.Phase, s.Group).Add(&s.Tally)
	c.options.Sink.Sample(s)
}

// silence is how long nothing may come back before that is told.
const silence = 5 * time.Second

// unreached says what an error means for the fleet, once.
func unreached(reason string) string {
	if strings.HasPrefix(reason, "api: ") {
		return "calls fail: " + reason
	}
	return "connections end: " + reason
}

// hint says what to look at when no device has come online so far, "" when that is not
// known.
func hint(reason string) string {
	switch reason {
	case device.HandshakeFailed.String(), device.KeyTimeout.String():
		return ": does the cloud know the keys of these devices (--register), and is --cloud-key that of this cloud?"
	case device.StreamFailed.String():
		return ": does the cloud listen there for devices over TCP (--tcp-port)?"
	}
	return ""
}

// levels returns how the devices of a group are.
func (c *conductor) levels(group int, at levels) map[record.Level]int64 {
	n := int64(c.plan.groups[group].count)
	asleep, on := at[bitOf(isAsleep)], at[bitOf(isOn)]
	return map[record.Level]int64{
		record.Devices: n, record.Online: at[bitOf(isOnline)], record.Connecting: at[bitOf(isTrying)],
		record.Sleeping: asleep, record.Updating: at[bitOf(isUpdating)], record.Off: n - on - asleep,
	}
}

// bitOf returns the number of a bit.
func bitOf(bit uint8) (n int) {
	for ; bit > 1; bit >>= 1 {
		n++
	}
	return n
}

// self completes the sample of no group.
func (c *conductor) self(s *record.Sample, lag time.Duration) {
	m := c.engine.metrics()
	since := func(k transport.Counter) uint64 { return m.Wire[k] - c.wire[k] }
	s.Count(record.SocketDrops, since(transport.DropSocketFull))
	refused := since(transport.SendRefused)
	s.Count(record.SendRefused, refused)
	s.Count(record.SendFailed, since(transport.SendFull)+since(transport.SendNoRoute)+since(transport.SendFailed))
	s.Count(record.Stray, m.Stray-c.stray)
	if refused > 0 && c.wire[transport.SendRefused] == 0 {
		c.note(record.Note{Kind: "cloud", Text: "nobody listens at " + c.options.Cloud.Name + ": datagrams are refused"})
	}
	c.wire, c.stray = m.Wire, m.Stray
	s.Levels = map[record.Level]int64{record.Queued: int64(m.Queued)}
	if c.options.Self != nil {
		s.Self = c.options.Self()
	}
	if s.Self != nil {
		s.Self.Lag, s.Self.SocketDrops = lag, s.Counts[record.SocketDrops]
	}
}

// Summary returns the reasons for which connections ended, the most frequent
// first, in words.
func Summary(errors map[string]uint64) string {
	list := make([]string, 0, len(errors))
	for e := range errors {
		list = append(list, e)
	}
	sort.Slice(list, func(i, j int) bool {
		a, b := errors[list[i]], errors[list[j]]
		return a > b || a == b && list[i] < list[j]
	})
	for i, e := range list {
		list[i] = fmt.Sprintf("%s %d", e, errors[e])
	}
	return strings.Join(list, ", ")
}

// bookOf returns the book of a device here.
func (c *conductor) bookOf(i int) *book { return c.books[i%len(c.books)] }

// id returns the id of a device here.
func (c *conductor) id(i int) device.ID { return c.options.Member(c.plan.part.First + i).ID }
