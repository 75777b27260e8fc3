package loadtest

import (
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/scenario"
	"github.com/muster/muster/sim/workload"
)

// keptMost is how many events a device keeps while it is offline.
const keptMost = 8

// publishes makes devices publish.
func (f *feed) publishes(group *scenario.Group, p *scenario.Publish, o workload.Options) {
	w := &work{source: o.Source, group: group, publish: p, do: (*feed).publish}
	if p.On == "online" {
		g := f.plan.group(o.Range.First)
		f.onOnline[g] = append(f.onOnline[g], w)
		return
	}
	w.stream = workload.Again(o, p.Interval(group.Devices))
	f.add(w)
}

// publish publishes an event, or keeps it for later, or drops it.
func (f *feed) publish(now clock.Instant, d *device.Device, out *device.Out) {
	i := f.task.Device
	if f.at(i)&isOn == 0 {
		return // a device without power or asleep wants nothing
	}
	f.count(cArrivals)
	if !d.Online() && f.task.work.publish.Offline == "keep" && len(f.kept[i]) < keptMost {
		f.kept[i] = append(f.kept[i], f.task)
		return
	}
	f.send(now, d, out)
}

// send publishes the event of the task in hand.
func (f *feed) send(now clock.Instant, d *device.Device, out *device.Out) {
	i, p, b := f.task.Device, f.task.work.publish, f.book
	if !d.Online() {
		f.count(cPublishRefused)
		return
	}
	b.mu.Lock()
	tag := b.takeOff(i, f.task.At, now, b.phaseAt(f.task.At))
	b.mu.Unlock()
	err := d.Publish(now, device.Publication{
		Name: p.Event, Data: f.data(p, now), WithAck: p.Acked(), NoAck: !p.Acked(), Tag: tag,
	}, out)
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.tally(i, f.task.At)
	if err != nil {
		b.land(b.dev(i), tag)
		t.counts[cPublishRefused]++
		return
	}
	t.counts[cPublishes]++
}

// data makes the data of an event.
func (f *feed) data(p *scenario.Publish, now clock.Instant) []byte {
	if p.Data != "" {
		return []byte(p.Data)
	}
	dice := f.dice()
	size := int(p.Size.Draw(&dice))
	if size > len(f.buffer) {
		f.buffer = make([]byte, size)
	}
	fill(f.buffer[:size], f.plan.wall(now))
	return f.buffer[:size]
}

// keptGap is between two events that were kept: devices publish four in a second
// at most.
const keptGap = 300 * time.Millisecond

// online does what devices do as soon as they are online. The book is locked.
func (f *feed) online(i int, at clock.Instant) {
	g := f.plan.group(i)
	when := at
	onlines := &f.onlines[i/f.book.shards]
	*onlines++
	for _, w := range f.onOnline[g] {
		f.timers.push(task{Turn: workload.Turn{At: at, Device: i, N: *onlines}, work: w, do: (*feed).publish, when: when})
		when = when.Add(keptGap)
	}
	for _, k := range f.kept[i] {
		k.do, k.when = (*feed).send, when
		f.timers.push(k)
		when = when.Add(keptGap)
	}
	delete(f.kept, i)
}
