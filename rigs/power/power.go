// Package power restarts boards and cuts their power: by the gentlest means that
// works, each verified, because means lie.
//
//	Means    one way to restart a board, on a Rung of the ladder
//	Witness  sees whether the board left the bus, came back, and answers
//	Ladder   the means of a board, climbed from the bottom
//	Health   what it took so far; a sick board is quarantined with a sentence
//
// A means has worked when the board left the bus, came back, started anew as far
// as its console's clock tells, and answers. A hub port that only takes the board
// off the bus leaves it running: that is found out and said.
//
// What this package is not: a lease. Who uses it has the board.
package power

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Rung is how strong a means is.
type Rung int

// The rungs, gentlest first.
const (
	Soft    Rung = 1 + iota // the board restarts itself, told on its console or by the cloud
	Control                 // USB control request
	Lines                   // reset pin by a modem line
	Relay                   // the board's own supply
	Hub                     // USB hub port
	PDU                     // what feeds hub and board
	Person                  // a hand
	rungs
)

var rungNames = [...]string{"", "soft", "control", "lines", "relay", "hub", "pdu", "person"}

// String returns the name of r, as on the command line.
func (r Rung) String() string {
	if r <= 0 || r >= rungs {
		return fmt.Sprintf("Rung(%d)", int(r))
	}
	return rungNames[r]
}

// ParseRung returns the rung of a name.
func ParseRung(name string) (Rung, error) {
	for r := Soft; r < rungs; r++ {
		if rungNames[r] == name {
			return r, nil
		}
	}
	return 0, fmt.Errorf("there is no means %q: soft, control, lines, relay, hub, pdu or person", name)
}

// Cuts reports whether a rung takes the power away, which cures what a reset does
// not.
func (r Rung) Cuts() bool { return r >= Relay }

// A Means is a way to restart a board. Off and On are for those that can keep it
// off; Restart is for the others.
type Means struct {
	Rung    Rung
	Text    string // what it is, as "hub port 1-1-port4"
	Restart func(context.Context) error
	Off, On func(context.Context) error
}

// Presence is what the bus shows of a board.
type Presence struct {
	Present bool
	Number  int // of the device on the bus: another one each time it comes
}

// A Witness sees what a means does to a board.
type Witness interface {
	// Look returns what the bus shows, and a channel that is closed when that may
	// have changed.
	Look() (Presence, <-chan struct{})
	// Clock returns the board's own time since it started, as its last console
	// line told it at the host's time at; ok is false if it tells none.
	Clock() (since time.Duration, at time.Time, ok bool)
	// Answers waits until the board answers that was restarted after since.
	Answers(ctx context.Context, since time.Time) error
}

// Times are how patient a Ladder is. Zero fields mean what is stated.
type Times struct {
	Vanish time.Duration // for the board to leave the bus; 5 s
	Return time.Duration // for it to come back; 30 s
	Answer time.Duration // for it to answer then; 30 s
	Off    time.Duration // without power, because capacitors hold it; 3 s
	Means  time.Duration // for a command or a request; 30 s
	Person time.Duration // for a person; 5 min
}

func (t Times) complete() Times {
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&t.Vanish, 5 * time.Second},
		{&t.Return, 30 * time.Second},
		{&t.Answer, 30 * time.Second},
		{&t.Off, 3 * time.Second},
		{&t.Means, 30 * time.Second},
		{&t.Person, 5 * time.Minute},
	} {
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
	return t
}

// Reasons why a means did not work. They are in errors.
var (
	ErrNoEffect = errors.New("the board did not leave the bus")
	ErrNotBack  = errors.New("the board did not come back")
	ErrLied     = errors.New("the board left the bus, but kept running: the power was not cut")
	ErrSilent   = errors.New("the board came back, and does not answer")
	ErrNoMeans  = errors.New("there is no means for it")
)

// An Attempt is one means, tried.
type Attempt struct {
	Rung     Rung          `json:"rung"`
	Text     string        `json:"means"`
	At       time.Time     `json:"at"`
	Vanished time.Duration `json:"vanished_ns"` // until it left the bus; negative: it did not
	Back     time.Duration `json:"back_ns"`     // until it came back; negative: it did not
	Proven   bool          `json:"proven"`      // its clock shows that it started anew
	Err      error         `json:"-"`
	Why      string        `json:"why,omitempty"` // of Err
}

// String says what was done and what came of it.
func (a Attempt) String() string {
	if a.Err != nil {
		return fmt.Sprintf("%s (%s): %v", a.Rung, a.Text, a.Err)
	}
	s := fmt.Sprintf("%s (%s): gone after %s, back after %s", a.Rung, a.Text, a.Vanished.Round(time.Millisecond), a.Back.Round(time.Millisecond))
	switch {
	case a.Proven:
		s += ", and its clock began anew"
	case a.Rung.Cuts():
		s += "; it printed no time, so that it lost power is not proven"
	}
	return s
}
