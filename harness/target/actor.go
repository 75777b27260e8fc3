package target

import (
	"fmt"
	"slices"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/fleet"
)

// An actor is the device that plays before a puppet cloud: a simulated one in virtual
// time, or a board or program in its own.
type actor interface {
	// powerOn boots it; it then connects.
	powerOn()
	// powerOff takes its power away, suspend stops it as if its process had been killed.
	powerOff()
	suspend()
	// reboot stops it as if its process had been killed, and starts it again with what it
	// remembers. edit and remember, if not nil, change its configuration and its memory.
	reboot(edit func(*DeviceConfig), remember func(*DeviceMemory)) error
	// loseNetwork makes its socket fail.
	loseNetwork()
	// publish has its application publish, and returns why the device refuses if it says.
	publish(p Publication) error
	// application lets f act for its application.
	application(f func(now clock.Instant, d *SimulatedDevice, out *SimulatedOut)) error
	// events returns what it says happened from an instant on.
	events(since clock.Instant) []Event
}

// A simulation is a simulated device on a virtual stage.
type simulation struct {
	stage  *stage
	fleet  *fleet.Virtual
	config *DeviceConfig
	log    []logged
}

// newSimulation puts a simulated device on a virtual stage, switched off.
func newSimulation(s *stage, config *DeviceConfig, memory *DeviceMemory) *simulation {
	a := &simulation{stage: s, config: config}
	a.fleet = s.simulated(a.happened, fleet.Spec{Config: config, ID: s.id, NVRAM: memory})
	return a
}

func (a *simulation) happened(_ int, at clock.Instant, e device.Event) {
	e.Data = slices.Clone(e.Data)
	a.log = append(a.log, logged{at, e})
}

func (a *simulation) powerOn() { a.fleet.PowerOn(0) }

func (a *simulation) powerOff() {
	a.fleet.PowerOff(0)
	a.stage.Run(0)
}

func (a *simulation) suspend() {
	a.fleet.Suspend(0)
	a.stage.Run(0)
}

func (a *simulation) application(f func(now clock.Instant, d *SimulatedDevice, out *SimulatedOut)) error {
	a.fleet.Do(0, f)
	a.stage.Run(0)
	return nil
}

func (a *simulation) publish(p Publication) (refused error) {
	_ = a.application(func(now clock.Instant, d *SimulatedDevice, out *SimulatedOut) { refused = d.Publish(now, p, out) }) // it can
	return refused
}

func (a *simulation) loseNetwork() {
	_ = a.application(func(now clock.Instant, d *SimulatedDevice, out *SimulatedOut) { // it can
		if a.stage.Profile.Board.UDP {
			d.SocketFailed(now, out)
		} else {
			d.StreamClosed(now, out)
		}
	})
}

func (a *simulation) reboot(edit func(*DeviceConfig), remember func(*DeviceMemory)) error {
	a.suspend()
	var stored []byte
	_ = a.application(func(_ clock.Instant, d *SimulatedDevice, _ *SimulatedOut) { stored = d.NVRAM().Append(nil) }) // it can
	memory, err := device.ParseNVRAM(stored)
	if err != nil {
		return err
	}
	config := *a.config
	if edit != nil {
		edit(&config)
	}
	if remember != nil {
		remember(memory)
	}
	a.fleet.Replace(0, &config, memory)
	a.stage.Run(0)
	a.powerOn()
	return nil
}

func (a *simulation) events(since clock.Instant) []Event {
	var list []Event
	for _, l := range a.log {
		if l.at >= since {
			list = append(list, l.event)
		}
	}
	return list
}

// awaitOnline waits until it calls itself connected and has said what it has to say.
func (a *simulation) awaitOnline() error {
	const limit = 5 * time.Minute
	if !a.fleet.RunOnline(a.stage.Now().Add(limit)) {
		return fmt.Errorf("target: the device does not connect to the puppet within %v of virtual time", limit)
	}
	a.stage.Run(5 * time.Second)
	return nil
}
