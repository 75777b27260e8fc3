package traffic

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/trace"
)

// Bounds: how many devices are remembered, and how many addresses at which
// somebody has begun a handshake.
const (
	devicesMax   = 500
	strangersMax = 1000
)

// In a crowd, where more devices are heard within crowdTime than are remembered,
// only a few more are taken in, one every crowdPause: what would be forgotten
// before anybody could look at it is not worth the work. Who is being watched is
// always taken in.
const (
	crowdTime  = time.Minute
	crowdPause = 100 * time.Millisecond
)

// A Recorder remembers the traffic of the devices that were heard last. It is safe
// for concurrent use.
type Recorder struct {
	wall  func(clock.Instant) time.Time
	owner func(store.DeviceID) store.AccountID

	mu        sync.Mutex
	admitted  time.Time // when the last one of a crowd was taken in
	devices   *simplelru.LRU[store.DeviceID, *log]
	strangers *simplelru.LRU[netip.AddrPort, *handshake]
}

// A handshake is what one address has sent and got before it is known whose it
// is.
type handshake struct {
	transport trace.Transport
	packets   [2]int
	bytes     [2]int
}

// NewRecorder returns a recorder; wall returns the time of day at an Instant, owner
// whose a device is, zero for nobody's.
func NewRecorder(wall func(clock.Instant) time.Time, owner func(store.DeviceID) store.AccountID) *Recorder {
	r := &Recorder{wall: wall, owner: owner}
	// They fail for sizes below 1 only.
	r.devices, _ = simplelru.NewLRU(devicesMax, func(_ store.DeviceID, l *log) {
		for w := range l.watchers {
			w.drop()
		}
	})
	r.strangers, _ = simplelru.NewLRU[netip.AddrPort, *handshake](strangersMax, nil)
	return r
}

// Traffic takes what crossed the wire, for [endpoint.Config].
func (r *Recorder) Traffic(t endpoint.Traffic) {
	size := t.Bytes + trace.Headers(t.Transport, t.Peer.Addr().Is6() && !t.Peer.Addr().Is4In6())
	r.mu.Lock()
	defer r.mu.Unlock()
	if t.Device == (store.DeviceID{}) {
		r.stranger(&t, size)
		return
	}
	at := r.wall(t.At)
	if !r.admits(t.Device, at) {
		return
	}
	l := r.log(t.Device)
	l.heard = at
	line := Line{At: at, Direction: t.Direction.String(), Transport: t.Transport.String(), Bytes: size}
	if len(t.Messages) == 0 {
		if t.Transport == trace.TCP {
			l.spend(whatRest, t.Direction, 1, size, at)
			return
		}
		line.What, line.Text = "no message", fmt.Sprintf("a record of %d bytes without a message", t.Bytes)
		l.spend(line.What, t.Direction, 1, size, at)
		l.add(line)
		return
	}
	for i, wire := range t.Messages {
		m := parse(wire)
		if m.Malformed == "" {
			l.said.Hear(t.Transport, t.Direction, m, &l.exchanges)
		}
		line.What, line.Text, line.Data = whatOf(m), m.String(), dataOf(m)
		if i == 0 {
			l.spend(line.What, t.Direction, 1, size, at)
		}
		l.add(line)
		line.Bytes = 0
	}
}

func (r *Recorder) stranger(t *endpoint.Traffic, size int) {
	h, known := r.strangers.Get(t.Peer)
	if !known {
		h = &handshake{transport: t.Transport}
		r.strangers.Add(t.Peer, h)
	}
	h.packets[t.Direction]++
	h.bytes[t.Direction] += size
}

// Observe takes what happens to devices, for [endpoint.Config]: handshakes that are
// complete, and updates.
func (r *Recorder) Observe(o endpoint.Observation) {
	switch o.What {
	case endpoint.Secured:
		r.secured(o)
	case endpoint.Application:
		if p, ok := o.Effect.(app.FlashProgress); ok {
			r.flash(o.Device, p)
		}
	default:
		// Nothing that it keeps.
	}
}

