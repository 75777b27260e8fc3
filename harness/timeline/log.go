package timeline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/muster/muster/protocol/clock"
)

// DefaultMax is how many events a Log keeps of each kind, and textMax how long
// the text of one may be, in bytes.
const (
	DefaultMax = 20_000
	textMax    = 1000
)

// A Log collects events. It keeps at most a number of each kind, so that a chatty
// console does not push the verdicts out, and counts what it left out. It is safe
// for concurrent use.
type Log struct {
	mu      sync.Mutex
	start   time.Time
	max     int
	events  []Event
	kept    map[Kind]int
	dropped map[Kind]int
	listen  []func(Event)
}

// New returns an empty Log of a run that began at start, with at most limit events
// of each kind; 0 means DefaultMax.
func New(start time.Time, limit int) *Log {
	if limit <= 0 {
		limit = DefaultMax
	}
	return &Log{start: start, max: limit, kept: map[Kind]int{}, dropped: map[Kind]int{}}
}

// Began says when the run began, if that was not known to New.
func (l *Log) Began(start time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.start = start
}

// Instant returns the instant of a wall-clock time, for sources that have no
// other clock.
func (l *Log) Instant(at time.Time) clock.Instant {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return clock.Instant(at.Sub(l.start))
}

// Listen makes f hear every event from now on, also those that the Log has no
// room for. F must not call the Log.
func (l *Log) Listen(f func(Event)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listen = append(l.listen, f)
}

// Add adds an event. Control characters in its text are replaced: consoles send
// anything. A nil Log takes nothing.
func (l *Log) Add(e Event) {
	if l == nil {
		return
	}
	e.Text = clean(e.Text)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.listen {
		f(e)
	}
	if l.kept[e.Kind] >= l.max {
		l.dropped[e.Kind]++
		return
	}
	l.kept[e.Kind]++
	l.events = append(l.events, e)
}

// Events returns the events in the order of their times, and behind them one Note
// for each kind of which there were too many.
func (l *Log) Events() []Event {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.Clone(l.events)
	slices.SortStableFunc(all, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
	last := clock.Instant(0)
	if len(all) > 0 {
		last = all[len(all)-1].At
	}
	kinds := make([]Kind, 0, len(l.dropped))
	for k := range l.dropped {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	for _, k := range kinds {
		all = append(all, Event{
			At: last, Lane: "run", Kind: Note, Level: Warn,
			Text: fmt.Sprintf("%d more events of the kind %q were left out: the timeline keeps %d of each", l.dropped[k], k, l.max),
		})
	}
	return all
}

// clean makes one line of a text.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "�")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029:
			return '·'
		}
		return r
	}, strings.TrimRight(s, "\r\n"))
	if len(s) > textMax {
		s = strings.ToValidUTF8(s[:textMax], "") + "…"
	}
	return s
}
