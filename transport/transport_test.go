package transport

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
)

var (
	device = netip.MustParseAddrPort("127.1.0.1:5684")
	cloud  = netip.MustParseAddrPort("127.0.0.1:5684")
)

func TestOutKeepsWhatWasSent(t *testing.T) {
	var out Out
	buf := make([]byte, 3000)
	for i := range 50 { // several arenas
		for j := range buf {
			buf[j] = byte(i)
		}
		out.Send(device, cloud, buf)
	}
	for i, p := range out.Packets() {
		if len(p.Data) != len(buf) || bytes.Count(p.Data, []byte{byte(i)}) != len(buf) {
			t.Fatalf("packet %d was overwritten", i)
		}
		if cap(p.Data) != len(p.Data) {
			t.Fatalf("packet %d can grow into the next", i)
		}
	}
	out.Clear()
	if !out.Empty() {
		t.Error("not empty after Clear")
	}
}

func TestOutDoesNotAllocateInTheSteadyState(t *testing.T) {
	var out Out
	data := make([]byte, 60)
	if n := testing.AllocsPerRun(100, func() {
		for range 64 {
			out.Send(device, cloud, data)
			out.Write(1, data)
		}
		out.Clear()
	}); n != 0 {
		t.Errorf("%v allocations a batch, want 0", n)
	}
}

// sinkLog notes the order of actions.
type sinkLog struct{ did []ActionKind }

func (s *sinkLog) Dial(StreamID, netip.AddrPort, netip.AddrPort) { s.did = append(s.did, DialStream) }

func (s *sinkLog) Write(StreamID, []byte) { s.did = append(s.did, WriteStream) }

func (s *sinkLog) Close(StreamID) { s.did = append(s.did, CloseStream) }

func (s *sinkLog) Abort(StreamID) { s.did = append(s.did, AbortStream) }

func TestStreamActionsGoToTheSinkOrWait(t *testing.T) {
	say := func(out *Out) {
		id := out.Dial(device, cloud)
		out.Write(id, []byte("x"))
		out.Close(id)
		out.Abort(id)
	}
	want := []ActionKind{DialStream, WriteStream, CloseStream, AbortStream}

	var sink sinkLog
	with := NewOut(new(StreamIDs), &sink)
	say(with)
	if !with.Empty() {
		t.Error("actions wait although there is a sink")
	}
	var out Out
	say(&out)
	for i, kind := range want {
		if sink.did[i] != kind || out.Actions()[i].Kind != kind {
			t.Errorf("action %d: sink %v, queued %v, want %v", i, sink.did[i], out.Actions()[i].Kind, kind)
		}
		if out.Actions()[i].ID != 1 {
			t.Errorf("action %d is for stream %d, want 1", i, out.Actions()[i].ID)
		}
	}
}

func TestNamesAreComplete(t *testing.T) {
	for c := range numCounters {
		if c.String() == "" {
			t.Errorf("counter %d has no name", c)
		}
	}
	for c := ClosedByPeer; c < numCauses; c++ {
		if c.String() == "" {
			t.Errorf("cause %d has no name", c)
		}
	}
	for k := DatagramSeen; k < numSightingKinds; k++ {
		if k.String() == "" {
			t.Errorf("sighting kind %d has no name", k)
		}
	}
}

func TestSightingIsOneLine(t *testing.T) {
	s := Sighting{
		At: clock.Instant(time.Second), Kind: DatagramSeen, Sent: true, Lost: "loss",
		Packet: Packet{Local: device, Peer: cloud, Data: make([]byte, 52)},
	}
	if got, want := s.String(), "1s 127.1.0.1:5684 > 127.0.0.1:5684 udp 52 lost: loss"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestClockConverts(t *testing.T) {
	c := NewClock()
	if !c.Time(clock.Never).IsZero() {
		t.Error("Never is not the zero time")
	}
	if got := c.Time(5).Sub(c.Start()); got != 5 {
		t.Errorf("Time(5) is %v after the start, want 5ns", got)
	}
	a := c.Now()
	if b := c.Now(); b < a {
		t.Errorf("the clock ran back from %v to %v", a, b)
	}
	if c.Until(a) > 0 {
		t.Error("the past lies ahead")
	}
}

func TestCountersAddUp(t *testing.T) {
	var a, b Counters
	a.Add(DatagramsIn, 2)
	b.Add(DatagramsIn, 3)
	b.Add(DropTooLong, 1)
	var sum Counts
	a.AddTo(&sum)
	b.AddTo(&sum)
	if got, want := sum.String(), "datagrams in 5, dropped, too long 1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
