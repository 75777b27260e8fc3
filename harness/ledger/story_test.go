package ledger

import (
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

// A teller tells a Ledger the story of one session.
type teller struct {
	l  *Ledger
	at clock.Instant
}

func (s *teller) says(up bool, size int, m trace.Message, change ...func(*trace.Packet)) {
	p := &trace.Packet{
		At: s.at, Association: 1, Device: trace.DeviceID{1}, Size: size, Headers: trace.HeadersUDP4,
		Records: []trace.Record{{State: trace.Opened, Epoch: 1, Size: size, Message: &m}},
	}
	if !up {
		p.Direction = trace.Down
	}
	for _, f := range change {
		f(p)
	}
	s.l.Add(p)
}

func (s *teller) want(t *testing.T, ph Phase, count, bytes int) {
	t.Helper()
	for _, sum := range s.l.Device(trace.DeviceID{1}) {
		if sum.Phase == ph {
			if sum.Count != count || sum.Total.Max != bytes {
				t.Errorf("%v: %d times, at most %d bytes, want %d, %d", ph, sum.Count, sum.Total.Max, count, bytes)
			}
			return
		}
	}
	if count != 0 {
		t.Errorf("%v: never", ph)
	}
}

var (
	publish = trace.Message{Kind: pdc.KindPublish, Root: pdc.KindPublish, Exchange: 1, Event: "demo"}
	again   = trace.Message{Kind: pdc.KindPublish, Root: pdc.KindPublish, Exchange: 1, Event: "demo", Repeat: 1}
	ack     = trace.Message{Kind: pdc.KindAcknowledgement, Of: pdc.KindPublish, Root: pdc.KindPublish, Exchange: 1, Event: "demo"}
)

// TestRetransmissionBelongsToItsExchange: what was lost on the way up was paid
// for.
func TestRetransmissionBelongsToItsExchange(t *testing.T) {
	s := &teller{l: New()}
	s.says(true, 61, publish, func(p *trace.Packet) { p.Lost = "chance" })
	s.at = clock.Instant(5 * time.Second)
	s.says(true, 61, again)
	s.says(false, 33, ack)
	s.want(t, Publish, 1, 3*28+61+61+33)
	s.want(t, Other, 0, 0)
}

// TestWhatDidNotArriveIsNotCounted: the device never had it.
func TestWhatDidNotArriveIsNotCounted(t *testing.T) {
	s := &teller{l: New()}
	s.says(true, 61, publish)
	s.says(false, 33, ack, func(p *trace.Packet) { p.Received, p.Lost = true, "offline" })
	s.want(t, Publish, 1, 28+61)
}

// TestLateRestIsOther: what comes after its exchange was settled does not make an
// occurrence of its own that is too cheap.
func TestLateRestIsOther(t *testing.T) {
	s := &teller{l: New()}
	s.says(true, 61, publish)
	s.at = clock.Instant(settled)
	second := publish
	second.Exchange = 2
	s.says(true, 61, second)
	s.says(false, 33, ack)
	s.want(t, Publish, 2, 28+61)
	s.want(t, Other, 1, 28+33)
}

// TestBounds opens more than a Ledger keeps.
func TestBounds(t *testing.T) {
	s := &teller{l: New()}
	for i := range 3 * openMax {
		m := publish
		m.Exchange = uint64(i + 1)
		s.says(true, 60+i*2, m)
	}
	if n := len(s.l.books[1].open); n > openMax {
		t.Errorf("%d exchanges are open", n)
	}
	s.want(t, Publish, 3*openMax, 28+60+2*(3*openMax-1))
}
