package target

import (
	"context"
	"fmt"
	"time"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/sim/profile"
)

// A virtualScene is that of a simulated device.
type virtualScene struct{ *Virtual }

// The bounds of a virtual scene, in virtual time: it costs none.
const (
	virtualFlash = time.Hour
	virtualBack  = 15 * time.Minute
	virtualReset = time.Second
)

// Name implements Scene.
func (s *virtualScene) Name() string { return s.stage.Profile.String() }

// Profile implements Scene.
func (s *virtualScene) Profile() *profile.Profile { return s.stage.Profile }

// Keeps implements Scene. The simulator keeps the session of every board in a reset;
// what its platform would not keep is not judged.
func (s *virtualScene) Keeps() Knowledge {
	if s.Profile().Board.Virtual {
		return No
	}
	k, _ := keeps(s.Profile().Board.Platform)
	return k
}

// Connect implements Scene.
func (s *virtualScene) Connect(context.Context) error { return s.Virtual.Connect() }

// Await implements Scene.
func (s *virtualScene) Await(_ context.Context, since clock.Instant) error {
	back := func() bool {
		for i := range s.log {
			if l := &s.log[i]; l.at > since && l.event.Kind == Online {
				return true
			}
		}
		return false
	}
	if !s.Net.RunUntil(back, s.Net.Now().Add(virtualBack)) {
		return fmt.Errorf("target: it is not connected again within %v of virtual time", virtualBack)
	}
	s.Run(time.Second)
	return nil
}

// Settle implements Scene.
func (s *virtualScene) Settle(_ context.Context, done func() bool) {
	s.Net.RunUntil(done, s.Net.Now().Add(time.Minute))
}

// Modules implements Scene.
func (s *virtualScene) Modules() []pdc.ModuleInfo {
	return modulesOf(s.node.Status(store.DeviceID(s.id)))
}

// Image implements Scene.
func (s *virtualScene) Image(size int) ([]byte, error) {
	return Image(&Device{ID: s.id, Profile: s.Profile()}, size), nil
}

// Flash implements Scene.
func (s *virtualScene) Flash(_ context.Context, image []byte) error {
	parsed, err := app.ParseImage(image)
	if err != nil {
		return fmt.Errorf("target: our own image: %w", err)
	}
	return s.flash(parsed, virtualFlash)
}

// When implements Scene.
func (s *virtualScene) When(m Moment, do func()) (forget func()) {
	w := s.moments.when(trace.DeviceID(s.id), m, do)
	return func() { s.moments.forget(w) }
}

// Reset implements Scene.
func (s *virtualScene) Reset(context.Context) (clock.Instant, error) {
	s.fleet.Suspend(0)
	return s.onAgain(virtualReset), nil
}

// Cut implements Scene.
func (s *virtualScene) Cut(context.Context) (clock.Instant, error) {
	s.fleet.PowerOff(0)
	return s.onAgain(offTime), nil
}

func (s *virtualScene) onAgain(d time.Duration) clock.Instant {
	now := s.Net.Now()
	s.Net.At(now.Add(d), func() { s.fleet.PowerOn(0) })
	return now
}

// Sleep implements Scene.
func (s *virtualScene) Sleep(_ context.Context, d time.Duration) (time.Duration, error) {
	s.fleet.Sleep(0, d)
	return d, nil
}

// Stall implements Scene.
func (s *virtualScene) Stall(d time.Duration) bool {
	s.cloud.SetOnline(false)
	s.Net.At(s.Net.Now().Add(d), func() { s.cloud.SetOnline(true) })
	return true
}
