package target

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/sim/profile"
)

// A boardScene is that of a board or a program.
type boardScene struct {
	env *Env
	*Device
}

// FunctionSleep is a function of an application that can sleep: it takes the seconds
// as its argument, returns them, or those that it can sleep instead, and sleeps.
const FunctionSleep = "sleep"

// The seconds that an application may sleep instead: enough for its silence to be
// seen, and few enough for a check.
const (
	sleepLeast = 4
	sleepMost  = 180
)

// Name implements Scene.
func (s *boardScene) Name() string { return s.Hex() }

// Profile implements Scene.
func (s *boardScene) Profile() *profile.Profile { return s.Device.Profile }

// Keeps implements Scene.
func (s *boardScene) Keeps() Knowledge {
	if s.env.Lacks(KeepsState) != "" {
		return No
	}
	return Yes
}

// Now implements Scene.
func (s *boardScene) Now() clock.Instant { return s.env.Now() }

// Packets implements Scene.
func (s *boardScene) Packets(since clock.Instant) []*trace.Packet {
	return s.Device.Packets(Mark{At: since})
}

// Connect implements Scene.
func (s *boardScene) Connect(ctx context.Context) error {
	if !s.Connected() {
		mark := s.Mark()
		s.Bring(ctx)
		if why := s.Absent(); why != "" {
			return errors.New(why)
		}
		if !s.Connected() {
			there, cancel := s.whileThere(ctx)
			defer cancel()
			if _, err := s.AwaitOnline(there, mark); err != nil {
				return because(there, err)
			}
		}
	}
	s.awaitQuiet(ctx)
	return ctx.Err()
}

// Await implements Scene. That it is seen on the wire is enough: a cloud cannot tell
// every resume from a session that goes on.
func (s *boardScene) Await(ctx context.Context, since clock.Instant) error {
	there, cancel := s.whileThere(ctx)
	defer cancel()
	return because(there, s.awaitTalk(there, since))
}

// Settle implements Scene.
func (s *boardScene) Settle(ctx context.Context, done func() bool) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	_ = s.env.Until(ctx, done) // if it never comes true, the check tells
}

// Modules implements Scene.
func (s *boardScene) Modules() []pdc.ModuleInfo {
	return modulesOf(s.env.cloud.Node().Status(store.DeviceID(s.ID)))
}

func modulesOf(st endpoint.Status, known bool) []pdc.ModuleInfo {
	if !known || st.Describe == nil {
		return nil
	}
	return st.Describe.System.Modules
}

// Image implements Scene.
func (s *boardScene) Image(size int) ([]byte, error) { return s.env.Image(s.Device, size) }

// Flash implements Scene.
func (s *boardScene) Flash(ctx context.Context, image []byte) error {
	return s.env.Flash(ctx, s.Device, image, nil)
}

// When implements Scene.
func (s *boardScene) When(m Moment, do func()) (forget func()) {
	w := s.env.moments.when(trace.DeviceID(s.ID), m, do)
	return func() { s.env.moments.end(w) }
}

// Reset implements Scene.
func (s *boardScene) Reset(ctx context.Context) (clock.Instant, error) {
	mark, err := s.Device.Reset(ctx)
	return mark.At, err
}

// Cut implements Scene. Whatever happens, the board gets its power back. A cloud that is
// held up stays so until the board's capacitors are empty, too: on a quick network the
// rest of an image takes less.
func (s *boardScene) Cut(ctx context.Context) (clock.Instant, error) {
	if err := s.need(PowerCut); err != nil {
		return 0, err
	}
	s.boarding.Lock()
	defer s.boarding.Unlock()
	back, cancel := context.WithTimeout(context.WithoutCancel(ctx), resetTime)
	defer cancel()
	err := s.board.CutPower(ctx)
	if err == nil {
		select {
		case <-time.After(s.offTime()):
		case <-ctx.Done():
		}
	}
	s.Release()
	on := s.env.Now()
	// It looks whether the board was off, too.
	return on, errors.Join(err, s.board.PowerOn(back))
}

// offTime is how long the power stays away: capacitors hold a board for a while, a
// program is gone at once.
func (s *boardScene) offTime() time.Duration {
	if o, ok := s.board.(interface{ OffTime() time.Duration }); ok {
		return o.OffTime()
	}
	return 0
}

// Sleep implements Scene.
func (s *boardScene) Sleep(ctx context.Context, d time.Duration) (time.Duration, error) {
	if err := s.need(Sleeps); err != nil {
		return 0, err
	}
	seconds := int(d / time.Second)
	v, err := s.env.service.call(ctx, s.Device, FunctionSleep, strconv.Itoa(seconds))
	var failure *app.Failure
	switch {
	case errors.As(err, &failure) && failure.Reason == app.NoSuchName:
		why := fmt.Sprintf("the application of the device registers no function %q", FunctionSleep)
		return 0, s.env.use.note(&Missing{Capability: Sleeps, Why: why})
	case err != nil:
		return 0, err
	case int(v) != seconds && (v < sleepLeast || v > sleepMost):
		return 0, s.env.use.note(&Missing{Capability: Sleeps, Why: fmt.Sprintf("the function %q returned %d, which is neither the %d seconds of its argument nor %d to %d that the device sleeps instead", FunctionSleep, v, seconds, sleepLeast, sleepMost)})
	}
	return time.Duration(v) * time.Second, nil
}

// Stall implements Scene.
func (*boardScene) Stall(time.Duration) bool { return false }
