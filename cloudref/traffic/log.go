package traffic

import (
	"cmp"
	"slices"
	"time"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/trace"
)

// linesMax is how many lines of a device are remembered.
const linesMax = 200

// A Row is what one thing cost a device.
type Row struct {
	What     string   `json:"what"`
	Packets  [2]int64 `json:"packets"`   // up, down
	Bytes    [2]int64 `json:"bytes"`     // up, down, headers included
	LastSeen int64    `json:"last_seen"` // Unix time in milliseconds
}

// A log is what is remembered of one device.
type log struct {
	owner     store.AccountID // who may see it, zero for nobody yet
	said      trace.Conversation
	exchanges uint64
	serial    uint64
	rows      map[string]*Row
	lines     []Line // a ring once it is full
	next      int
	watchers  map[*Watch]struct{}
	secured   time.Time // the last handshake; zero: before the cloud was started
	heard     time.Time
	flash     *Flash // the last update, nil for none
}

func newLog() *log { return &log{rows: make(map[string]*Row), watchers: make(map[*Watch]struct{})} }

// spend adds packets to a row.
func (l *log) spend(what string, d trace.Direction, packets, size int, at time.Time) {
	r := l.rows[what]
	if r == nil {
		r = &Row{What: what}
		l.rows[what] = r
	}
	r.Packets[d] += int64(packets)
	r.Bytes[d] += int64(size)
	r.LastSeen = at.UnixMilli()
}

// add remembers a line and tells who watches.
func (l *log) add(line Line) {
	l.serial++
	line.Serial = l.serial
	if len(l.lines) < linesMax {
		l.lines = append(l.lines, line)
	} else {
		l.lines[l.next] = line
		l.next = (l.next + 1) % linesMax
	}
	l.tell(Update{Line: &line})
}

// tell gives an update to who watches.
func (l *log) tell(u Update) {
	for w := range l.watchers {
		select {
		case w.c <- u:
		default:
			w.drop() // it can ask for the last lines again
		}
	}
}

// all returns the lines, the oldest first.
func (l *log) all() []Line {
	return append(slices.Clone(l.lines[l.next:]), l.lines[:l.next]...)
}

// ledger returns the rows, the dearest first.
func (l *log) ledger() []Row {
	rows := make([]Row, 0, len(l.rows))
	for _, r := range l.rows {
		rows = append(rows, *r)
	}
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(b.Bytes[0]+b.Bytes[1], a.Bytes[0]+a.Bytes[1]), cmp.Compare(a.What, b.What))
	})
	return rows
}
