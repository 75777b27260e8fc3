package device

import (
	"strconv"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/profile"
)

// patchVersion is what the Core's Wi-Fi module reports.
const patchVersion = "1.29"

// systemEvent publishes an event of the system.
func (d *Device) systemEvent(now clock.Instant, name, data string, out *Out) {
	if d.upd != nil || !d.rate.system(now, d.booted) {
		return
	}
	p := pdc.Publish{Private: true, Name: name, Data: []byte(data)}
	d.send(now, p.Message(d.Dialect()), tagOther, out)
}

func (d *Device) claimEvent(now clock.Instant, out *Out) {
	if d.nv.ClaimCode != "" {
		d.systemEvent(now, pdc.EventClaimCode, d.nv.ClaimCode, out)
	}
}

// hardwareEvents tell what later Hellos and describes carry.
func (d *Device) hardwareEvents(now clock.Instant, out *Out) {
	if d.has(profile.IdentEvent) && d.cfg.Serial != "" {
		d.systemEvent(now, pdc.EventIdent, d.cfg.Serial, out)
	}
	// Device OS: not on the Electron, whose firmware is modular.
	if d.has(profile.MaxBinaryEvent) && d.prof.Board.Platform != pdc.Electron {
		d.systemEvent(now, pdc.EventMaxBinary, strconv.FormatUint(uint64(d.prof.MaxBinary()), 10), out)
	}
	if d.has(profile.ChunkSizeEvent) && !d.prof.Board.UDP {
		d.systemEvent(now, pdc.EventChunkSize, strconv.Itoa(pdc.DefaultChunkSize), out)
	}
}

func (d *Device) safeModeEvent(now clock.Instant, out *Out) {
	if d.safeMode {
		d.systemEvent(now, pdc.EventSafeMode, "", out)
	}
}

func (d *Device) subsystemEvent(now clock.Instant, out *Out) {
	if d.has(profile.SubsystemEvent) {
		d.systemEvent(now, pdc.EventCorePatch, patchVersion, out)
	}
}

// lastResetEvent is published once a boot.
func (d *Device) lastResetEvent(now clock.Instant, out *Out) {
	if d.has(profile.LastResetEvent) && !d.lastReset && d.nv.Reset != 0 {
		d.lastReset = true
		d.systemEvent(now, pdc.EventLastReset, d.nv.Reset.String(), out)
	}
}

func (d *Device) updateEvents(now clock.Instant, out *Out) {
	if d.has(profile.UpdateEvents) {
		d.systemEvent(now, pdc.EventUpdatesEnabled, strconv.FormatBool(!d.updatesOff), out)
		d.systemEvent(now, pdc.EventUpdatesForced, strconv.FormatBool(d.updatesForced), out)
	}
}

// keyErrorEvent reports trouble with the keys once.
func (d *Device) keyErrorEvent(now clock.Instant, out *Out) {
	if d.has(profile.KeyErrorEvent) && d.nv.KeyErrors != 0 {
		d.systemEvent(now, pdc.EventKeyError, strconv.FormatUint(uint64(d.nv.KeyErrors), 10), out)
		d.nv.KeyErrors = 0
	}
}

// SetUpdatesEnabled is System.enableUpdates() or disableUpdates().
func (d *Device) SetUpdatesEnabled(now clock.Instant, enabled bool, out *Out) {
	changed := d.updatesOff == enabled
	d.updatesOff = !enabled
	if changed && d.state == Connected && d.has(profile.UpdateEvents) {
		d.systemEvent(now, pdc.EventUpdatesEnabled, strconv.FormatBool(enabled), out)
	}
}

// updatesAllowed reports whether an update may begin (PDC-6.11).
func (d *Device) updatesAllowed() bool { return !d.updatesOff || d.updatesForced }
