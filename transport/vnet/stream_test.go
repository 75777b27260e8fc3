package vnet

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// newStreamWorld is a world with 10 ms each way and an open stream.
func newStreamWorld(t *testing.T) (*world, transport.StreamID) {
	t.Helper()
	w := newWorld(t)
	w.device.SetAccess(&Access{Up: Link{Delay: 10 * ms}, Down: Link{Delay: 10 * ms}})
	id := w.dial()
	w.wantHeard(w.cld, "10ms opened")
	w.wantHeard(w.dev, "20ms opened")
	return w, id
}

func TestStream(t *testing.T) {
	w, id := newStreamWorld(t)
	do(w.device, func(out *transport.Out) {
		out.Write(id, []byte("hello"))
		out.Write(id, []byte("world"))
		out.Close(id)
		out.Write(id, []byte("too late"))
	})
	w.wantHeard(w.cld, "30ms hello", "30ms world", "30ms closed by peer")
	w.wantHeard(w.dev)
	if len(w.streams) != 0 {
		t.Errorf("%d ends are left", len(w.streams))
	}
}

// The cloud speaks first: what it writes while it accepts comes right behind
// the opening.
func TestCloudSpeaksFirst(t *testing.T) {
	w := newWorld(t)
	w.cld.opened = func(s transport.Stream, out *transport.Out) {
		if !s.Accepted || s.Local != streamPort {
			t.Errorf("opened %+v", s)
		}
		out.Write(s.ID, []byte("nonce"))
	}
	w.dial()
	w.wantHeard(w.dev, "0s opened", "0s nonce")
}

func TestWritesBeforeTheOpening(t *testing.T) {
	w := newWorld(t)
	id := w.dial()
	do(w.device, func(out *transport.Out) {
		out.Write(id, []byte("early"))
		out.Close(id)
	})
	w.wantHeard(w.cld, "0s opened", "0s early", "0s closed by peer")
	w.wantHeard(w.dev)
}

func TestRefusedAndReset(t *testing.T) {
	w, _ := newStreamWorld(t)
	do(w.cloud, func(out *transport.Out) {
		out.Write(w.cld.stream, []byte("lost with the reset"))
		out.Abort(w.cld.stream)
	})
	w.wantHeard(w.dev, "30ms reset by peer")

	// Nobody can dial a device: it does not listen.
	do(w.cloud, func(out *transport.Out) { out.Dial(streamPort, devicePort) })
	w.wantHeard(w.cld, "50ms refused")
	w.wantHeard(w.dev)
	if len(w.streams) != 0 {
		t.Errorf("%d ends are left", len(w.streams))
	}
}

