package loadtest

import (
	"fmt"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/scenario"
	"github.com/muster/muster/sim/workload"
)

// works gives a feed all that its shard's devices do.
func (f *feed) behave(arrivals, loads []workload.Shape, shards, shard int) {
	p := f.plan
	for g := range p.scenario.Groups {
		group, span := &p.scenario.Groups[g], p.groups[g]
		if span.count == 0 {
			continue
		}
		options := func(name string, shape *workload.Shape) workload.Options {
			return workload.Options{
				Source: workload.From(p.seed, fmt.Sprintf("%s/%s", group.Name, name)),
				Range:  workload.Range{First: span.first, Count: span.count, Offset: shard, Step: shards},
				Number: p.part.First, Shape: shape, Base: p.base, From: f.from,
			}
		}
		f.arrive(group, g, options("arrive", &arrivals[g]))
		for i := range group.Publish {
			f.publishes(group, &group.Publish[i], options(fmt.Sprintf("publish/%d", i), &loads[g]))
		}
		if r := group.Reconnect; r != nil {
			o := options("reconnect", &loads[g])
			f.add(&work{stream: workload.Again(o, r.Interval(group.Devices)), source: o.Source, group: group, full: r.Full, do: (*feed).restart})
		}
		if n := group.Network; n != nil && !n.Rebind.Zero() {
			o := options("rebind", all(p.scenario))
			f.add(&work{stream: workload.Again(o, n.Rebind), source: o.Source, group: group, rebind: true, do: (*feed).moved})
		}
		if n := group.Network; n != nil && !n.Reset.Zero() {
			o := options("reset", all(p.scenario))
			f.add(&work{stream: workload.Again(o, n.Reset), source: o.Source, group: group, reset: true})
		}
		f.outages(group, options)
	}
}

// arrive switches devices on.
func (f *feed) arrive(group *scenario.Group, g int, o workload.Options) {
	first := f.plan.scenario.First(g) - f.plan.part.First
	random := false
	for i := range f.plan.scenario.Phases {
		a := f.plan.scenario.Phases[i].Arrive
		random = random || a != nil && a.Spacing == workload.Exponential
	}
	place := func(i int) (k, of int) { return i - first, group.Devices }
	f.add(&work{stream: workload.Once(o, random, place), source: o.Source, group: group, do: (*feed).powerOn})
}

func (f *feed) powerOn(now clock.Instant, d *device.Device, out *device.Out) {
	f.count(cArrivals)
	d.PowerOn(now, out)
}

// count counts something of the task in hand, in the phase in which it was due.
func (f *feed) count(counter int) {
	f.book.mu.Lock()
	defer f.book.mu.Unlock()
	f.book.tally(f.task.Device, f.task.At).counts[counter]++
}

// at returns what a device is at.
func (f *feed) at(i int) uint8 { return f.book.dev(i).at }

// mark changes what a device is at.
func (f *feed) mark(i int, on, off uint8) {
	f.book.mu.Lock()
	defer f.book.mu.Unlock()
	f.book.set(i, on, off)
}

// restart stops a device and starts it again, with its session or without.
func (f *feed) restart(now clock.Instant, d *device.Device, out *device.Out) {
	if f.at(f.task.Device)&isOn == 0 || d.Updating() {
		return // there is nothing to restart, or a person would not
	}
	f.count(cArrivals)
	dice := f.dice()
	if dice.Float() < f.task.work.full {
		d.ClearSession()
	}
	d.Suspend(now, out)
	d.PowerOn(now, out)
}

// moved counts that a NAT has forgotten a device; the fleet has done it.
func (f *feed) moved(clock.Instant, *device.Device, *device.Out) {
	if f.at(f.task.Device)&isOn != 0 {
		f.count(cMoves)
	}
}

// outages switches devices off at the beginning of outages of power, and on again
// at the end, all at once.
func (f *feed) outages(group *scenario.Group, options func(string, *workload.Shape) workload.Options) {
	phases := f.plan.scenario.Phases
	before := time.Duration(0)
	for i := range phases {
		p := &phases[i]
		if p.Outage == "power" && p.Concerns(group.Name) {
			for j, do := range []func(*feed, clock.Instant, *device.Device, *device.Out){(*feed).cut, (*feed).restore} {
				shape := &workload.Shape{}
				shape.Line(before+time.Duration(j)*p.Duration, 0, 0)
				shape.Step(float64(group.Devices))
				o := options(fmt.Sprintf("outage/%d/%d", i, j), shape)
				at := o.Base.Add(shape.End())
				if j == 0 && at < f.from && f.from < at.Add(p.Duration) || at >= f.from {
					f.add(&work{stream: workload.Once(o, false, func(int) (int, int) { return 0, 1 }), source: o.Source, group: group, do: do})
				}
			}
		}
		before += p.Duration
	}
}

func (f *feed) cut(now clock.Instant, d *device.Device, out *device.Out) {
	if f.at(f.task.Device)&(isOn|isAsleep) != 0 {
		d.Suspend(now, out)
		d.PowerOff(now, out) // of one that sleeps
		f.mark(f.task.Device, isCut, isOn|isAsleep|isUpdating)
	}
}

func (f *feed) restore(now clock.Instant, d *device.Device, out *device.Out) {
	if f.at(f.task.Device)&isCut != 0 {
		f.mark(f.task.Device, 0, isCut)
		d.PowerOn(now, out)
	}
}

// booted sets the timer after which a device goes to sleep. The book is locked.
func (f *feed) booted(i int, at clock.Instant) {
	g := f.plan.group(i)
	sleep := f.plan.scenario.Groups[g].Sleep
	if sleep == nil {
		return
	}
	boots := &f.boots[i/f.book.shards]
	*boots++
	dice := f.sleeps[g].Roll(uint64(f.plan.part.First+i), uint64(*boots))
	bed := at.Add(seconds(sleep.Awake.Draw(&dice)))
	f.timers.push(task{Turn: workload.Turn{At: bed, Device: i, N: *boots}, do: (*feed).sleep, when: bed})
}

// sleep sends a device to sleep, unless it has restarted since the timer was set.
func (f *feed) sleep(now clock.Instant, d *device.Device, out *device.Out) {
	i := f.task.Device
	if f.at(i)&isOn == 0 || f.boots[i/f.book.shards] != f.task.N {
		return
	}
	g := f.plan.group(i)
	dice := f.sleeps[g].Roll(uint64(f.plan.part.First+i), 1<<40+uint64(f.task.N))
	d.Sleep(now, seconds(f.plan.scenario.Groups[g].Sleep.Asleep.Draw(&dice)), out)
	f.mark(i, isAsleep, isOn)
	f.count(cSleeps)
}

// seconds returns a duration of at least a millisecond.
func seconds(s float64) time.Duration {
	return max(time.Duration(s*float64(time.Second)), time.Millisecond)
}
