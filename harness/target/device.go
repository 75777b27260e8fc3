package target

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/profile"
)

// An Event is something that a device says happened to it. Checks use it to know
// when to look at the wire, not to judge.
type Event = device.Event

// The kinds of events that checks wait for.
const (
	Online         = device.Online
	Offline        = device.Offline
	EventReceived  = device.EventReceived
	FunctionCalled = device.FunctionCalled
	UpdateApplied  = device.UpdateApplied
	UpdateProgress = device.UpdateProgress
	Published      = device.Published
	PublishFailed  = device.PublishFailed
	TimeSet        = device.TimeSet
	LedgerSynced   = device.LedgerSynced
	Claimed        = device.Claimed
)

// A Device is one simulated device.
type Device struct {
	ID      device.ID
	Profile *profile.Profile
	// Account is 0 or 1: there are two accounts, so that isolation can be seen.
	Account int

	env   *Env
	board Board    // what it is, if it is not simulated
	who   Identity // of the board
	// registers are the functions and variables that the application of the board has.
	registers []string
	boarding  sync.Mutex // held while the board is asked for something
	group     *Group     // that it is judged with; nil for a device made by a check alone
	index     int        // in the fleet; -1 for a board
	host      string     // the IP address that it has at first

	restarted Mark

	mu      sync.Mutex
	log     []logged
	more    chan struct{} // closed when something was added to log
	powered bool          // has been switched on, ever
	// replaced: a puppet took its place, and it was not switched on since.
	replaced bool
	// stoodUp is how many puppets in succession it did not connect to.
	stoodUp int
	online  bool
	was     bool // online, ever

	deliveries map[uint64]delivery // to a board, on their way, by exchange

	describe  sync.Once
	described chan struct{} // closed when the cloud knows its functions and variables
}

// A logged event.
type logged struct {
	at    clock.Instant
	event Event
}

// String returns the id and the profile.
func (d *Device) String() string { return fmt.Sprintf("%s (%s)", d.Hex(), d.Profile) }

// Hex returns the id as 24 hexadecimal digits.
func (d *Device) Hex() string { return trace.DeviceID(d.ID).String() }

// note takes an event from the fleet.
func (d *Device) note(at clock.Instant, e Event) {
	e.Data = slices.Clone(e.Data) // it holds only until the machine's Out is reset
	d.mu.Lock()
	defer d.mu.Unlock()
	switch e.Kind {
	case device.Online:
		d.online, d.was = true, true
	case device.Offline:
		d.online = false
	default:
	}
	d.log = append(d.log, logged{at, e})
	close(d.more)
	d.more = make(chan struct{})
}

// FirstOnline returns when the device was connected first, clock.Never if it
// never was.
func (d *Device) FirstOnline() clock.Instant {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.log {
		if l.event.Kind == device.Online {
			return l.at
		}
	}
	return clock.Never
}

// Connected reports whether the device calls itself connected.
func (d *Device) Connected() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.online
}

// A Mark is a place in what happened to a device.
type Mark struct {
	// At is the time of the run: packets from then on are those behind the mark.
	At    clock.Instant
	event int
}

// Mark returns the present.
func (d *Device) Mark() Mark {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Mark{At: d.env.clock.Now(), event: len(d.log)}
}

// Await returns the first event behind the mark that fits.
func (d *Device) Await(ctx context.Context, since Mark, fits func(*Event) bool) (Event, error) {
	for i := since.event; ; {
		d.mu.Lock()
		more := d.more
		for ; i < len(d.log); i++ {
			if e := d.log[i].event; fits(&e) {
				d.mu.Unlock()
				return e, nil
			}
		}
		d.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return Event{}, fmt.Errorf("device %s: waiting for it: %w", d, ctx.Err())
		}
	}
}

// awaitNext is Await, and moves the mark behind the event.
func (d *Device) awaitNext(ctx context.Context, since *Mark, fits func(*Event) bool) (Event, error) {
	passed := 0
	e, err := d.Await(ctx, *since, func(e *Event) bool {
		passed++
		return fits(e)
	})
	since.event += passed
	return e, err
}

// Events returns what happened behind the mark.
func (d *Device) Events(since Mark) []Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []Event
	for _, l := range d.log[min(since.event, len(d.log)):] {
		list = append(list, l.event)
	}
	return list
}

// AwaitOnline waits until the device calls itself connected.
func (d *Device) AwaitOnline(ctx context.Context, since Mark) (Event, error) {
	return d.Await(ctx, since, func(e *Event) bool { return e.Kind == device.Online })
}

// Packets returns the packets of the device behind the mark, as they crossed the
// wire.
func (d *Device) Packets(since Mark) []*trace.Packet {
	d.mu.Lock()
	host := d.host
	d.mu.Unlock()
	return d.env.wire.of(d.env.clock.Now, trace.DeviceID(d.ID), host, since.At)
}

