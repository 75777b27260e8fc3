package vnet

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

func TestDelayOfBothAccessesAddsUp(t *testing.T) {
	w := newWorld(t)
	w.device.SetAccess(&Access{Up: Link{Delay: 30 * ms}, Down: Link{Delay: 50 * ms}})
	w.cloud.SetAccess(&Access{Up: Link{Delay: 1 * ms}, Down: Link{Delay: 2 * ms}})
	w.say("hello")
	w.wantHeard(w.cld, "32ms hello")
	w.answer("hi")
	w.wantHeard(w.dev, "83ms hi")
	if w.dev.peer != cloudPort || w.cld.peer != devicePort {
		t.Errorf("the device saw %v, the cloud %v", w.dev.peer, w.cld.peer)
	}
}

func TestDatagramsKeepTheirOrderWithoutJitter(t *testing.T) {
	w := newWorld(t)
	w.say("1", "2", "3")
	w.wantHeard(w.cld, "0s 1", "0s 2", "0s 3")
}

func TestHeldBackDatagramsAreOvertaken(t *testing.T) {
	w := newWorld(t)
	w.device.SetAccess(&Access{Up: Link{Reorder: 1, ReorderBy: 5 * ms}})
	w.say("1")
	w.device.SetAccess(nil)
	w.say("2")
	w.wantHeard(w.cld, "0s 2", "5ms 1")
}

// shares runs many datagrams over a link and returns how many arrived once and
// how many twice.
func shares(t *testing.T, link Link) (arrived, twice int) {
	t.Helper()
	w := newWorld(t)
	w.device.SetAccess(&Access{Up: link})
	for i := range 10_000 {
		w.say(fmt.Sprint(i))
	}
	w.Settle(clock.Never)
	seen := make(map[string]int)
	for _, line := range w.cld.heard {
		seen[strings.Fields(line)[1]]++
	}
	for _, n := range seen {
		if n == 2 {
			twice++
		}
	}
	return len(seen), twice
}

func TestLossAndDuplication(t *testing.T) {
	if arrived, twice := shares(t, Link{Loss: 0.3}); arrived < 6800 || arrived > 7200 || twice != 0 {
		t.Errorf("%d arrived and %d twice of 10000 at a loss of 0.3", arrived, twice)
	}
	if arrived, twice := shares(t, Link{Duplicate: 0.2}); arrived != 10000 || twice < 1850 || twice > 2150 {
		t.Errorf("%d arrived and %d twice of 10000 at 0.2 duplicates", arrived, twice)
	}
}

func TestJitterIsBounded(t *testing.T) {
	w := newWorld(t)
	w.device.SetAccess(&Access{Up: Link{Delay: 10 * ms, Jitter: 5 * ms}})
	least, most := clock.Never, clock.Instant(0)
	w.cld.datagram = func(now clock.Instant, _ transport.Packet, _ *transport.Out) {
		least, most = min(least, now), max(most, now)
	}
	for range 1000 {
		w.say("x")
	}
	w.Settle(clock.Never)
	if least < clock.Instant(10*ms) || most >= clock.Instant(15*ms) || most.Sub(least) < 4*ms {
		t.Errorf("arrivals from %v to %v, want all of 10 to 15 ms", least, most)
	}
}

func TestMTU(t *testing.T) {
	w := newWorld(t)
	w.device.SetAccess(&Access{Up: Link{MTU: 128}})
	w.say(strings.Repeat("x", 100))
	w.wantLost("")
	w.say(strings.Repeat("x", 101))
	w.wantLost(LostTooLarge)
}

func TestRate(t *testing.T) {
	w := newWorld(t)
	w.device.SetAccess(&Access{Up: Link{Rate: 8000, Queue: 250 * ms}}) // a byte a millisecond
	text := strings.Repeat("x", 72)                                    // 100 bytes with headers
	w.say(text, text, text, text)
	w.wantHeard(w.cld, "100ms "+text, "200ms "+text, "300ms "+text)
	if !slices.ContainsFunc(w.sightings, func(s transport.Sighting) bool { return s.Lost == LostInQueue }) {
		t.Error("the fourth found room in the queue")
	}
}

