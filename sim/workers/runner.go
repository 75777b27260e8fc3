package workers

import (
	"context"
	"errors"
	"time"

	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/workers/plan"
)

// A Sink hears of a run while it goes on.
type Sink interface {
	// Sample is what a group did in an interval. The last one of an interval is that
	// of no group.
	Sample(s *record.Sample)
	Note(n record.Note)
}

// A Runner has the devices of a worker.
type Runner interface {
	// Prepare does all that takes time before a part can begin, and sends nothing.
	// job is what the coordinator gave for it.
	Prepare(ctx context.Context, job []byte, part plan.Part) (Prepared, error)
}

// Prepared is a part that is ready to begin.
type Prepared interface {
	// Run runs it, from a time on that may have passed: then it begins in the middle.
	// It returns when all phases are over, or ctx is done: with [ErrFenced] as its
	// cause it must stop at once, for somebody else has the devices; otherwise it
	// ends cleanly. sink is used by one goroutine at a time.
	Run(ctx context.Context, began time.Time, sink Sink) error
	// Close lets go of what was prepared and is not to be run.
	Close()
}

// ErrFenced is why a part must stop at once: its lease is over.
var ErrFenced = errors.New("the lease is over")