// PowerOn boots the device, which then connects.
func (d *Device) PowerOn() {
	d.mu.Lock()
	d.powered, d.replaced = true, false
	d.mu.Unlock()
	if d.board != nil {
		d.boardDo(Power, Board.PowerOn)
		return
	}
	d.env.fleet.PowerOn(d.index)
}

// Bring waits until the device is connected and has described itself, and switches it on if it never was.
// It does not wait for one that has never been connected although it was switched
// on.
func (d *Device) Bring(ctx context.Context) {
	mark := d.Mark()
	d.mu.Lock()
	powered, online, was := d.powered, d.online, d.was
	d.mu.Unlock()
	switch {
	case online && !powered: // it was left switched on, and was faster than this
		d.awaitDescribed(ctx)
		return
	case !powered:
		if d.PowerOn(); d.Absent() != "" {
			return // it had its time to come back
		}
	case online || !was:
		return
	}
	ctx, cancel := d.whileThere(ctx)
	defer cancel()
	if _, err := d.AwaitOnline(ctx, mark); err != nil {
		return // who does not come is for checks to tell
	}
	d.awaitDescribed(ctx)
}

// awaitDescribed waits until the cloud knows what the device offers. Of a foreign
// cloud nobody knows when that is: then it ends when the device has said it.
func (d *Device) awaitDescribed(ctx context.Context) {
	if d.env.cloud == nil {
		ctx, cancel := context.WithTimeout(ctx, describeMax)
		defer cancel()
		_ = d.env.Until(ctx, d.toldDescribe) // if it does not, the cloud has not asked: checks tell
		return
	}
	select {
	case <-d.described:
	case <-ctx.Done():
	}
}

// describeMax is how long a foreign cloud may take to have a describe.
const describeMax = 8 * time.Second

// toldDescribe reports whether the device has described itself, on the wire.
func (d *Device) toldDescribe() bool {
	for _, p := range d.Packets(Mark{}) {
		for _, m := range p.Messages() {
			if m.Kind == pdc.KindDescribePost || m.Kind == pdc.KindDescribeResponse {
				return true
			}
		}
	}
	return false
}

// greeted reports whether the device has said Hello behind the mark, on the wire.
func (d *Device) greeted(since Mark) bool {
	for _, p := range d.Packets(since) {
		for _, m := range p.Messages() {
			if m.Kind == pdc.KindHello {
				return true
			}
		}
	}
	return false
}

// Disconnect ends the connection in an orderly way; Connect begins another.
func (d *Device) Disconnect() {
	if d.board != nil {
		d.boardCommand("disconnect")
		return
	}
	d.env.fleet.Disconnect(d.index)
}

// Connect ends what Disconnect began.
func (d *Device) Connect() {
	if d.board != nil {
		d.boardCommand("connect")
		return
	}
	d.env.fleet.Connect(d.index)
}

// Suspend stops the device as if its process had been killed. It keeps its
// retained memory, so PowerOn continues with a resume.
func (d *Device) Suspend() {
	if d.board != nil {
		d.boardDo(Power, Board.PowerOff)
		return
	}
	d.env.fleet.Suspend(d.index)
}

// Reset resets a board with its power on. The mark is when it was back: what comes
// behind it is of its new life.
func (d *Device) Reset(ctx context.Context) (Mark, error) {
	mark := d.Mark()
	if err := d.need(Resets); err != nil {
		return mark, err
	}
	d.boarding.Lock()
	defer d.boarding.Unlock()
	ctx, cancel := context.WithTimeout(ctx, resetTime)
	defer cancel()
	back, err := d.board.Reset(ctx, d.Release)
	if err == nil {
		noticed := max(mark.At, clock.Instant(back.Sub(d.env.clock.Start())))
		mark = d.markAt(backSince(d.Packets(mark), mark.At, noticed))
	}
	return mark, err
}

// backSince returns when a board was back that was reset at an instant. Its bus shows
// that, but on a busy machine so late that the board has begun to talk before: with a
// session that it goes on with, or a new one.
func backSince(packets []*trace.Packet, reset, noticed clock.Instant) clock.Instant {
	for _, p := range packets {
		if p.Direction == trace.Up && p.At > reset && p.At <= noticed && (p.Resume || saysHello(p)) {
			return p.At - 1
		}
	}
	return noticed
}

// saysHello reports whether a packet begins a handshake.
func saysHello(p *trace.Packet) bool {
	for i := range p.Records {
		for _, h := range p.Records[i].Handshake {
			if h.Type == trace.ClientHello {
				return true
			}
		}
	}
	return false
}

