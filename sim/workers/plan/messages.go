package plan

import (
	"regexp"
	"time"

	"github.com/muster/muster/sim/record"
)

// Protocol is the version of what workers and coordinators say to each other.
const Protocol = 1

// names are what a run or a worker may be called: they are part of subjects and
// keys.
var names = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// ValidName reports whether a run or a worker may have a name: up to 64 letters,
// digits, underscores and hyphens, beginning with a letter or digit.
func ValidName(s string) bool { return names.MatchString(s) }

// A Hello is what a worker says of itself, every second.
type Hello struct {
	Protocol int    `json:"protocol"`
	Version  string `json:"version"` // of the program
	Name     string `json:"name"`
	Session  string `json:"session"` // tells runs of the program apart
	// Capacity is how many devices it has room for; Sockets is how many when each
	// needs a socket of its own, as towards a cloud on another machine.
	Capacity int `json:"capacity"`
	Sockets  int `json:"sockets"`
	// Key is the public key to which secrets for it are sealed.
	Key []byte `json:"key"`
	// Proof shows that it knows the secret of the workers, if they have one.
	Proof []byte      `json:"proof,omitempty"`
	Run   string      `json:"run,omitempty"` // that it works for; "": none
	Host  record.Host `json:"host"`
	// Offset is how far the coordinator's clock is ahead of its own, give or take
	// Within; both 0 when it has not measured yet.
	Offset time.Duration `json:"offset,omitempty"`
	Within time.Duration `json:"within,omitempty"`
	// Leaving says that it ends.
	Leaving bool `json:"leaving,omitempty"`
}

// A State is how far the owner of a part is.
type State string

// The states of a lease.
//
//	offered --worker accepts--> held --prepared--> ready --the part is over--> done
//	                             |                  |
//	                             +------------------+--worker ends--> released
//	                             +------------------+--it cannot----> failed
const (
	Offered  State = "offered"
	Held     State = "held"
	Ready    State = "ready"
	Done     State = "done"
	Released State = "released"
	Failed   State = "failed"
)

// owned reports whether the owner may send, or is about to.
func (s State) owned() bool { return s == Offered || s == Held || s == Ready }

// A Lease says who has a part. It is stored, and changed by compare-and-set only.
type Lease struct {
	Part    int    `json:"part"`
	Epoch   int    `json:"epoch"` // grows with each owner, from 1
	Worker  string `json:"worker"`
	Session string `json:"session"`
	State   State  `json:"state"`
	Beat    uint64 `json:"beat,omitempty"`  // grows with each renewal
	Why     string `json:"why,omitempty"`   // it failed or was released
	After   string `json:"after,omitempty"` // the worker that had it before
}

// A Write is a change of a lease to be stored, if the stored one still has the
// revision; 0: if there is none.
type Write struct {
	Lease    Lease
	Revision uint64
}

// A Batch is what a worker measured, on its way to the coordinator. Part, Epoch and
// Seq identify it, however often it is sent.
type Batch struct {
	Part    int             `json:"part"`
	Epoch   int             `json:"epoch"`
	Seq     uint64          `json:"seq"` // from 0
	Worker  string          `json:"worker,omitempty"`
	Samples []record.Sample `json:"samples,omitempty"`
	Notes   []record.Note   `json:"notes,omitempty"`
	// More says that the next batch has more of the last of these intervals.
	More bool `json:"more,omitempty"`
	// Last says that the part is over for this owner.
	Last bool `json:"last,omitempty"`
	// Key identifies a batch of the coordinator itself instead: it has notes only.
	Key string `json:"key,omitempty"`
}
