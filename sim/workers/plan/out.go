package plan

import (
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/record"
)

// Out is what a Coordinator wants done. The driver owns it, and empties it with
// Reset.
type Out struct {
	// Plan is to be stored once, before any lease.
	Plan []Part
	// Leases are to be stored.
	Leases []Write
	// Admit are sessions of workers that are to get what the run is.
	Admit []string
	// Refuse are workers that are told why they cannot take part.
	Refuse []Refusal
	// Begin is when the first phase begins, to be stored once and told; Never: not
	// yet.
	Begin clock.Instant
	// Publish are notes to be stored with what the workers measured, so that they
	// outlive the coordinator. They come back as batches.
	Publish []Batch
	// Samples and Notes are for those who watch.
	Samples []record.Sample
	Notes   []record.Note
	// Stop tells the workers to end the run now; "": not yet.
	Stop string
	// CatchUp asks for all that is stored by now, and then for CaughtUp.
	CatchUp bool
	// Over says that nothing more will come. Err is why the run did not happen.
	Over bool
	Err  error
}

// Reset empties it.
func (o *Out) Reset() {
	*o = Out{
		Leases: o.Leases[:0], Admit: o.Admit[:0], Refuse: o.Refuse[:0], Publish: o.Publish[:0],
		Samples: o.Samples[:0], Notes: o.Notes[:0], Begin: clock.Never,
	}
}

// A Refusal is why a worker cannot take part.
type Refusal struct{ Session, Worker, Why string }
