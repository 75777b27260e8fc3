package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/record"
)

func told(part, epoch int, seq uint64, worker string, at time.Duration, online int64, latency time.Duration) *Batch {
	s := record.Sample{At: at, Every: time.Second, Phase: "all", Group: "g", Levels: map[record.Level]int64{record.Online: online}}
	s.Count(record.Published, 1)
	s.Time(record.PublishTime).Add(latency)
	self := record.Sample{At: at, Every: time.Second, Phase: "all", Self: &record.Self{CPU: float64(part), Lag: latency, SocketDrops: 1}}
	return &Batch{Part: part, Epoch: epoch, Seq: seq, Worker: worker, Samples: []record.Sample{s, self}}
}

// The parts of a worker become one sample; workers stay apart; histograms merge to
// what one machine would have measured.
func TestLedgerMerges(t *testing.T) {
	l := NewLedger(Split(30, 3), time.Second)
	out := Out{Begin: clock.Never}
	var whole record.Histogram
	for part, worker := range []string{"a", "a", "b"} {
		latency := time.Duration(part+1) * 7 * time.Millisecond
		whole.Add(latency)
		// Timers are a little late.
		l.Add(told(part, 1, 0, worker, time.Second+time.Duration(part)*3*time.Millisecond, 10, latency), &out)
	}
	if len(out.Samples) > 0 {
		t.Fatal("an interval is given out before its time")
	}
	l.Give(time.Second, &out)
	var merged record.Histogram
	for i := range out.Samples {
		s := &out.Samples[i]
		if s.At != time.Second || s.Every != time.Second {
			t.Errorf("a sample of %v at %v", s.Every, s.At)
		}
		merged.Merge(s.Times[record.PublishTime])
	}
	if len(out.Samples) != 4 {
		t.Fatalf("%d samples, want two of each worker", len(out.Samples))
	}
	a, selfA := out.Samples[0], out.Samples[1]
	if a.Worker != "a" || a.Levels[record.Online] != 20 || a.Counts[record.Published] != 2 || out.Samples[2].Worker != "b" {
		t.Errorf("%+v", a)
	}
	if selfA.Self == nil || selfA.Self.CPU != 1 || selfA.Self.Lag != 14*time.Millisecond || selfA.Self.SocketDrops != 2 {
		t.Errorf("%+v", selfA.Self)
	}
	for _, q := range []float64{0, 0.5, 1} {
		if merged.Quantile(q) != whole.Quantile(q) || merged.Count() != 3 {
			t.Errorf("quantile %v: %v and %v", q, merged.Quantile(q), whole.Quantile(q))
		}
	}
}

// What comes late counts, but does not say where devices are; what comes twice or
// from nowhere does not count.
func TestLedgerLateTwiceAndForeign(t *testing.T) {
	l := NewLedger(Split(20, 2), time.Second)
	out := Out{Begin: clock.Never}
	late := told(1, 1, 0, "b", time.Second, 10, time.Millisecond)
	l.Add(told(0, 1, 0, "a", time.Second, 10, time.Millisecond), &out)
	l.Give(time.Second, &out)
	out.Reset()
	if !l.Add(late, &out) || len(out.Samples) != 2 || out.Samples[0].Counts[record.Published] != 1 || out.Samples[0].Levels != nil {
		t.Errorf("late: %+v", out.Samples)
	}
	out.Reset()
	for _, b := range []*Batch{late, told(0, 1, 0, "a", time.Second, 10, time.Millisecond), told(7, 1, 0, "a", time.Second, 10, 0), told(-1, 1, 0, "a", time.Second, 10, 0), told(0, 0, 0, "a", time.Second, 10, 0)} {
		if l.Add(b, &out) || len(out.Samples) > 0 {
			t.Errorf("%+v counts", b)
		}
	}
	if l.Twice() != 2 {
		t.Errorf("%d batches came twice", l.Twice())
	}
}

// A worker that tells no more has no devices any more.
func TestLedgerForgetsTheDead(t *testing.T) {
	l := NewLedger(Split(20, 2), time.Second)
	out := Out{Begin: clock.Never}
	l.Add(told(0, 1, 0, "a", time.Second, 10, 0), &out)
	l.Add(told(1, 1, 0, "b", time.Second, 10, 0), &out)
	l.Add(told(0, 1, 1, "a", 2*time.Second, 10, 0), &out)
	l.Give(2*time.Second, &out)
	online := make(map[string]int64)
	for _, s := range out.Samples {
		if s.Levels != nil {
			online[s.Worker] = s.Levels[record.Online]
		}
	}
	if online["a"] != 10 || online["b"] != 0 {
		t.Errorf("%v", online)
	}
	gaps := l.Gaps(2 * time.Second)
	if len(gaps) != 1 || gaps[0].Part.Index != 1 || gaps[0].After != "b" || gaps[0].Count != 1 || gaps[0].From != time.Second {
		t.Errorf("%+v", gaps)
	}
}

