package bench

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/link"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/udp"
)

// reading is an event of a sensor as an application publishes it.
var reading = coap.Message{
	Type: coap.Confirmable, Code: coap.POST, Token: []byte{0x5a},
	Options: coap.Options{coap.Text(coap.URIPath, "E"), coap.Text(coap.URIPath, "temperature")},
	Payload: []byte("21.5"),
}

// ciphers is how many expanded keys an end keeps: fewer than a window of 64 needs,
// as in a cloud that serves many devices.
const ciphers = 16

// An acknowledger is a cloud that finds the session of each datagram by its
// connection id, opens it and acknowledges what it holds.
type acknowledger struct {
	links map[dtls.CID]*link.Link
	out   link.Out
}

// Wake implements udp.Handler.
func (c *acknowledger) Wake(int, clock.Instant, *transport.Out) {}

// Deadline implements udp.Handler: an acknowledgement is not repeated.
func (c *acknowledger) Deadline(int) clock.Instant { return clock.Never }

// Datagrams implements udp.Handler.
func (c *acknowledger) Datagrams(_ int, now clock.Instant, batch []transport.Packet, out *transport.Out) {
	for _, p := range batch {
		h, err := dtls.PeekHeader(p.Data)
		if err != nil {
			continue
		}
		l := c.links[h.CID]
		if l == nil {
			continue
		}
		c.out.Reset()
		l.Receive(now, p.Data, &c.out)
		// What Reply adds to the events is not ours to answer.
		for _, e := range c.out.Events[:len(c.out.Events):len(c.out.Events)] {
			if e.Kind == link.Exchange && e.CoAP.Kind == coap.Received {
				l.Reply(now, e.CoAP.Message, coap.Message{}, &c.out)
			}
		}
		for _, d := range c.out.Packets {
			out.Send(p.Local, p.Peer, d)
		}
	}
}

// publishers are devices that publish, each its next event when the one before
// is acknowledged.
type publishers struct {
	order
	cloud   netip.AddrPort
	links   []*link.Link // by address
	left    int          // events to send
	waiting int          // events to be acknowledged
	out     link.Out
	up      int // bytes of a datagram up
	down    int // and of its answer
}

// Wake implements udp.Handler.
func (d *publishers) Wake(_ int, now clock.Instant, out *transport.Out) {
	n := int(d.wanted.Swap(0))
	if n == 0 {
		return
	}
	d.left = n
	for i := range min(n, len(d.links)) {
		d.publish(now, i, out)
	}
}

func (d *publishers) publish(now clock.Instant, i int, out *transport.Out) {
	d.left--
	d.waiting++
	d.out.Reset()
	d.links[i].Send(now, reading, 0, &d.out)
	for _, b := range d.out.Packets {
		d.up = len(b)
		out.Send(netip.AddrPortFrom(udp.Loopback(i), 0), d.cloud, b)
	}
}

// Datagrams implements udp.Handler.
func (d *publishers) Datagrams(_ int, now clock.Instant, batch []transport.Packet, out *transport.Out) {
	for _, p := range batch {
		i, ok := udp.LoopbackIndex(p.Local.Addr())
		if !ok || i >= len(d.links) {
			continue
		}
		d.down = len(p.Data)
		d.out.Reset()
		d.links[i].Receive(now, p.Data, &d.out)
		if len(d.out.Events) != 1 || d.out.Events[0].CoAP.Kind != coap.Acknowledged {
			d.done <- errors.New("something else than an acknowledgement")
			return
		}
		d.waiting--
		switch {
		case d.left > 0:
			d.publish(now, i, out)
		case d.waiting == 0:
			d.done <- nil
		}
	}
}

// postOurs publishes through links and engines, window events at a time. It
// returns the sizes of the datagrams too.
func postOurs(window int) (e *Entrant, sizes []size, closeAll func(), err error) {
	cloud := &acknowledger{links: make(map[dtls.CID]*link.Link)}
	devices := &publishers{order: newOrder()}
	cloud.out.Ciphers, devices.out.Ciphers = dtls.NewCiphers(ciphers), dtls.NewCiphers(ciphers)
	a := newArena()
	jitter := rand.New(rand.NewPCG(1, 2))
	for range window {
		here, there, err := a.handshake()
		if err != nil {
			return nil, nil, nil, err
		}
		d := link.OverDTLS(here, coap.NewExchange(&coap.DeviceUDP, 0, jitter, nil))
		c := link.OverDTLS(there, coap.NewExchange(&coap.CloudUDP, 0, jitter, nil))
		devices.links = append(devices.links, &d)
		cloud.links[there.ReadCID()] = &c
	}
	s, err := serve(cloud, func(addr netip.AddrPort) udp.Handler {
		devices.cloud = addr
		return devices
	})
	if err != nil {
		return nil, nil, nil, err
	}
	e = &Entrant{Name: "ours", Do: func(n int) error { return devices.place(s, n) }}
	if err := e.Do(1); err != nil {
		s.close()
		return nil, nil, nil, fmt.Errorf("publishing: %w", err)
	}
	return e, []size{{true, devices.up}, {false, devices.down}}, s.close, nil
}