// markAt is the mark of an instant.
func (d *Device) markAt(at clock.Instant) Mark {
	d.mu.Lock()
	defer d.mu.Unlock()
	mark := Mark{At: at}
	for mark.event < len(d.log) && d.log[mark.event].at <= at {
		mark.event++
	}
	return mark
}

// awaitTalk waits until the device and its cloud have talked behind an instant: it has
// said something, and heard something after that.
func (d *Device) awaitTalk(ctx context.Context, since clock.Instant) error {
	return d.env.Until(ctx, func() bool {
		said := false
		for _, p := range d.Packets(Mark{At: since}) {
			if p.At <= since || len(p.Messages()) == 0 {
				continue
			}
			if said = said || p.Direction == trace.Up; said && p.Direction == trace.Down {
				return true
			}
		}
		return false
	})
}

// quietTime is how long nothing must come from a board that has said all that it says
// when it connects, quietMax how long that is waited for.
const (
	quietTime = 2 * time.Second
	quietMax  = 20 * time.Second
)

// awaitQuiet waits until a board has said all that it says when it connects: before,
// the cloud does not know all that a resume counts on.
func (d *Device) awaitQuiet(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, quietMax)
	defer cancel()
	for {
		packets := d.Packets(Mark{})
		if len(packets) == 0 {
			return
		}
		left := quietTime - d.env.Now().Sub(packets[len(packets)-1].At)
		if left <= 0 {
			return
		}
		select {
		case <-time.After(left):
		case <-ctx.Done():
			return // a board that never is quiet is judged all the same
		}
	}
}

// resetTime bounds a reset, with the proof that it was one.
const resetTime = 90 * time.Second

// NetworkChanged gives the device another address.
func (d *Device) NetworkChanged() {
	if d.need(Roaming) == nil {
		d.env.fleet.NetworkChange(d.index)
	}
}

// Ping makes the device ask for a sign of life.
func (d *Device) Ping() {
	if d.need(Roaming) == nil {
		d.env.fleet.Do(d.index, func(now clock.Instant, m *device.Device, out *device.Out) { m.Ping(now, out) })
	}
}

// LoseNetwork makes the device's socket fail, as when its network is gone: the
// connection ends, and the device connects again.
func (d *Device) LoseNetwork() {
	if d.need(Roaming) != nil {
		return
	}
	d.env.fleet.Do(d.index, func(now clock.Instant, m *device.Device, out *device.Out) {
		if d.Profile.Board.UDP {
			m.SocketFailed(now, out)
		} else {
			m.StreamClosed(now, out)
		}
	})
}

// Restarted returns when [Env.RestartAll] stopped the device.
func (d *Device) Restarted() Mark { return d.restarted }

// Publish makes the device publish a private event. It returns an error if the
// device refuses to, as it does when it is not connected or publishes too fast.
func (d *Device) Publish(ctx context.Context, name string, data []byte) error {
	if d.board != nil {
		d.awaitQuiet(ctx) // the cloud may know before the board does that it is connected
		return d.boardCommand("publish " + name + " " + string(data))
	}
	var refused error
	err := d.env.fleet.Call(ctx, d.index, func(now clock.Instant, m *device.Device, out *device.Out) {
		refused = m.Publish(now, device.Publication{Name: name, Data: data}, out)
	})
	if err != nil {
		return fmt.Errorf("device %s: publishing: %w", d, err)
	}
	return refused
}

// A Group is the devices of one Device OS version over one transport.
type Group struct {
	DeviceOS  string
	System    uint16 // the system module version
	Transport string // "udp" or "tcp"
	Devices   []*Device
	// Absent is why the devices of the group cannot take part, "" if they can: the
	// cloud has no such transport.
	Absent string
	// Heard says that the cloud says something to the devices of the group all the same:
	// puppets may find out what is wrong with it.
	Heard bool

	use atomic.Pointer[Usage] // of the check that runs now
}

// String returns the version and the transport.
func (g *Group) String() string { return g.DeviceOS + " " + g.Transport }

// Sample returns at most n devices of the group, spread evenly.
func (g *Group) Sample(n int) []*Device {
	if len(g.Devices) <= n {
		return g.Devices
	}
	sample := make([]*Device, n)
	for i := range sample {
		sample[i] = g.Devices[i*len(g.Devices)/n]
	}
	return sample
}

// Each calls f for every device, a number of them at a time, and returns when all
// are done.
func Each(devices []*Device, f func(d *Device)) {
	// A device takes a second to boot, so many boot together; not all, or the
	// handshakes would overflow the sockets of any machine.
	const atOnce = 400
	slots := make(chan struct{}, atOnce)
	var done sync.WaitGroup
	for _, d := range devices {
		slots <- struct{}{}
		done.Go(func() {
			defer func() { <-slots }()
			f(d)
		})
	}
	done.Wait()
}
