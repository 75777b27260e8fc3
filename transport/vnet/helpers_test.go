package vnet

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

var (
	deviceAddr = netip.MustParseAddr("10.0.0.2")
	publicAddr = netip.MustParseAddr("198.51.100.1")
	cloudAddr  = netip.MustParseAddr("203.0.113.1")

	devicePort = netip.AddrPortFrom(deviceAddr, 5684)
	cloudPort  = netip.AddrPortFrom(cloudAddr, 5684)
	streamPort = netip.AddrPortFrom(cloudAddr, 5683)
)

const ms = time.Millisecond

// A player is a host that notes what it hears and does what a test tells it.
type player struct {
	heard    []string
	deadline clock.Instant
	datagram func(now clock.Instant, p transport.Packet, out *transport.Out)
	opened   func(s transport.Stream, out *transport.Out)
	data     func(id transport.StreamID, b []byte, out *transport.Out)
	advance  func(now clock.Instant, out *transport.Out)
	peer     netip.AddrPort // of the last datagram
	stream   transport.StreamID
}

func newPlayer() *player { return &player{deadline: clock.Never} }

func (p *player) note(now clock.Instant, format string, args ...any) {
	p.heard = append(p.heard, fmt.Sprintf("%v ", now)+fmt.Sprintf(format, args...))
}

func (p *player) Datagram(now clock.Instant, packet transport.Packet, out *transport.Out) {
	p.note(now, "%s", packet.Data)
	p.peer = packet.Peer
	if p.datagram != nil {
		p.datagram(now, packet, out)
	}
}

func (p *player) StreamOpened(now clock.Instant, s transport.Stream, out *transport.Out) {
	p.note(now, "opened")
	p.stream, p.peer = s.ID, s.Peer
	if p.opened != nil {
		p.opened(s, out)
	}
}

func (p *player) StreamData(now clock.Instant, id transport.StreamID, b []byte, out *transport.Out) {
	p.note(now, "%s", b)
	if p.data != nil {
		p.data(id, b, out)
	}
}

func (p *player) StreamClosed(now clock.Instant, _ transport.StreamID, cause transport.Cause, _ *transport.Out) {
	p.note(now, "%v", cause)
}

func (p *player) Advance(now clock.Instant, out *transport.Out) {
	p.deadline = clock.Never
	p.note(now, "advance")
	if p.advance != nil {
		p.advance(now, out)
	}
}

func (p *player) Deadline() clock.Instant { return p.deadline }

// A world is a network of one device and one cloud.
type world struct {
	*Network
	t             *testing.T
	device, cloud *Node
	dev, cld      *player
	sightings     []transport.Sighting
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dev: newPlayer(), cld: newPlayer()}
	w.Network = New(Config{Seed: 1, Tap: w.tap})
	w.device, w.cloud = w.Attach(w.dev, deviceAddr), w.Attach(w.cld, cloudAddr)
	w.cloud.Listen(5683)
	return w
}

// newHomeWorld puts the device behind a NAT.
func newHomeWorld(t *testing.T, config NATConfig) (*world, *NAT) {
	t.Helper()
	w := &world{t: t, dev: newPlayer(), cld: newPlayer()}
	w.Network = New(Config{Seed: 1, Tap: w.tap})
	config.Public = []netip.Addr{publicAddr}
	nat := w.NewNAT(config)
	w.device, w.cloud = nat.Attach(w.dev, deviceAddr), w.Attach(w.cld, cloudAddr)
	w.cloud.Listen(5683)
	return w, nat
}

func (w *world) tap(s transport.Sighting) {
	s.Data = slices.Clone(s.Data)
	w.sightings = append(w.sightings, s)
}

// say sends datagrams from the device to the cloud.
func (w *world) say(texts ...string) {
	w.device.Do(func(_ clock.Instant, out *transport.Out) {
		for _, text := range texts {
			out.Send(netip.AddrPortFrom(netip.Addr{}, 5684), cloudPort, []byte(text))
		}
	})
}

// answer sends a datagram from the cloud to whom it heard last.
func (w *world) answer(text string) {
	w.cloud.Do(func(_ clock.Instant, out *transport.Out) { out.Send(cloudPort, w.cld.peer, []byte(text)) })
}

// dial opens a stream from the device to the cloud.
func (w *world) dial() (id transport.StreamID) {
	w.device.Do(func(_ clock.Instant, out *transport.Out) { id = out.Dial(netip.AddrPort{}, streamPort) })
	return id
}

func do(node *Node, f func(out *transport.Out)) {
	node.Do(func(_ clock.Instant, out *transport.Out) { f(out) })
}

// wantHeard lets everything happen and checks what a host heard since the last
// time.
func (w *world) wantHeard(p *player, want ...string) {
	w.t.Helper()
	w.Settle(clock.Never)
	if !slices.Equal(p.heard, want) {
		w.t.Errorf("heard %q, want %q", p.heard, want)
	}
	p.heard = nil
}

// wantLost checks why the last packet was lost; "" means that it was not.
func (w *world) wantLost(want string) {
	w.t.Helper()
	w.Settle(clock.Never)
	if last := w.sightings[len(w.sightings)-1]; last.Lost != want {
		w.t.Errorf("last sighting: %v, want lost %q", last, want)
	}
}
