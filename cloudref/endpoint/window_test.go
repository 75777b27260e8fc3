package endpoint

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/muster/muster/protocol/dtls"
)

// published counts the events of a name that the node stored.
func (b *bench) published(name string) (n int) {
	for _, o := range b.seen {
		if o.What == Published && o.Event.Name == name {
			n++
		}
	}
	return n
}

// what a device sent before the cloud was killed is taken by no later life of
// it: nothing is done again, answered, or makes the cloud send elsewhere.
func TestReplayAfterAKill(t *testing.T) {
	for gen := dtls.GenA; gen <= dtls.GenF; gen++ {
		t.Run(gen.String(), func(t *testing.T) {
			b, p := connected(t, gen, nil)
			var tape [][]byte
			for n := range 100 {
				p.wantAck(p.say(publish(p, fmt.Sprint("e", n), "1")))
				tape = append(tape, p.last)
				p.wantAck(p.ping())
				tape = append(tape, p.last)
			}
			address := p.addr
			b.start(nil)
			replay := func(when string) {
				t.Helper()
				from := netip.MustParseAddrPort("127.66.6.6:4000")
				for _, datagram := range tape {
					for _, peer := range []netip.AddrPort{from, address} {
						if sent := b.answers(peer, datagram); len(sent) > 0 {
							t.Fatalf("%s: a record of before is answered with %x", when, sent[0].Data)
						}
					}
				}
				for n := range 100 {
					if got := b.published(fmt.Sprint("e", n)); got != 1 {
						t.Fatalf("%s: event %d was published %d times", when, n, got)
					}
				}
			}
			replay("before its device sends")
			if st, _ := b.node.Status(p.id); st.Online || st.Peer != address.String() {
				t.Errorf("status %+v, want not online at %v", st, address)
			}
			p.wantAck(p.ping())
			replay("after its device sent")
			slices.Reverse(tape)
			replay("backwards")
			p.wantAck(p.say(publish(p, "last", "1")))
		})
	}
}

// Where windows behind pings are not stored, copies of pings may be acknowledged
// until the device sends; copies of what had a consequence never are.
func TestReplayWhereWindowsLag(t *testing.T) {
	lag := func(c *Config) { c.WindowsPerSecond = -1 }
	b, p := connected(t, dtls.GenF, lag)
	p.wantAck(p.say(publish(p, "temp", "1")))
	event := p.last
	var pings [][]byte
	for range 20 {
		p.wantAck(p.ping())
		pings = append(pings, p.last)
	}
	b.start(lag)
	if len(b.answers(p.addr, event)) > 0 || b.published("temp") != 1 {
		t.Error("an event of before is taken again")
	}
	if len(b.answers(p.addr, pings[10])) != 1 {
		t.Error("the window did not lag: the test tests nothing")
	}
	p.wantAck(p.ping())
	for n, ping := range pings {
		if len(b.answers(p.addr, ping)) > 0 {
			t.Errorf("ping %d of before is answered after its device has sent", n)
		}
	}
}

// However many pings there are, the window is at most so far behind.
func TestWindowIsStoredAllTheSame(t *testing.T) {
	rare := func(c *Config) { c.WindowsPerSecond, c.WindowEvery = -1, 8 }
	b, p := connected(t, dtls.GenF, rare)
	var pings [][]byte
	for range 16 {
		p.wantAck(p.ping())
		pings = append(pings, p.last)
	}
	b.start(rare)
	for n, ping := range pings[:8] {
		if len(b.answers(p.addr, ping)) > 0 {
			t.Errorf("ping %d is answered again", n)
		}
	}
}

// What a node has received when it stops is stored, whatever lagged behind.
func TestWindowsAreKeptAtTheEnd(t *testing.T) {
	lag := func(c *Config) { c.WindowsPerSecond = -1 }
	b, p := connected(t, dtls.GenF, lag)
	p.wantAck(p.ping())
	ping := p.last
	b.node.KeepWindows()
	b.start(lag)
	if len(b.answers(p.addr, ping)) > 0 {
		t.Error("a ping of before is answered again")
	}
	p.wantAck(p.ping())
}
