package device

import (
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// productVersionUnset is the product version of an application that sets none.
const productVersionUnset = 0xffff

// hello returns what the device says of itself first (PDC-2.1).
func (d *Device) hello() pdc.Hello {
	t := d.Dialect()
	h := pdc.Hello{
		ProductID: d.cfg.Product, ProductVersion: d.cfg.ProductVersion,
		Flags: t.HelloFlags(), Platform: d.prof.Board.Platform,
		System: d.systemVersion(), MaxMessage: uint16(t.Limits().Message),
		MaxBinary: d.prof.MaxBinary(), ChunkSize: pdc.DefaultChunkSize,
	}
	if h.ProductID == 0 {
		h.ProductID = uint16(h.Platform)
	}
	if h.ProductVersion == 0 {
		h.ProductVersion = productVersionUnset
	}
	if d.nv.Applied {
		h.Flags |= pdc.HelloUpdated
	}
	if t.UDP {
		h.DeviceID = d.id[:]
		if id := d.faults().HelloID; id != nil {
			h.DeviceID = id[:]
		}
	}
	return h
}

// sayHello sends Hello. Over UDP the device is deaf to everything else until it
// is acknowledged; over TCP it waits for the Hello of the cloud.
func (d *Device) sayHello(now clock.Instant, out *Out) {
	id := d.send(now, d.hello().Message(d.Dialect()), tagHello, out)
	if d.prof.Board.UDP {
		d.await(id)
		return
	}
	if !d.faults().Connects.WaitsForever {
		d.timer = now.Add(d.prof.HelloTimeout())
	}
}

// helloAnswered is the end of greeting: from now on the session may be stored.
func (d *Device) helloAnswered(now clock.Instant, out *Out) {
	d.timer = clock.Never
	d.helloSent, d.persistent = true, true
	c := d.current()
	d.known.remember(c, knownFlags|knownVersion|knownMessage|knownBinary|knownChunk)
	d.state = Settling
	d.greet(now, out)
	d.settle(now, out)
}

// serverHello takes POST h, which a cloud may send at any time (PDC-2.2).
func (d *Device) serverHello(now clock.Instant, e coap.Event, out *Out) {
	d.ack(now, e, out)
	d.nv.Applied = false
	if d.state == Greeting {
		d.helloAnswered(now, out)
	}
}
