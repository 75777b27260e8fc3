package timeline

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
)

func TestEventsComeInOrderWhoeverAddedThem(t *testing.T) {
	l := New(time.Now(), 0)
	var done sync.WaitGroup
	for i := range 100 {
		done.Go(func() { l.Add(Event{At: clock.Instant(100 - i), Lane: "run", Kind: Step, Text: "x"}) })
	}
	done.Wait()
	all := l.Events()
	if len(all) != 100 {
		t.Fatalf("%d events, want 100", len(all))
	}
	for i, e := range all {
		if e.At != clock.Instant(i+1) {
			t.Fatalf("event %d is of %d", i, e.At)
		}
	}
}

func TestAChattyConsoleLeavesRoomForVerdicts(t *testing.T) {
	l := New(time.Now(), 3)
	heard := 0
	l.Listen(func(Event) { heard++ })
	for i := range 10 {
		l.Add(Event{At: clock.Instant(i), Lane: "/dev/ttyACM0", Kind: Serial, Text: "tick"})
	}
	l.Add(Event{At: 11, Lane: "run", Kind: Verdict, Text: "resume/bytes: fail", Level: Bad})
	all := l.Events()
	if len(all) != 5 || heard != 11 {
		t.Fatalf("%d events kept, %d heard: %+v", len(all), heard, all)
	}
	if all[3].Kind != Verdict || all[4].Kind != Note || !strings.Contains(all[4].Text, `7 more events of the kind "serial"`) {
		t.Errorf("got %+v", all[3:])
	}
}

func TestTextIsOneLine(t *testing.T) {
	l := New(time.Now(), 0)
	l.Add(Event{Kind: Serial, Text: "boot\x1b[31m \xff\x00\tok\r\n"})
	l.Add(Event{Kind: Serial, Text: strings.Repeat("ä", 2*textMax)})
	all := l.Events()
	if got, want := all[0].Text, "boot·[31m �· ok"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if n := len(all[1].Text); n > textMax+3 {
		t.Errorf("%d bytes of text", n)
	}
}

func TestNilLogTakesNothing(t *testing.T) {
	var l *Log
	l.Add(Event{Text: "x"})
	if l.Events() != nil {
		t.Error("a nil Log has events")
	}
}

// TestJSONIsStable holds the form of timeline.jsonl.
func TestJSONIsStable(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	l := New(start, 0)
	e := Event{At: l.Instant(start.Add(time.Second)), For: time.Millisecond, Lane: "run", Kind: Step, Text: "t", Level: Warn, Check: "a/b", Packet: 7}
	got, err := json.Marshal(e)
	const want = `{"at_ns":1000000000,"for_ns":1000000,"lane":"run","kind":"step","text":"t","level":"warn","check":"a/b","packet":7}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, want %s, %v", got, want, err)
	}
	if e.End() != e.At.Add(time.Millisecond) {
		t.Errorf("end %v", e.End())
	}
}
