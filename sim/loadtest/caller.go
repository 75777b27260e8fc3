package loadtest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/scenario"
	"github.com/muster/muster/sim/workload"
)

// A caller is a program that calls the cloud's API: it begins a call when one is due,
// however many are under way, up to the number of connections. Beyond that calls wait,
// and their time counts from when they were due.
type caller struct {
	conductor *conductor
	what      *scenario.Caller
	group     int
	shape     workload.Shape // calls
	source    workload.Source
	api       *api
	slots     chan struct{}
	calls     sync.WaitGroup
}

// newCaller makes a caller for the devices that are run here; nil when there are
// none.
func newCaller(c *conductor, what *scenario.Caller, a *api, slots chan struct{}) *caller {
	p := c.plan
	g := p.scenario.Group(what.Group)
	if p.groups[g].count == 0 {
		return nil
	}
	share := float64(p.groups[g].count) / float64(p.scenario.Groups[g].Devices)
	one := &caller{
		conductor: c, what: what, group: g, api: a, slots: slots,
		source: workload.From(p.seed, fmt.Sprintf("caller/%s/%d", what.Name, p.part.First)),
	}
	for i := range p.scenario.Phases {
		phase := &p.scenario.Phases[i]
		from, to := 1.0, 1.0
		if l := phase.Load; l != nil && phase.Concerns(what.Group) {
			from, to = l.From, l.To
		}
		if !what.During(phase.Name) {
			from, to = 0, 0
		}
		one.shape.Line(phase.Duration, from*what.Rate*share, to*what.Rate*share)
	}
	return one
}

// run makes calls until the scenario is over or ctx is done, and waits for those
// that are under way.
func (c *caller) run(ctx context.Context) {
	defer c.calls.Wait()
	amount := 0.0
	for n := uint64(0); ; n++ {
		dice := c.source.Roll(0, n)
		if c.what.Spacing == workload.Exponential {
			amount += dice.Exp()
		} else {
			amount++
		}
		after, ok := c.shape.When(amount)
		if !ok {
			return
		}
		due := c.conductor.plan.base.Add(after)
		if due < c.conductor.joined {
			continue
		}
		c.conductor.engine.until(ctx, due, nil)
		select {
		case c.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		if ctx.Err() != nil || c.conductor.halt.Load() {
			<-c.slots
			return
		}
		device, found := c.pick(&dice)
		if !found {
			<-c.slots
			continue
		}
		c.calls.Go(func() {
			defer func() { <-c.slots }()
			c.call(ctx, device, due)
		})
	}
}

// picks is how often a caller looks for a device that is on.
const picks = 20

// pick draws a device that is on.
func (c *caller) pick(dice *workload.Dice) (i int, found bool) {
	span := c.conductor.plan.groups[c.group]
	for range picks {
		i = span.first + int(dice.Uint64()%uint64(span.count))
		if c.conductor.bookOf(i).is(i, isOn) {
			return i, true
		}
	}
	return 0, false
}

// call makes one call and writes down what became of it.
func (c *caller) call(ctx context.Context, i int, due clock.Instant) {
	timeout := c.what.Timeout
	if timeout <= 0 {
		timeout = callTimeout
	}
	// What is under way when the run ends may still come in, but not for long.
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(drainAfterInterrupt, cancel) })
	defer stop()
	id := c.conductor.id(i)
	var err error
	switch c.what.Do {
	case "function":
		err = c.api.function(limited, id, c.what.Target, c.what.Argument)
	case "variable":
		err = c.api.variable(limited, id, c.what.Target)
	case "publish":
		err = c.api.publish(limited, c.what.Target, c.what.Argument)
	default:
		err = c.api.ping(limited, id)
	}
	c.conductor.desk.call(c.group, due, c.conductor.engine.now(), err)
}

// call writes down a call of the API, in the phase in which it was due.
func (b *book) call(group int, due, now clock.Instant, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.now.of(b.plan.phase(due), group)
	t.counts[cCalls]++
	if err != nil {
		t.counts[cCallsFailed]++
		t.cause(reason(err))
		return
	}
	t.times[tCall].Add(now.Sub(due))
}

// is reports what a device is at, to other goroutines than the shard's.
func (b *book) is(i int, bits uint8) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dev(i).at&bits == bits
}
