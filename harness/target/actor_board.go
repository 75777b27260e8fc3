package target

import (
	"context"
	"fmt"
	"time"

	"github.com/muster/muster/protocol/clock"
)

// A boardActor is a board or a program before a puppet cloud, which stands where the
// reference cloud stood.
type boardActor struct {
	env *Env
	d   *Device
	// begun hears that it was restarted: before, what it says is of its life before.
	begun func()
}

// powerOn implements actor. A board that nothing can switch off is reset.
func (a *boardActor) powerOn() {
	if a.env.Lacks(Power) == "" {
		a.d.PowerOn()
	} else {
		a.reset()
	}
	a.begun()
}

func (a *boardActor) reset() {
	ctx, cancel := context.WithTimeout(context.Background(), resetTime)
	defer cancel()
	if _, err := a.d.Reset(ctx); err != nil {
		a.env.options.Log(HarnessSource, fmt.Sprintf("%s: %v", a.d, err))
	}
}

// powerOff implements actor.
func (a *boardActor) powerOff() { a.d.retire() }

// suspend implements actor: nothing but its power stops a board.
func (a *boardActor) suspend() { a.d.retire() }

// reboot implements actor.
func (a *boardActor) reboot(edit func(*DeviceConfig), remember func(*DeviceMemory)) error {
	needs := []Capability{KeepsState, Resets}
	if edit != nil || remember != nil {
		needs = []Capability{Tailoring}
	}
	for _, c := range needs {
		if err := a.env.need(c); err != nil {
			return err
		}
	}
	a.reset()
	return nil
}

// loseNetwork implements actor.
func (a *boardActor) loseNetwork() { _ = a.env.need(Roaming) }

// publish implements actor: its application takes a private event with data, and does
// not say what became of it.
func (a *boardActor) publish(p Publication) error {
	if !plain(p) {
		return a.env.need(Tailoring)
	}
	return a.d.boardCommand("publish " + p.Name + " " + string(p.Data))
}

// plain reports whether a line of a console says all of a publication.
func plain(p Publication) bool {
	return len(p.Data) > 0 && !p.Public && p.TTL == 0 && !p.WithAck && p.Format == 0
}

// application implements actor.
func (a *boardActor) application(func(clock.Instant, *SimulatedDevice, *SimulatedOut)) error {
	return a.env.need(Telling)
}

// events implements actor.
func (a *boardActor) events(clock.Instant) []Event {
	_ = a.env.need(Telling)
	return nil
}

// retire takes the power of a board away, so that another cloud may stand where it looks
// for its own. It does nothing where that cannot be done.
func (d *Device) retire() {
	if d.env.Lacks(Power) == "" {
		d.boardDo(Power, Board.PowerOff)
	}
	d.mu.Lock()
	d.powered, d.online, d.replaced = false, false, true
	d.mu.Unlock()
}

// came notes whether a board came when a puppet waited for it.
func (d *Device) came(yes bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stoodUp++; yes {
		d.stoodUp = 0
	}
}

// forget has a program begin as if it had never run, where its driver can do that.
func (d *Device) forget() error {
	if b, ok := d.board.(interface{ Forget() error }); ok {
		d.boarding.Lock()
		defer d.boarding.Unlock()
		return b.Forget()
	}
	return nil
}

// connectTime is how long a board may take to connect to a puppet, returnTime how long to
// connect again.
const (
	connectTime = 2 * time.Minute
	returnTime  = time.Minute
)