func TestLossDelaysAStream(t *testing.T) {
	w, id := newStreamWorld(t)
	w.device.SetAccess(&Access{Up: Link{Loss: 0.3, Delay: 10 * ms}})
	var want []string
	do(w.device, func(out *transport.Out) {
		for i := range 100 {
			want = append(want, fmt.Sprint(i))
			out.Write(id, []byte(want[i]))
		}
	})
	w.Settle(clock.Never)
	var got []string
	for _, line := range w.cld.heard {
		got = append(got, strings.Fields(line)[1])
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if w.Now() < clock.Instant(time.Second) {
		t.Errorf("all of it took %v: no retransmission", w.Now())
	}
}

func TestPartitionEndsAStreamInTheEnd(t *testing.T) {
	w, id := newStreamWorld(t)
	w.Cut(w.device, w.cloud)
	do(w.device, func(out *transport.Out) { out.Write(id, []byte("held up")) })
	w.Run(w.Now().Add(5 * time.Second))
	w.Rejoin()
	w.wantHeard(w.cld, "7.03s held up") // the third retransmission

	w.Cut(w.device, w.cloud)
	do(w.device, func(out *transport.Out) { out.Write(id, []byte("lost")) })
	w.wantHeard(w.dev, "2m14.04s timed out")
	w.Rejoin()
	do(w.cloud, func(out *transport.Out) { out.Write(w.cld.stream, []byte("to a stream that is gone")) })
	w.wantHeard(w.cld, "2m14.06s reset by peer")
}

func TestDialIntoNothing(t *testing.T) {
	w := newWorld(t)
	w.cloud.SetOnline(false)
	w.dial()
	w.wantHeard(w.dev, "2m7s timed out")
	w.cloud.SetOnline(true)
	remove := w.Hook(func(f *Flight) { f.Drop() })
	w.dial()
	w.wantHeard(w.dev, "4m14s timed out")
	remove()
	w.device.SetAccess(&Access{Up: Link{Loss: 1}})
	w.dial()
	w.wantHeard(w.dev, "6m21s timed out")
	if len(w.streams) != 0 {
		t.Errorf("%d ends are left", len(w.streams))
	}
}

func TestCrashLeavesTheOtherEnd(t *testing.T) {
	w, _ := newStreamWorld(t)
	w.device.Crash()
	w.wantHeard(w.cld)
	do(w.cloud, func(out *transport.Out) { out.Write(w.cld.stream, []byte("are you there?")) })
	w.wantHeard(w.cld, "40ms reset by peer")
	w.wantHeard(w.dev)
	if len(w.streams) != 0 {
		t.Errorf("%d ends are left", len(w.streams))
	}
}

func TestStreamThroughNAT(t *testing.T) {
	w, nat := newHomeWorld(t, NATConfig{})
	id := w.dial()
	w.wantHeard(w.cld, "0s opened")
	if w.cld.peer.Addr() != publicAddr {
		t.Errorf("the cloud sees %v", w.cld.peer)
	}
	do(w.cloud, func(out *transport.Out) { out.Write(w.cld.stream, []byte("in")) })
	w.wantHeard(w.dev, "0s opened", "0s in")
	nat.Rebind()
	do(w.device, func(out *transport.Out) { out.Write(id, []byte("from another port")) })
	w.wantHeard(w.dev, "0s reset by peer")
	do(w.cloud, func(out *transport.Out) { out.Write(w.cld.stream, []byte("to the old port")) })
	w.wantHeard(w.cld, "2m7s timed out")
}

func TestSegmentsFitTheMTU(t *testing.T) {
	w, id := newStreamWorld(t)
	w.device.SetAccess(&Access{Up: Link{MTU: 140}})
	do(w.device, func(out *transport.Out) { out.Write(id, []byte(strings.Repeat("x", 250))) })
	x := strings.Repeat("x", 100)
	w.wantHeard(w.cld, "20ms "+x, "20ms "+x, "20ms "+x[:50])
}

// An attacker on the path changes and removes bytes of a stream.
func TestStreamHooks(t *testing.T) {
	w, id := newStreamWorld(t)
	w.Hook(func(f *Flight) {
		switch string(f.Data) {
		case "change":
			f.Data = []byte("CHANGE")
		case "remove":
			f.Drop()
		}
	})
	do(w.device, func(out *transport.Out) {
		for _, text := range []string{"keep", "change", "remove", "keep"} {
			out.Write(id, []byte(text))
		}
	})
	w.wantHeard(w.cld, "30ms keep", "30ms CHANGE", "30ms keep")
}

func TestSlowStreamIsNotLost(t *testing.T) {
	w, id := newStreamWorld(t)
	w.device.SetAccess(&Access{Up: Link{Rate: 8000}})
	do(w.device, func(out *transport.Out) {
		for range 10 {
			out.Write(id, make([]byte, 960))
		}
	})
	w.Settle(clock.Never)
	if len(w.cld.heard) != 10 || w.Now() != clock.Instant(10020*ms) {
		t.Errorf("%d segments by %v, want 10 by 10.02s", len(w.cld.heard), w.Now())
	}
}
