package device

import (
	"slices"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/profile"
)

// PowerOn boots the device, which then connects unless Config.ManualConnect. It
// does nothing when the device is on.
func (d *Device) PowerOn(now clock.Instant, out *Out) {
	if d.state != Off {
		return
	}
	if d.nv.Reset == 0 {
		d.nv.Reset = pdc.ResetPowerDown
	}
	lost := d.nv.Reset == pdc.ResetPowerDown && d.nv.Boots > 0
	d.boot(now, out)
	if lost && d.faults().Power.StaysOff {
		d.wanted, d.state, d.timer = false, Idle, clock.Never
	}
}

// boot starts the device over with nothing but its NVRAM.
func (d *Device) boot(now clock.Instant, out *Out) {
	rtc := d.rtc
	if rtc.unix == 0 {
		rtc.unix, rtc.at = d.nv.Unix, now
	}
	d.ram = ram{
		rtc: rtc, booted: now, timer: clock.Never, pingDue: clock.Never,
		keepAlive: d.cfg.KeepAlive,
		bits: bits{
			wanted: !d.cfg.ManualConnect, updatesOff: d.cfg.UpdatesDisabled,
			safeMode: d.nv.SafeMode || !d.dependenciesMet(),
		},
	}
	d.nv.Boots++
	d.prof = d.cfg.Profile
	if p := profile.OfModule(d.prof, d.systemVersion()); p != nil {
		d.prof = p
	}
	if d.keepAlive == 0 {
		d.keepAlive = d.prof.PingInterval()
	}
	if d.has(profile.RandomTokens) {
		d.token = uint8(d.rng.Uint32())
	}
	d.nv.SafeMode = false
	out.event(Event{Kind: Booted, Reset: d.nv.Reset})
	if d.safeMode {
		out.event(Event{Kind: SafeMode})
	}
	d.state = Idle
	if d.wanted {
		d.wait(now, profile.BootTime)
	}
}

// PowerOff takes the power away. Nothing is sent, and what was not flushed is
// lost.
func (d *Device) PowerOff(now clock.Instant, out *Out) {
	if d.state == Off {
		d.off() // out of sleep
		return
	}
	if p := d.nv.Partial; p != nil {
		p.Data = p.Data[:p.Flushed]
	}
	d.cutOff()
	d.drop(now, PowerLost, false, out)
	d.rtc, d.nv.Unix = rtc{}, 0
	d.nv.Reset = pdc.ResetPowerDown
	d.off()
}

// Suspend puts the live session into the NVRAM without a word to the cloud and
// leaves the device off, as if the process had been killed and its retained
// memory kept. PowerOn continues with a resume.
func (d *Device) Suspend(now clock.Instant, out *Out) {
	if d.state == Off {
		return
	}
	d.flushUpdate()
	d.cutOff()
	d.drop(now, DisconnectWanted, d.faults().Power.ForgetsSession, out)
	d.nv.Reset, d.nv.Unix = pdc.ResetPin, d.Unix(now)
	d.off()
}

// cutOff is the end of an update that nobody finished.
func (d *Device) cutOff() {
	if d.upd != nil && d.faults().Power.BootsHalf {
		modules := slices.Clone(d.modules())
		last := &modules[len(modules)-1]
		last.Version++
		d.nv.Modules, d.nv.Applied = modules, true
	}
	d.upd = nil
}

func (d *Device) off() { d.state, d.timer, d.pingDue = Off, clock.Never, clock.Never }

// Reset restarts the device in an orderly way, saying goodbye if it does.
func (d *Device) Reset(now clock.Instant, why pdc.ResetReason, out *Out) {
	if d.state == Off {
		return
	}
	d.flushUpdate()
	d.resetWhy = why
	d.leave(now, thenBoot, pdc.Goodbye{
		Fields:      pdc.GoodbyeCloudReason | pdc.GoodbyeResetReason,
		CloudReason: pdc.CloudSystemReset, ResetReason: why,
	}, out)
}

// Sleep says goodbye for the duration and sleeps; the device wakes by itself
// and connects again.
func (d *Device) Sleep(now clock.Instant, duration time.Duration, out *Out) {
	if d.state == Off {
		return
	}
	d.flushUpdate()
	d.sleepFor = duration
	seconds := uint32(duration / time.Second)
	if d.faults().Power.WrongSleep {
		seconds += seconds / 2
	}
	d.leave(now, thenSleep, pdc.Goodbye{
		Fields:      pdc.GoodbyeCloudReason | pdc.GoodbyeSleep,
		CloudReason: pdc.CloudSleep, SleepSeconds: seconds,
	}, out)
}

// restart resets the device at once.
func (d *Device) restart(now clock.Instant, why pdc.ResetReason, out *Out) {
	d.flushUpdate()
	d.upd = nil
	d.drop(now, DisconnectWanted, false, out)
	if d.prof.Board.Virtual {
		d.nv.Session = nil // kept by its process only (TRN-3.2)
	}
	d.nv.Reset = why
	out.event(Event{Kind: Restarting, Reset: why})
	if why == pdc.ResetDFU {
		d.off() // until somebody takes it out of DFU mode
		return
	}
	d.boot(now, out)
}
