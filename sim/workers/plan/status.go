package plan

import (
	"fmt"
	"slices"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/record"
)

// Length is how long the phases went on: all of them, unless the run was ended
// before.
func (c *Coordinator) Length() time.Duration { return c.length }

// End returns where the devices of each group were at the end, as far as workers
// have told it; nil when the run did not begin.
func (c *Coordinator) End() map[string]map[record.Level]int64 {
	if c.ledger == nil {
		return nil
	}
	return c.ledger.End()
}

// Summary returns notes of who did what, and of what is missing up to an offset.
func (c *Coordinator) Summary(until time.Duration) (list []record.Note) {
	list = c.ledger.Shares()
	for i := range list {
		list[i].At = until
	}
	for _, g := range c.ledger.Gaps(until) {
		list = append(list, gapNote(g))
	}
	for i := range c.parts {
		for epoch := 1; epoch < c.ledger.epochs(i); epoch++ {
			if d := c.ledger.overlap(i, epoch); d > c.o.Every/2 {
				list = append(list, record.Note{At: until, Kind: kindWorker, Count: uint64(d/c.o.Every) + 1, Text: fmt.Sprintf(
					"worker %s went on with %v for %v after its lease was over: its machine stood still, and its devices were there twice", c.ledger.owners[owner{i, epoch}].worker, c.parts[i], d)})
			}
		}
	}
	if n := c.ledger.Twice(); n > 0 {
		list = append(list, record.Note{At: until, Kind: kindWorker, Count: n, Text: fmt.Sprintf("%s came more than once and counted once", plural(int(n), "batch of samples"))})
	}
	return list
}

func gapNote(g Gap) record.Note {
	text := fmt.Sprintf("%s of %v never arrived, from %v to %v: ", plural(int(g.Count), "interval"), g.Part, g.From, g.Until)
	switch {
	case g.After != "":
		text += fmt.Sprintf("what worker %s did with it until it stopped is not in the sums, and then nobody ran it for a while", g.After)
	default:
		text += "nobody ran it then, or who did could not tell"
	}
	return record.Note{At: g.From, Kind: kindWorker, Text: text, Count: g.Count}
}

// Status is what people want to know of a run.
type Status struct {
	Stage   Stage
	Workers int // that take part and are alive
	Room    int // for devices, of all of them
	Parts   int
	Ready   int // parts that are ready, running or over
	Begin   clock.Instant
	Waiting []string // workers that are not ready
}

// Status returns how the run stands.
func (c *Coordinator) Status(now clock.Instant) Status {
	live := c.live(now)
	capacities, _ := c.room(live)
	st := Status{Stage: c.stage, Workers: len(live), Room: sum(capacities), Parts: len(c.parts), Begin: c.begin}
	for i := range c.slots {
		switch l := &c.slots[i].lease; l.State {
		case Ready, Done:
			st.Ready++
		case Offered, Held:
			if !slices.Contains(st.Waiting, l.Worker) {
				st.Waiting = append(st.Waiting, l.Worker)
			}
		default:
		}
	}
	slices.Sort(st.Waiting)
	return st
}

// Hosts returns the machines of the workers that took part, as they came.
func (c *Coordinator) Hosts() []record.Host { return slices.Clone(c.hosts) }

// Worker returns what a worker last said of itself.
func (c *Coordinator) Worker(session string) (Hello, bool) {
	w := c.workers[session]
	if w == nil {
		return Hello{}, false
	}
	return w.hello, true
}
