package workers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/workers/plan"
)

// sit takes the seat of the coordinator: there is one for each run. One that is not
// renewed for a lease is free.
func (c *coordinator) sit(ctx context.Context) error {
	k := key(c.run.ID, keyCoordinator)
	var other Notice
	if revision, err := c.bus.get(ctx, key(c.run.ID, keyRun), &other); err == nil && revision != 0 {
		if err := c.same(&other); err != nil {
			return err // before a seat is taken that is not wanted
		}
	}
	var there seat
	revision, err := c.bus.get(ctx, k, &there)
	if err != nil {
		return fmt.Errorf("workers: run %s: %w", c.run.ID, explain(err))
	}
	if revision != 0 {
		c.run.Say(fmt.Sprintf("run %s has a coordinator on %s (process %d): waiting %v for a sign of life", c.run.ID, there.Host, there.PID, c.run.Plan.Lease))
		wait(ctx, c.run.Plan.Lease)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var again seat
		now, err := c.bus.get(ctx, k, &again)
		switch {
		case err != nil:
			return fmt.Errorf("workers: run %s: %w", c.run.ID, explain(err))
		case now != revision && now != 0:
			return fmt.Errorf("workers: run %s has a coordinator that is alive, on %s (process %d): wait for it, or give another --run-id", c.run.ID, again.Host, again.PID)
		}
		revision = now
	}
	if c.seat, err = c.bus.put(ctx, k, c.mySeat(), revision); errors.Is(err, errMoved) {
		return fmt.Errorf("workers: another coordinator has just taken run %s: give another --run-id", c.run.ID)
	} else if err != nil {
		return fmt.Errorf("workers: run %s: %w", c.run.ID, explain(err))
	}
	c.seen = time.Now()
	return nil
}

func (c *coordinator) mySeat() seat {
	host, _ := os.Hostname() // for people only
	c.beat++
	return seat{c.session, host, os.Getpid(), c.beat}
}

// keepSeat renews the seat now and then.
func (c *coordinator) keepSeat() {
	if c.seating || time.Since(c.seen) < c.run.Plan.Lease/4 {
		return
	}
	c.seating = true
	mine, revision := c.mySeat(), c.seat
	go func() {
		k := key(c.run.ID, keyCoordinator)
		got, err := c.bus.put(c.ctx, k, mine, revision)
		var there seat
		if errors.Is(err, errMoved) {
			got, _ = c.bus.get(c.ctx, k, &there) // 0: it is tried again
		}
		c.post(func(clock.Instant) {
			c.seating = false
			switch {
			case err == nil, there.Session == c.session:
				c.seat, c.seen = got, time.Now()
			case got != 0:
				c.lost = fmt.Errorf("workers: run %s has another coordinator now, on %s (process %d): it writes the report", c.run.ID, there.Host, there.PID)
			}
		})
	}()
}

// notice is what everybody may know of the run.
func (c *coordinator) notice() Notice {
	o := &c.run.Plan
	return Notice{
		Protocol: plan.Protocol, Version: o.Version, Name: c.run.Name, Digest: c.run.Digest, Devices: o.Devices,
		Every: o.Every, Length: o.Length, Lease: o.Lease, Patience: c.run.Patience,
	}
}

// same reports whether what is stored is this run.
func (c *coordinator) same(there *Notice) error {
	if *there != c.notice() {
		return fmt.Errorf("workers: run %s is another one (scenario %s): go on with the same files and flags, or give another --run-id", c.run.ID, there.Name)
	}
	return nil
}

// enter stores what the run is, or goes on with what is stored.
func (c *coordinator) enter(ctx context.Context) error {
	id := c.run.ID
	var there Notice
	revision, err := c.bus.get(ctx, key(id, keyRun), &there)
	if err != nil {
		return fmt.Errorf("workers: run %s: %w", id, explain(err))
	}
	var s stop
	over, err := c.bus.get(ctx, key(id, keyStop), &s)
	switch {
	case err != nil:
		return fmt.Errorf("workers: run %s: %w", id, explain(err))
	case revision == 0 && over != 0:
		return fmt.Errorf("workers: there was a run %s already, and it is over: give another --run-id", id)
	case revision == 0:
		if _, err := c.bus.put(ctx, key(id, keyRun), c.notice(), 0); err != nil {
			return fmt.Errorf("workers: run %s: %w", id, explain(err))
		}
		return nil
	}
	if err := c.same(&there); err != nil {
		return err
	}
	if err := c.resume(ctx); err != nil {
		return fmt.Errorf("workers: going on with run %s: %w", id, explain(err))
	}
	if over != 0 {
		c.machine.Interrupt(c.now(), s.Why, &c.out)
	}
	return nil
}

// resume goes on with a run that is stored.
func (c *coordinator) resume(ctx context.Context) error {
	id := c.run.ID
	var parts []plan.Part
	if revision, err := c.bus.get(ctx, key(id, keyPlan), &parts); err != nil || revision == 0 {
		return err // it had not come far
	}
	var begin start
	revision, err := c.bus.get(ctx, key(id, keyBegin), &begin)
	if err != nil {
		return err
	}
	at := clock.Never
	if revision != 0 {
		at = clock.Instant(begin.At.Sub(c.base))
	}
	c.run.Say(fmt.Sprintf("going on with run %s", id))
	keys, err := c.bus.kv.ListKeysFiltered(ctx, key(id, keyFor, "*"))
	if err != nil {
		return err
	}
	for k := range keys.Keys() {
		var a admission
		if _, err := c.bus.get(ctx, k, &a); err != nil {
			return err
		}
		c.machine.Known(&a.Hello)
	}
	c.machine.Resume(c.now(), parts, at)
	for _, p := range parts {
		var l plan.Lease
		revision, err := c.bus.get(ctx, partKey(id, p.Index), &l)
		if err != nil {
			return err
		}
		if revision != 0 {
			c.machine.Restore(c.now(), l, revision)
		}
	}
	if at != clock.Never {
		c.setBegan(begin.At)
	}
	return nil
}
