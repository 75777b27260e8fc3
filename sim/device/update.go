package device

import (
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
)

// An updater is a firmware update that runs: of the legacy protocol or of OTA
// protocol v3.
type updater interface {
	deadline() clock.Instant
	// advance does what is due.
	advance(d *Device, now clock.Instant, out *Out)
	// acknowledged takes the ACK of a message that was sent with the tag.
	acknowledged(d *Device, now clock.Instant, tag uint32, out *Out)
	// save keeps in the NVRAM what can be resumed later; flushed says that it
	// reaches the flash.
	save(d *Device, flushed bool)
}

// Updating reports whether a firmware update is running.
func (d *Device) Updating() bool { return d.upd != nil }

// cancelUpdate ends a running update; what was received of it may be resumed.
func (d *Device) cancelUpdate(why pdc.SystemError, out *Out) {
	if d.upd == nil || d.faults().Updates.KeepsLegacy && d.legacy() != nil {
		return
	}
	d.upd.save(d, false)
	d.upd = nil
	out.event(Event{Kind: UpdateFailed, System: why})
}

// flushUpdate writes what was received to the flash, as an orderly disconnect
// does (PDC-6.9).
func (d *Device) flushUpdate() {
	if d.upd != nil {
		d.upd.save(d, true)
	}
}

// applied ends an update whose module is installed: the device says goodbye and
// restarts with it.
func (d *Device) applied(now clock.Instant, out *Out) {
	d.upd = nil
	out.event(Event{Kind: UpdateApplied})
	d.Reset(now, pdc.ResetUpdate, out)
}

// A bitmap has a bit for each chunk.
type bitmap []uint64

func newBitmap(n uint32) bitmap { return make(bitmap, (uint64(n)+63)/64) }

func (b bitmap) has(i uint32) bool { return int(i/64) < len(b) && b[i/64]>>(i%64)&1 != 0 }

func (b bitmap) set(i uint32) { b[i/64] |= 1 << (i % 64) }
