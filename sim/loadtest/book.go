package loadtest

import (
	"fmt"
	"sync"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/device"
)

// What a dev is at, as bits.
const (
	isOn       uint8 = 1 << iota // has power and is awake
	isOnline                     // calls itself connected
	isTrying                     // is on its way
	isAsleep                     // sleeps and will wake by itself
	isUpdating                   // is being updated
	hasUpdated                   // has applied an update and not come back yet
	isCut                        // lost its power in an outage
	isResumed                    // came, or is coming, with an old session
)

// The two transports, as an index.
const (
	overUDP = iota
	overTCP
)

// A dev is what a book knows of a device. There may be a million: it stays small.
type dev struct {
	at      uint8  // bits
	act     uint8  // what its bytes are for
	flights uint8  // events that are not acknowledged
	over    uint8  // UDP or TCP
	first   uint16 // size of the first packet of a resume; 0: none yet
}

// levels are how many devices of a group are at what.
// They lie in the order of the bits.
type levels [5]int64

// A flight is an event that is not acknowledged yet.
type flight struct {
	due, sent    clock.Instant
	phase, group uint16
}

// A book is what happened to the devices of one shard. The shard's goroutine
// writes it; the conductor takes what was counted. Observe and meter are called
// in the order in which things happened.
type book struct {
	plan     *plan
	shards   int
	overhead [2]uint64 // of a datagram, and of a unit over TCP: headers of the network
	feed     *feed
	// updated hears how an update ended, with why it failed; nil: nobody.
	updated func(i int, why string)

	// Of the shard's goroutine alone.
	devs    []dev // device i of the fleet is i / shards here
	tag     uint32
	flights map[uint32]flight
	began   map[int]clock.Instant // attempts to connect
	updates map[int]clock.Instant
	phase   int // cached

	mu     sync.Mutex
	now    *tallies
	levels []levels
	lag    time.Duration // the longest of the interval
	inAir  int           // flights
}

func newBook(p *plan, shards, shard, devices int) *book {
	return &book{
		plan: p, shards: shards, devs: make([]dev, (devices-shard+shards-1)/shards),
		flights: make(map[uint32]flight), began: make(map[int]clock.Instant), updates: make(map[int]clock.Instant),
		now: newTallies(p), levels: make([]levels, len(p.groups)),
	}
}

func (b *book) dev(i int) *dev { return &b.devs[i/b.shards] }

// phaseAt returns the phase at a time that does not run back by much.
func (b *book) phaseAt(at clock.Instant) int {
	for b.phase < len(b.plan.ends)-1 && at >= b.plan.ends[b.phase] {
		b.phase++
	}
	if b.phase > 0 && at < b.plan.ends[b.phase-1] {
		return b.plan.phase(at)
	}
	return b.phase
}

// tally returns where to count something of a device. b.mu is held.
func (b *book) tally(i int, at clock.Instant) *tally {
	return b.now.of(b.phaseAt(at), b.plan.group(i))
}

// set changes the bits of a device and the levels. b.mu is held.
func (b *book) set(i int, on, off uint8) {
	d := b.dev(i)
	was := d.at
	d.at = was&^off | on
	if was == d.at {
		return
	}
	l := &b.levels[b.plan.group(i)]
	for bit := range l {
		l[bit] += int64(d.at>>bit&1) - int64(was>>bit&1)
	}
}

// meter counts bytes; it implements fleet.Meter.
func (b *book) meter(i int, at clock.Instant, up bool, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.dev(i)
	act := d.act
	if act == aResume {
		act = d.resumes(up, bytes)
	}
	t := &b.tally(i, at).bytes[act]
	n := uint64(bytes) + b.overhead[d.over]
	if up {
		t.Up += n
		t.UpPackets++
		return
	}
	t.Down += n
	t.DownPackets++
	if d.act == aKeepAlive {
		d.act = aOther
	}
}

// resumes tells what a packet of a device that resumes is for. A resume is its first
// packet, with what repeats it, and the first answer: then the session stands. What
// a device sends besides, as after each boot, is other.
func (d *dev) resumes(up bool, bytes int) (act uint8) {
	switch {
	case !up:
		d.act, d.first = aOther, 0
	case d.first == 0:
		d.first = uint16(bytes)
	case int(d.first) != bytes:
		return aOther
	}
	return aResume
}

