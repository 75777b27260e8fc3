package device

import (
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
)

// An rtc is the real-time clock, which survives a reset but no loss of power.
type rtc struct {
	unix int64 // seconds since 1970 at the instant at; 0 for not set
	at   clock.Instant
}

// clockSet reports whether the clock is valid. The virtual device uses the
// clock of its computer.
func (d *Device) clockSet() bool { return d.prof.Board.Virtual || d.rtc.unix != 0 }

// Unix returns the device's idea of the time in seconds since 1970, 0 while its
// clock is not set.
func (d *Device) Unix(now clock.Instant) int64 {
	if d.rtc.unix == 0 {
		return 0
	}
	return d.rtc.unix + int64(now.Sub(d.rtc.at)/time.Second)
}

// SyncTime asks the cloud for the time. Nothing is sent while an earlier
// request is unanswered, nor during an update (PDC-8.1).
func (d *Device) SyncTime(now clock.Instant, out *Out) {
	if d.state < Settling || d.timePending && !d.faults().Connects.AsksAgain || d.upd != nil {
		return
	}
	d.timePending = true
	d.send(now, pdc.TimeRequest{Token: d.nextToken()}.Message(d.Dialect()), tagTime, out)
}

// setTime takes any 2.05 for the time.
func (d *Device) setTime(now clock.Instant, wire []byte, out *Out) {
	unix, ok := pdc.OnDeviceTime(wire)
	if !ok {
		return
	}
	d.timePending = false
	d.rtc = rtc{unix: int64(unix), at: now}
	out.event(Event{Kind: TimeSet, Value: int64(unix)})
}
