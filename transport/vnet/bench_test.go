package vnet

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// keepAlive is the ping interval of a cellular device (Device OS default).
const keepAlive = 23 * time.Minute

// An idler pings every 23 minutes and waits 30 seconds for the answer.
type idler struct {
	echoHost
	deadline clock.Instant
	waiting  bool
}

var ping [36]byte

func (d *idler) Datagram(now clock.Instant, _ transport.Packet, _ *transport.Out) {
	d.waiting = false
	d.deadline = now.Add(keepAlive)
}

func (d *idler) Advance(now clock.Instant, out *transport.Out) {
	d.waiting = true
	d.deadline = now.Add(30 * time.Second)
	out.Send(netip.AddrPortFrom(netip.Addr{}, 5684), cloudPort, ping[:])
}

func (d *idler) Deadline() clock.Instant { return d.deadline }

// BenchmarkIdleFleet is what the network alone costs for one ping and its
// answer in an idle fleet: a deadline, two packets, and the deadline moved
// twice.
func BenchmarkIdleFleet(b *testing.B) {
	for _, devices := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint(devices), func(b *testing.B) {
			n := New(Config{})
			n.Attach(&echoHost{func(_ clock.Instant, p transport.Packet, out *transport.Out) {
				out.Send(p.Local, p.Peer, p.Data)
			}}, cloudAddr)
			lte := &Access{Up: Link{Delay: 40 * ms}, Down: Link{Delay: 40 * ms}}
			for i := range devices {
				d := &idler{deadline: clock.Instant(keepAlive) / clock.Instant(devices) * clock.Instant(i)}
				n.Attach(d, netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})).SetAccess(lte)
			}
			n.Run(clock.Instant(keepAlive)) // every buffer and table has its size
			b.ReportAllocs()
			b.ResetTimer()
			start, steps := n.Now(), n.Steps()
			for range b.N {
				n.Step() // a deadline
				n.Step() // a ping
				n.Step() // an answer
			}
			b.StopTimer()
			hours := n.Now().Sub(start).Hours() * float64(devices)
			b.ReportMetric(float64(n.Steps()-steps)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(hours/b.Elapsed().Minutes(), "device-hours/min")
		})
	}
}