// observe writes down what happened; it implements fleet.Observer.
func (b *book) observe(i int, at clock.Instant, e *device.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, d := b.tally(i, at), b.dev(i)
	switch e.Kind {
	case device.Booted:
		b.set(i, isOn, isAsleep|isOnline|isTrying|isUpdating)
		b.feed.booted(i, at)
	case device.Connecting:
		t.counts[cAttempts]++
		b.set(i, isOn|isTrying, isOnline)
		b.began[i], d.act, d.first = at, aHandshake, 0
		if e.Resumed {
			d.act = aResume
		}
	case device.Secured:
		if e.Resumed {
			d.act = aResume // the cloud has not said anything yet
			b.set(i, isResumed, 0)
		} else {
			t.counts[cHandshakes]++
			d.act = aHandshake
			b.set(i, 0, isResumed)
		}
	case device.Online:
		b.online(i, at, t, d)
	case device.Offline:
		t.counts[cOffline]++
		if wanted := e.Err == device.DisconnectWanted || e.Err == device.PowerLost || e.Err == device.NoError; !wanted {
			t.fail(e.Err)
		}
		b.set(i, 0, isOnline|isTrying)
		delete(b.began, i)
		d.act = aOther
	case device.Published:
		b.published(at, d, e)
	case device.PublishFailed:
		b.publishFailed(d, e)
	case device.EventReceived:
		t.counts[cEventsReceived]++
		if sent, ok := stampOf(e.Data); ok {
			if took := b.plan.wall(at).Sub(sent); took >= 0 && took < longestDelivery {
				t.times[tDelivery].Add(took)
			}
		}
	case device.FunctionCalled:
		t.counts[cFunctionsCalled]++
	case device.VariableRead:
		t.counts[cVariablesRead]++
	case device.Pinged:
		if d.act == aResume {
			break // that is how it resumes
		}
		t.counts[cPings]++
		if d.act == aOther {
			d.act = aKeepAlive
		}
	case device.Dropped:
		t.counts[cIgnored]++
	default:
		b.update(i, at, t, d, e)
	}
}

// online notes that a device has come online.
func (b *book) online(i int, at clock.Instant, t *tally, d *dev) {
	t.counts[cConnected]++
	if d.at&isResumed != 0 {
		t.counts[cResumes]++
	}
	if began, ok := b.began[i]; ok {
		took := at.Sub(began)
		t.times[tConnect].Add(took)
		if d.at&isResumed != 0 {
			t.times[tResume].Add(took)
		} else {
			t.times[tHandshake].Add(took)
		}
		delete(b.began, i)
	}
	if d.at&hasUpdated != 0 {
		if since, ok := b.updates[i]; ok {
			t.times[tUpdate].Add(at.Sub(since))
			delete(b.updates, i)
		}
	}
	b.set(i, isOnline, isTrying|hasUpdated)
	d.act = aOther
	if d.flights > 0 {
		d.act = aPublish
	}
	b.feed.online(i, at)
}

// update notes what happened in an update.
func (b *book) update(i int, at clock.Instant, t *tally, d *dev, e *device.Event) {
	switch e.Kind {
	case device.UpdateStarted:
		t.counts[cUpdatesBegun]++
		b.set(i, isUpdating, 0)
		if _, resumes := b.updates[i]; !resumes {
			b.updates[i] = at
		}
		d.act = aUpdate
	case device.UpdateApplied:
		t.counts[cUpdatesApplied]++
		if b.updated != nil {
			b.updated(i, "")
		}
		b.set(i, hasUpdated, isUpdating)
	case device.UpdateFailed:
		t.counts[cUpdatesFailed]++
		if b.updated != nil {
			b.updated(i, fmt.Sprintf("update failed: %v", e.System))
		}
		b.set(i, 0, isUpdating)
		delete(b.updates, i)
		if d.act == aUpdate {
			d.act = aOther
		}
	default: // nothing that is counted
	}
}

// takeOff notes that a device publishes an event. b.mu is held.
func (b *book) takeOff(i int, due, at clock.Instant, phase int) (tag uint32) {
	b.tag++
	b.flights[b.tag] = flight{due: due, sent: at, phase: uint16(phase), group: uint16(b.plan.group(i))}
	b.inAir++
	d := b.dev(i)
	d.flights++
	if d.act == aOther || d.act == aKeepAlive {
		d.act = aPublish
	}
	return b.tag
}

// land ends a flight. b.mu is held.
func (b *book) land(d *dev, tag uint32) (f flight, ok bool) {
	if f, ok = b.flights[tag]; !ok {
		return f, false
	}
	delete(b.flights, tag)
	b.inAir--
	if d.flights--; d.flights == 0 && d.act == aPublish {
		d.act = aOther
	}
	return f, true
}

// published counts an event for the phase in which it was due.
func (b *book) published(at clock.Instant, d *dev, e *device.Event) {
	if f, ok := b.land(d, e.Tag); ok {
		t := b.now.of(int(f.phase), int(f.group))
		t.counts[cPublished]++
		t.times[tPublish].Add(at.Sub(f.due))
		t.times[tPublishService].Add(at.Sub(f.sent))
	}
}

func (b *book) publishFailed(d *dev, e *device.Event) {
	if f, ok := b.land(d, e.Tag); ok {
		b.now.of(int(f.phase), int(f.group)).counts[cPublishFailed]++
	}
}

// take returns what was counted since the last time, and puts spare in its place.
func (b *book) take(spare *tallies) (t *tallies, lag time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, b.now = b.now, spare
	lag, b.lag = b.lag, 0
	return t, lag
}

// standing returns how the devices of the groups are at this moment.
func (b *book) standing() (l []levels, inAir int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]levels(nil), b.levels...), b.inAir
}
