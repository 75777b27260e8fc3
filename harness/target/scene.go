package target

import (
	"context"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/sim/profile"
)

// A Scene is one device to which things happen that wires do not show: it is reset,
// loses its power, sleeps. A simulated device has it in virtual time, where a moment
// is exact; a board and a program have it in theirs.
//
// What takes time, as to lose the power and to get it back, is over when the next
// Await or Flash returns, not before.
type Scene interface {
	// Name is the device in findings.
	Name() string
	Profile() *profile.Profile
	// Keeps says whether it goes on with its session when it was reset.
	Keeps() Knowledge
	Now() clock.Instant
	// Packets returns what crossed the wire from an instant on, decoded.
	Packets(since clock.Instant) []*trace.Packet
	// Connect switches it on, if it is off, and waits until it is connected and the
	// cloud knows what it has.
	Connect(ctx context.Context) error
	// Await waits until it was connected anew behind an instant.
	Await(ctx context.Context, since clock.Instant) error
	// Settle waits until a condition on the wire holds, or for as long as answers
	// may take.
	Settle(ctx context.Context, done func() bool)
	// Modules are what the cloud knows that it runs.
	Modules() []pdc.ModuleInfo
	// Image makes an image for it of about size bytes, or returns the given one.
	Image(size int) ([]byte, error)
	// Flash sends an image, and returns nil if the device runs it in the end.
	Flash(ctx context.Context, image []byte) error
	// When does something when a moment of the conversation comes, once. forget ends
	// the wait; what was done then is over when it has returned.
	When(m Moment, do func()) (forget func())
	// Reset resets it with its power on, and Cut takes its power away and gives it
	// back. What the wire shows behind the instant that they return is of its new life.
	Reset(ctx context.Context) (life clock.Instant, err error)
	Cut(ctx context.Context) (life clock.Instant, err error)
	// Sleep sends it to sleep, for about d; it wakes by itself. It returns how long it
	// sleeps, in whole seconds.
	Sleep(ctx context.Context, d time.Duration) (planned time.Duration, err error)
	// Stall keeps it and its cloud apart for a while, if that can be done.
	Stall(d time.Duration) bool
}

// Scenes returns a scene of each device of a group that is a board or a program, and
// else one of each profile of the group. The error is about a capability that the
// target lacks, or about the harness.
func (e *Env) Scenes(g *Group, needs ...Capability) ([]Scene, error) {
	for _, c := range needs {
		if err := e.need(c); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), connectTime)
	defer cancel()
	go func() { // it ends with its check
		select {
		case <-e.use.done():
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := e.Reopen(ctx); err != nil {
		return nil, err
	}
	var list []Scene
	seen := make(map[string]bool)
	for _, d := range g.Devices {
		if e.options.Spec.boards() {
			list = append(list, &boardScene{env: e, Device: d})
			continue
		}
		if seen[d.Profile.String()] {
			continue
		}
		seen[d.Profile.String()] = true
		v, err := e.Virtual(d.Profile, e.Seed(), Puppet{})
		if err != nil {
			return nil, err
		}
		list = append(list, &virtualScene{v})
	}
	return list, nil
}

// offTime is how long a power cut of a scene lasts.
const offTime = 3 * time.Second