func (r *Recorder) flash(id store.DeviceID, p app.FlashProgress) {
	f := &Flash{Stage: p.Stage.String(), Sent: p.Sent, Total: p.Total, Over: p.Stage == app.FlashDone || p.Stage == app.FlashFailed}
	if p.Err != nil {
		f.Error = p.Err.Error()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.log(id)
	l.flash = f
	l.tell(Update{Flash: f})
}

// secured books a handshake to the device whose it turned out to be.
func (r *Recorder) secured(o endpoint.Observation) {
	peer, err := netip.ParseAddrPort(o.Session.Peer)
	if err != nil {
		return // the node writes only addresses
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h, known := r.strangers.Get(peer)
	if !known {
		return // so many others came since that it was forgotten
	}
	r.strangers.Remove(peer)
	at := r.wall(o.At)
	if !r.admits(o.Device, at) {
		return
	}
	l := r.log(o.Device)
	l.secured, l.heard = at, at
	for d := range h.packets {
		l.spend(whatHandshake, trace.Direction(d), h.packets[d], h.bytes[d], at)
		l.add(Line{
			At: at, Direction: trace.Direction(d).String(), Transport: h.transport.String(), Bytes: h.bytes[d], What: whatHandshake,
			Text: fmt.Sprintf("handshake, %d packets", h.packets[d]),
		})
	}
}

// admits reports whether a device is remembered, or may take the place of one that
// is; r.mu is held.
func (r *Recorder) admits(id store.DeviceID, at time.Time) bool {
	if r.devices.Len() < devicesMax || r.devices.Contains(id) {
		return true
	}
	if _, oldest, _ := r.devices.GetOldest(); at.Sub(oldest.heard) < crowdTime && at.Sub(r.admitted) < crowdPause {
		return false
	}
	r.admitted = at
	return true
}

// log returns what is remembered of a device; r.mu is held.
func (r *Recorder) log(id store.DeviceID) *log {
	owner := r.owner(id)
	l, known := r.devices.Get(id)
	if known && !l.isOf(owner) {
		r.devices.Remove(id) // and whoever watches it is cut off
		known = false
	}
	if !known {
		l = newLog()
		r.devices.Add(id, l)
	}
	l.owner = owner
	return l
}

// isOf reports whether an account may have what is remembered: what a device said while
// it was somebody else's is none of its business.
func (l *log) isOf(owner store.AccountID) bool {
	return l.owner == owner || l.owner == (store.AccountID{})
}

// A Record is what is remembered of one device.
type Record struct {
	// Secured is when the last handshake was; zero if the cloud has been started
	// since, or has forgotten it.
	Secured time.Time
	Ledger  []Row
	Lines   []Line // the oldest first
	Flash   *Flash // the last update; nil: none
}

// A Flash is how far an update is.
type Flash struct {
	Stage string `json:"stage"`
	Sent  int    `json:"sent"`  // in bytes
	Total int    `json:"total"` // in bytes
	Over  bool   `json:"over"`
	Error string `json:"error,omitempty"`
}

// An Update is a new line, or news of a firmware update.
type Update struct {
	Line  *Line
	Flash *Flash
}

// Of returns what is remembered of a device, nothing for one that was not heard
// since the start.
func (r *Recorder) Of(id store.DeviceID) Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	l, known := r.devices.Peek(id)
	if !known || !l.isOf(r.owner(id)) {
		return Record{}
	}
	return l.record()
}

func (l *log) record() Record {
	return Record{Secured: l.secured, Ledger: l.ledger(), Lines: l.all(), Flash: l.flash}
}

// A Watch receives what is new of one device. A reader that does not keep up is cut
// off: its channel is closed.
type Watch struct {
	C <-chan Update

	c    chan Update
	r    *Recorder
	l    *log
	over bool
}

// watchBuffer is how many updates may wait for a reader.
const watchBuffer = 256

// Watch returns what is remembered of a device, and yields what comes.
func (r *Recorder) Watch(id store.DeviceID) (Record, *Watch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.log(id)
	c := make(chan Update, watchBuffer)
	w := &Watch{C: c, c: c, r: r, l: l}
	l.watchers[w] = struct{}{}
	return l.record(), w
}

// Close ends the watch.
func (w *Watch) Close() {
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	w.drop()
}

// drop ends the watch; the recorder is locked.
func (w *Watch) drop() {
	if !w.over {
		w.over = true
		delete(w.l.watchers, w)
		close(w.c)
	}
}
