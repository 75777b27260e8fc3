package capture

import (
	"crypto/rsa"
	"net/netip"
	"sync"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/transport"
)

// A Decoder turns sightings into decoded packets. It is safe for concurrent use;
// sightings of one pair of addresses must come in their order.
type Decoder struct {
	mu     sync.Mutex
	cfg    Config
	counts Counts
	now    clock.Instant

	serial, exchanges uint64
	associations      uint32

	paths   lru[pathKey, *flow]
	known   lru[uint32, *association]
	streams lru[streamKey, *stream]
	ended   lru[streamKey, *stream] // the latest of those that are over
	waiting queue                   // flows' held packets, oldest first
	blocked map[*flow]struct{}
	ready   []*flow // their keys have come
	early   arrivals

	byRandom map[[32]byte]*association
	byCID    map[dtls.CID]*association
	byDevice map[trace.DeviceID][]*association

	secrets     lru[[32]byte, dtls.Secrets]
	credentials lru[string, given] // by nonce
	anonymous   []given            // without a nonce
	owners      map[string]trace.DeviceID
	deviceKeys  map[trace.DeviceID]*rsa.PrivateKey
	looseKeys   []*rsa.PrivateKey // of devices whose ids are not known
}

type pathKey struct{ device, cloud netip.AddrPort }

// given are credentials that were added and belong to no connection yet.
type given struct {
	credentials lightssl.Credentials
	device      trace.DeviceID
}

// NewDecoder returns a Decoder. It panics when a required field is missing.
func NewDecoder(cfg Config) *Decoder {
	d := &Decoder{
		cfg:        cfg.withDefaults(),
		blocked:    map[*flow]struct{}{},
		byRandom:   map[[32]byte]*association{},
		byCID:      map[dtls.CID]*association{},
		byDevice:   map[trace.DeviceID][]*association{},
		owners:     map[string]trace.DeviceID{},
		deviceKeys: map[trace.DeviceID]*rsa.PrivateKey{},
	}
	n := d.cfg.AssociationsMax
	d.paths = newLRU[pathKey](n, func(_ pathKey, f *flow) { d.release(f) })
	d.streams = newLRU[streamKey](n, func(_ streamKey, st *stream) { d.release(st.flow) })
	d.ended = newLRU[streamKey](endedMax, func(k streamKey, st *stream) { d.tail(k, st) })
	d.known = newLRU[uint32](n, func(_ uint32, a *association) { d.forget(a) })
	d.secrets = newLRU[[32]byte, dtls.Secrets](n, nil)
	d.credentials = newLRU[string, given](n, nil)
	return d
}

// Tap returns d as a tap.
func (d *Decoder) Tap() transport.Tap { return d.Sight }

// Sight takes one sighting. It keeps nothing of s.Data.
func (d *Decoder) Sight(s transport.Sighting) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch s.Kind {
	case transport.SendBegins:
		d.early.begin(s.At)
		return
	case transport.SendEnds:
		d.early.end(s.At)
		d.admit(s.At)
		return
	default:
		d.counts.Sightings++
	}
	if d.cfg.Reorder <= 0 {
		d.sight(s)
		return
	}
	d.early.add(s)
	d.admit(s.At)
}

// Advance tells the time when no sighting does: what has waited long enough is
// emitted.
func (d *Decoder) Advance(now clock.Instant) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.admit(now)
	d.now = max(d.now, now)
	d.expire()
}

func (d *Decoder) sight(s transport.Sighting) {
	local, peer := d.cfg.Cloud(s.Local), d.cfg.Cloud(s.Peer)
	switch {
	case local == peer:
		d.counts.Foreign++
		return
	case local != (d.cfg.Vantage == AtCloud):
		d.counts.OtherEnd++
		return
	}
	d.now = max(d.now, s.At)
	d.expire()
	key := pathKey{device: s.Local, cloud: s.Peer}
	if local {
		key = pathKey{device: s.Peer, cloud: s.Local}
	}
	direction := trace.Up
	if local == s.Sent {
		direction = trace.Down
	}
	if d.cfg.Sighted != nil {
		at := s
		at.Local, at.Peer, at.Sent = key.device, key.cloud, direction == trace.Up
		d.cfg.Sighted(at)
	}
	switch s.Kind {
	case transport.DatagramSeen:
		f := d.flowOf(key)
		d.arrive(f, d.packet(f, s, direction), s.Data)
	case transport.StreamOpened, transport.StreamChunk, transport.StreamEnded:
		d.stream(key, s, direction)
	default: // SendBegins and SendEnds were for the order alone
	}
	if len(d.ready) > 0 {
		d.advance()
	}
}

// packet returns a packet of the sighting that has not been looked into.
func (d *Decoder) packet(f *flow, s transport.Sighting, direction trace.Direction) *trace.Packet {
	d.serial++
	p := &trace.Packet{
		Serial: d.serial, At: s.At, Direction: direction, Received: !s.Sent, Lost: s.Lost,
		DeviceAddress: f.deviceText, CloudAddress: f.cloudText, Size: len(s.Data),
	}
	p.Headers = trace.Headers(p.Transport, f.ipv6)
	return p
}

func (d *Decoder) flowOf(key pathKey) *flow {
	if f, ok := d.paths.get(key); ok {
		return f
	}
	f := newFlow(key)
	d.paths.put(key, f)
	return f
}

// emit hands a finished packet out.
func (d *Decoder) emit(p *trace.Packet) {
	d.counts.Packets++
	for i := range p.Records {
		r := &p.Records[i]
		switch r.State {
		case trace.Sealed:
			d.counts.Sealed++
		case trace.Rejected:
			d.counts.Rejected++
		case trace.Plain, trace.Opened, trace.Broken:
			// What is in them is counted.
		}
		if r.Message != nil {
			d.counts.Messages++
			if r.Message.Malformed != "" {
				d.counts.Malformed++
			}
		}
	}
	d.cfg.Emit(p)
}

// Flush emits everything that waits, as it is.
func (d *Decoder) Flush() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.admit(clock.Never)
	for k, st := range d.ended.all() {
		d.ended.drop(k)
		d.tail(k, st)
	}
	for d.waiting.size > 0 {
		d.giveUpOldest()
	}
}

// Counts returns what the Decoder has seen so far.
func (d *Decoder) Counts() Counts {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.counts
	c.Held, c.Associations = d.waiting.size, d.known.len()
	return c
}
