package device

import (
	"strconv"
	"strings"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/profile"
)

// eventDelivery acknowledges an event and runs all handlers whose filter is a
// prefix of its name, the system's first (PDC-4.3).
func (d *Device) eventDelivery(now clock.Instant, e coap.Event, out *Out) error {
	event, err := pdc.OnDeviceEvent(e.Wire, d.Dialect())
	if err != nil && d.atLeast(pdc.OS6_2) && e.Err == nil {
		d.ackEvent(now, e, out) // N-12: acknowledged and ignored
	}
	if err != nil {
		return err
	}
	d.ackEvent(now, e, out)
	system := pdc.IsSystemEvent(event.Name, d.Dialect()) && !d.faults().Answers.IgnoresCommands
	if system && !d.systemDelivery(now, event, out) {
		return nil // the device is leaving
	}
	app := d.app()
	if app == nil {
		return nil
	}
	if d.setupRan() {
		for _, s := range app.Subscriptions {
			d.deliver(s, event, out)
		}
	}
	for _, s := range d.extra {
		d.deliver(s, event, out)
	}
	return nil
}

// ackEvent acknowledges an event.
//
// Device OS: not over TCP, though it be Confirmable.
func (d *Device) ackEvent(now clock.Instant, e coap.Event, out *Out) {
	if d.prof.Board.UDP {
		d.ack(now, e, out)
	}
}

// deliver hands an event to one handler of the application.
func (d *Device) deliver(s pdc.Subscribe, event pdc.EventDelivery, out *Out) {
	if !s.Matches(event.Name) || d.atLeast(pdc.OS6_2) && !s.Type.Takes(event.Format) {
		return
	}
	out.event(Event{Kind: EventReceived, Name: event.Name, Data: event.Data, Format: event.Format})
}

// systemDelivery does what the system's own handlers do (PDC-4.4). It reports
// false when the device goes down.
func (d *Device) systemDelivery(now clock.Instant, event pdc.EventDelivery, out *Out) bool {
	switch name := event.Name; {
	case strings.HasPrefix(name, pdc.EventClaimed):
		if d.nv.ClaimCode != "" {
			d.nv.ClaimCode = ""
			out.event(Event{Kind: Claimed})
		}
	case name == pdc.EventReset:
		return d.resetCommand(now, pdc.Command(event.Data), out)
	case strings.HasPrefix(name, pdc.EventKeyRestore) && d.has(profile.KeyRestore):
		out.event(Event{Kind: KeyRestored})
		if d.has(profile.KeyRestoreResets) {
			d.Reset(now, pdc.ResetConfigUpdate, out)
			return false
		}
	case pdc.NeedsData(name) && d.has(profile.UpdateEvents):
		return d.updatesCommand(now, event, out)
	}
	return true
}

// resetCommand takes the data of spark/device/reset: an exact match or nothing.
func (d *Device) resetCommand(now clock.Instant, c pdc.Command, out *Out) bool {
	switch c {
	case pdc.CommandSafeMode:
		d.nv.SafeMode = true
		d.Reset(now, pdc.ResetSafeMode, out)
		return false
	case pdc.CommandDFU:
		d.Reset(now, pdc.ResetDFU, out)
		return false
	case pdc.CommandReboot:
		d.Reset(now, pdc.ResetUser, out)
		return false
	case pdc.CommandNetwork:
		if d.has(profile.NetworkReset) {
			out.event(Event{Kind: NetworkReset})
			d.fail(now, NetworkGone, false, out)
			return false
		}
	}
	return true
}

// updatesCommand takes particle/device/updates/forced and .../pending.
func (d *Device) updatesCommand(now clock.Instant, event pdc.EventDelivery, out *Out) bool {
	if event.Data == nil {
		// Device OS: a null pointer into a string function.
		d.crash(now, out)
		return false
	}
	on := pdc.Truth(event.Data)
	value := int64(0)
	if on {
		value = 1
	}
	switch event.Name {
	case pdc.EventUpdatesForced:
		if d.updatesForced != on {
			d.updatesForced = on
			out.event(Event{Kind: UpdatesChanged, Name: "forced", Value: value})
			d.systemEvent(now, pdc.EventUpdatesForced, strconv.FormatBool(on), out)
		}
	case pdc.EventUpdatesPending:
		if d.updatesPending != on {
			d.updatesPending = on
			out.event(Event{Kind: UpdatesChanged, Name: "pending", Value: value})
		}
	}
	return true
}