func TestPartition(t *testing.T) {
	w := newWorld(t)
	w.Partition([]*Node{w.device}, []*Node{w.cloud})
	w.say("1")
	w.wantLost(LostToPartition)
	w.Heal(w.cloud, w.device)
	w.say("2")
	w.wantHeard(w.cld, "0s 2")
}

func TestOffline(t *testing.T) {
	w := newWorld(t)
	w.cloud.SetAccess(&Access{Down: Link{Delay: ms}})
	w.say("1") // on its way when the cloud goes
	w.cloud.SetOnline(false)
	w.wantLost(LostOffline)
	w.answer("2")
	w.wantLost(LostOffline)
	w.cloud.SetOnline(true)
	w.say("3")
	w.wantHeard(w.cld, "2ms 3")
}

func TestAddresses(t *testing.T) {
	w := newWorld(t)
	do(w.device, func(out *transport.Out) {
		out.Send(netip.MustParseAddrPort("10.9.9.9:1"), cloudPort, []byte("forged"))
	})
	w.wantLost(LostSpoofed)
	do(w.device, func(out *transport.Out) {
		out.Send(devicePort, netip.MustParseAddrPort("192.0.2.9:1"), []byte("nowhere"))
	})
	w.wantLost(LostNoAddress)

	w.say("1")
	w.wantHeard(w.cld, "0s 1")
	w.device.Move(netip.MustParseAddr("10.0.0.3"))
	w.answer("2") // to the old address
	w.wantLost(LostNoAddress)
	w.say("3")
	w.wantHeard(w.cld, "0s 3")
	if want := netip.MustParseAddrPort("10.0.0.3:5684"); w.cld.peer != want {
		t.Errorf("came from %v, want %v", w.cld.peer, want)
	}
	w.device.Detach()
	w.answer("4")
	w.wantLost(LostNoAddress)
}

func TestPrefixIsOneHost(t *testing.T) {
	n := New(Config{})
	fleet, cloud := newPlayer(), newPlayer()
	node := n.AttachPrefix(fleet, netip.MustParsePrefix("127.1.0.0/16"))
	n.Attach(cloud, cloudAddr)
	cloud.datagram = func(_ clock.Instant, p transport.Packet, out *transport.Out) { out.Send(p.Local, p.Peer, p.Data) }
	local := netip.MustParseAddrPort("127.1.77.88:1")
	do(node, func(out *transport.Out) { out.Send(local, cloudPort, []byte("x")) })
	n.Settle(clock.Never)
	if cloud.peer != local || len(fleet.heard) != 1 {
		t.Errorf("the cloud saw %v, the fleet heard %q", cloud.peer, fleet.heard)
	}
}

func TestHooks(t *testing.T) {
	w := newWorld(t)
	remove := w.DropNth(w.device, 2, 3)
	w.say("1", "2", "3", "4")
	w.wantHeard(w.cld, "0s 1", "0s 4")
	remove()

	remove = w.Hook(func(f *Flight) {
		f.Data[0] ^= 0x20
		f.Delay = time.Second
	})
	w.say("abc")
	w.wantHeard(w.cld, "1s Abc")
	remove()

	if last := w.sightings[len(w.sightings)-2]; !last.Sent || string(last.Data) != "abc" {
		t.Errorf("the sender's sighting shows %q, want what it sent", last.Data)
	}
	w.Hook(func(f *Flight) { // an attacker repeats what passes
		from, to := f.From, f.To
		w.At(w.Now().Add(time.Second), func() { w.Inject(from, to, []byte("again")) })
	})
	w.say("once")
	w.wantHeard(w.cld, "1s once", "2s again")
}

func TestInjectForgesTheSource(t *testing.T) {
	w := newWorld(t)
	if lost := w.Inject(cloudPort, devicePort, []byte("forged")); lost != "" {
		t.Fatal(lost)
	}
	w.wantHeard(w.dev, "0s forged")
	if w.dev.peer != cloudPort {
		t.Errorf("came from %v, want %v", w.dev.peer, cloudPort)
	}
}
