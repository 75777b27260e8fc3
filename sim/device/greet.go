package device

import (
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/profile"
)

// greet sends what follows Hello, all at once and in the order of PDC-1.1.
func (d *Device) greet(now clock.Instant, out *Out) {
	if d.faults().Connects.EventsFirst {
		d.updateEvents(now, out)
	}
	if d.has(profile.DescribesItself) {
		d.postDescribe(now, pdc.DescribeSystem, out)
	}
	d.claimEvent(now, out)
	if d.has(profile.TimeFirst) {
		d.SyncTime(now, out)
	}
	d.hardwareEvents(now, out)
	d.safeModeEvent(now, out)
	d.subsystemEvent(now, out)
	d.lastResetEvent(now, out)
	d.updateEvents(now, out)
	if d.has(profile.DescribesItself) {
		if !d.has(profile.TimeFirst) {
			d.SyncTime(now, out)
		}
		d.describeApplication(now, out)
		d.keyErrorEvent(now, out)
		return
	}
	d.subscribeAll(now, out)
	d.SyncTime(now, out)
	d.keyErrorEvent(now, out)
}

// greetResumed is what a device sends instead of Hello when the cloud knows it
// already (TRN-3.6).
//
// What 1.2 to 1.5 send besides the ping no source tells: the same events are
// assumed.
func (d *Device) greetResumed(now clock.Instant, out *Out) {
	d.state = Settling
	d.sendPing(now, out)
	d.safeModeEvent(now, out)
	if d.has(profile.TimeFirst) {
		d.lastResetEvent(now, out)
	}
	d.updateEvents(now, out)
	if d.has(profile.DescribesItself) {
		if !d.clockSet() {
			d.SyncTime(now, out)
		}
		d.describeApplication(now, out)
	}
	d.settle(now, out)
}

// describeApplication sends application describe and subscriptions if the cloud
// does not know them, and if setup() ran: before, the application has neither.
func (d *Device) describeApplication(now clock.Instant, out *Out) {
	if !d.setupRan() {
		return
	}
	if d.known.Valid&knownApplication == 0 || d.known.Application != d.applicationSum() {
		d.postDescribe(now, pdc.DescribeApplication, out)
	}
	if d.known.Valid&knownSubscriptions == 0 || d.known.Subscriptions != d.subscriptionsSum() {
		d.subscribeAll(now, out)
	}
}

// setupRan reports whether the application's setup() has run.
func (d *Device) setupRan() bool {
	return d.setupDone || d.cfg.App == nil || !d.cfg.App.SetupOnConnect || d.safeMode
}

// runSetup runs setup() when the device is connected for the first time.
func (d *Device) runSetup(now clock.Instant, out *Out) {
	if d.setupRan() {
		return
	}
	d.setupDone = true
	if d.has(profile.DescribesItself) {
		d.describeApplication(now, out)
		return
	}
	for _, s := range d.cfg.App.Subscriptions {
		d.subscribe(now, s, out)
	}
}
