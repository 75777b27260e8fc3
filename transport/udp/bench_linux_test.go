package udp

import (
	"net/netip"
	"testing"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// BenchmarkEcho is one datagram of 60 bytes there and back over loopback, every
// one from another of a million source addresses, 64 under way.
func BenchmarkEcho(b *testing.B) {
	cloud := listen(b, anyPort, Config{})
	serve(b, cloud, echo{})
	fleet, err := OpenFleet([]uint16{0}, Config{})
	if err != nil {
		b.Fatal(err)
	}
	p := &pinger{to: cloud.Addr(0), left: b.N, done: make(chan struct{})}
	b.ReportAllocs()
	b.ResetTimer()
	serve(b, fleet, p)
	<-p.done
	b.StopTimer()
	if lost := fleet.Counts()[transport.DropSocketFull]; lost != 0 {
		b.Errorf("%d answers lost", lost)
	}
}

// A pinger keeps 64 datagrams under way.
type pinger struct {
	to         netip.AddrPort
	next, left int
	started    bool
	done       chan struct{}
}

func (p *pinger) send(n int, out *transport.Out) {
	for range n {
		out.Send(netip.AddrPortFrom(Loopback(p.next%1_000_000), 0), p.to, payload[:])
		p.next++
	}
}

var payload [60]byte

func (p *pinger) Deadline(int) clock.Instant {
	if p.started {
		return clock.Never
	}
	return 0
}

func (p *pinger) Wake(_ int, _ clock.Instant, out *transport.Out) {
	p.started = true
	p.send(min(64, p.left), out)
}

func (p *pinger) Datagrams(_ int, _ clock.Instant, batch []transport.Packet, out *transport.Out) {
	before := p.left
	p.left -= len(batch)
	if p.left <= 0 {
		if before > 0 {
			close(p.done)
		}
		return
	}
	p.send(min(len(batch), max(0, p.left-64+len(batch))), out)
}