// Parts that end in different intervals have all their devices in the last one.
func TestLedgerKeepsTheEnded(t *testing.T) {
	l := NewLedger(Split(20, 2), time.Second)
	out := Out{Begin: clock.Never}
	for part, at := range []time.Duration{1300 * time.Millisecond, 1600 * time.Millisecond} {
		b := told(part, 1, 0, "a", at, 10, 0)
		b.Last = true
		l.Add(b, &out)
	}
	l.Give(time.Minute, &out)
	if last := out.Samples[len(out.Samples)-2]; last.At != 2*time.Second || last.Levels[record.Online] != 20 {
		t.Errorf("%+v", last)
	}
}

// Notes that several workers make are told once, and counts add up.
func TestLedgerNotes(t *testing.T) {
	l := NewLedger(Split(20, 2), time.Second)
	out := Out{Begin: clock.Never}
	for part := range 2 {
		l.Add(&Batch{Part: part, Epoch: 1, Worker: "w", Notes: []record.Note{
			{Kind: "phase", Text: "arrive"}, {Kind: "campaign", Text: "wave 1"}, {Kind: "cloud", Text: "connections end: ping timeout", Count: 5},
		}}, &out)
	}
	if c := l.Counted(); len(out.Notes) != 3 || len(c) != 1 || c[0].Count != 10 {
		t.Errorf("%v, %v", out.Notes, c)
	}
	key := &Batch{Part: -1, Key: "taken/1/2", Notes: []record.Note{{Kind: "worker", Text: "taken"}}}
	if !l.Add(key, &out) || l.Add(key, &out) || len(out.Notes) != 4 {
		t.Errorf("%v", out.Notes)
	}
}

// Workers that cannot take part are told why.
func TestRefusals(t *testing.T) {
	good := Hello{Protocol: Protocol, Version: "v1", Name: "a", Session: "1", Capacity: 10, Host: record.Host{Name: "bench"}}
	c := NewCoordinator(0, Options{Devices: 10, Version: "v1"})
	out := Out{Begin: clock.Never}
	c.Hello(0, good, &out)
	if len(out.Refuse) > 0 || len(out.Admit) != 1 {
		t.Fatalf("%+v", out)
	}
	for want, change := range map[string]func(h *Hello){
		"protocol":       func(h *Hello) { h.Protocol++ },
		"it is muster v": func(h *Hello) { h.Version = "v2" },
		"no name":        func(h *Hello) { h.Name = "a b" },
		"another worker": func(*Hello) {},
	} {
		h := good
		h.Session = want
		change(&h)
		out.Reset()
		c.Hello(0, h, &out)
		if len(out.Refuse) != 1 || len(out.Admit) > 0 || !strings.Contains(out.Refuse[0].Why, want) {
			t.Errorf("%s: %+v", want, out.Refuse)
		}
		if len(out.Notes) != 1 {
			t.Errorf("%s: %d notes", want, len(out.Notes))
		}
		c.Hello(0, h, &out)
		if len(out.Notes) != 1 {
			t.Errorf("%s: it is told again", want)
		}
	}
}

// At the end every device is somewhere, also when the last that was told of it came
// late; of a part that nobody ran to its end nothing is known.
func TestLedgerEnd(t *testing.T) {
	l := NewLedger(Split(30, 3), time.Second)
	out := Out{Begin: clock.Never}
	last := func(part int, at time.Duration) *Batch {
		b := told(part, 1, 1, "a", at, 10, 0)
		b.Last = true
		return b
	}
	for part := range 3 {
		l.Add(told(part, 1, 0, "a", time.Second, 9, 0), &out)
	}
	l.Add(last(0, 2*time.Second), &out)
	l.Give(2*time.Second, &out)
	l.Add(last(1, 2*time.Second), &out)
	if got := l.End()["g"][record.Online]; got != 20 {
		t.Errorf("%d devices are online at the end, want 20", got)
	}
}
