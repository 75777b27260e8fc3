package app

import (
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
)

// CallUnlisted calls a function whether or not the describe lists it, which no
// client of the cloud can do (C-22): so a harness finds out if a device says yes to
// whatever it is asked. Else it is [Device.Call].
func (d *Device) CallUnlisted(now clock.Instant, ref uint64, name, argument string, out *Out) {
	r := request{ref: ref, kind: pdc.KindFunctionCall}
	if !d.Ready() {
		d.finish(&r, d.fail(NotOnline, ""), out)
		return
	}
	r.message = pdc.FunctionCall{Token: d.nextToken(), Name: name, Argument: argument}.Message(d.profile.dialect)
	d.enqueue(now, r, out)
}
