package device

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/profile"
)

// describe returns the describe of the given flags and whether it is protobuf.
func (d *Device) describe(now clock.Instant, flags pdc.DescribeFlags) (body []byte, protobuf bool) {
	switch {
	case flags == pdc.DescribeMetrics && d.atLeast(pdc.OS0_8):
		return pdc.AppendMetrics(nil, d.vitals(now)), false
	case flags&pdc.DescribeDefault == pdc.DescribeDefault:
		return pdc.AppendCombined(nil, d.applicationDescribe(), d.systemDescribe()), false
	case flags&pdc.DescribeApplication != 0:
		return d.applicationDescribe().Append(nil), false
	case flags&pdc.DescribeSystem == 0:
		return []byte("{}"), false
	case d.atLeast(pdc.OS5_5):
		return d.systemDescribe().AppendProto(nil), true
	}
	return d.systemDescribe().AppendJSON(nil), false
}

func (d *Device) applicationDescribe() pdc.ApplicationDescribe {
	var a pdc.ApplicationDescribe
	app := d.app()
	if app == nil {
		return a
	}
	for i := range app.Functions {
		a.Functions = append(a.Functions, app.Functions[i].Name)
	}
	for i := range app.Variables {
		a.Variables = append(a.Variables, pdc.VariableInfo{Name: app.Variables[i].Name, Type: app.Variables[i].Type})
	}
	return a
}

func (d *Device) systemDescribe() pdc.SystemDescribe {
	s := pdc.SystemDescribe{
		Platform: d.prof.Board.Platform, HasPlatform: true,
		Modules: d.modules(), Assets: d.nv.Assets,
	}
	if d.prof.Board.Cellular() {
		// Numbers that look real and differ from device to device.
		n := binary.BigEndian.Uint64(d.id[4:]) % 1e12
		s.IMEI, s.ICCID = fmt.Sprintf("353%012d", n), fmt.Sprintf("89340765%012d", n)
		s.ModemFirmware = "L0.6.00.00.05.08_A.02.04"
	}
	return s
}

// vitals returns the metrics of the application, or the uptime.
func (d *Device) vitals(now clock.Instant) []pdc.Metric {
	if app := d.cfg.App; app != nil && app.Vitals != nil {
		return app.Vitals(d.id)
	}
	return []pdc.Metric{{ID: pdc.MetricUptime, Value: int32(now.Sub(d.booted) / time.Second)}}
}

// A fetch is a describe that the cloud reads block by block.
type fetch struct {
	flags    pdc.DescribeFlags
	protobuf bool
	serving  coap.Serving
}

// describeRequest answers GET d in the way of the release (PDC-3.1).
func (d *Device) describeRequest(now clock.Instant, e coap.Event, out *Out) error {
	t := d.Dialect()
	if e.Err != nil && d.has(profile.BlockwiseDescribes) {
		return &pdc.Error{Kind: pdc.KindDescribeRequest, Rule: "PDC-3.1", Reason: e.Err.Error(), Reaction: pdc.Disconnect}
	}
	r, err := pdc.OnDeviceDescribeRequest(e.Wire, e.Message, t)
	if reaction(err) == pdc.Disconnect {
		d.ack(now, e, out) // N-14: an empty ACK precedes the failure
	}
	if err != nil {
		return err
	}
	response := pdc.DescribeResponse{Token: r.Token}
	if !d.has(profile.BlockwiseDescribes) {
		response.Payload, response.Protobuf = d.describe(now, r.Flags)
	} else if !d.describeBlock(now, r, t, &response) {
		d.reply(now, e, pdc.DescribeError{Token: r.Token, Code: coap.NotFound}.Message(t), out)
		return nil
	}
	if t.System < pdc.OS2_0 {
		d.reply(now, e, response.Message(t), out)
		d.describeKnown(r.Flags)
		return nil
	}
	d.ack(now, e, out)
	tag := tagOther
	if response.Block == nil || !response.Block.More {
		tag = tagDescribeReply | uint32(r.Flags)<<8
	}
	d.send(now, response.Message(t), tag, out)
	return nil
}

// describeBlock fills in the payload of the response: all of it if it fits one
// block, else the block that r asks for. It reports false when there is no such
// block (4.04).
func (d *Device) describeBlock(now clock.Instant, r pdc.DescribeRequest, t pdc.Dialect, response *pdc.DescribeResponse) bool {
	d.expireFetches(now)
	num := uint32(0)
	if r.Block != nil {
		num = r.Block.Num
	}
	f := d.fetch(r.Flags)
	if f == nil {
		if num > 0 {
			return false
		}
		body, protobuf := d.describe(now, r.Flags)
		szx, _ := coap.DescribeSZX(t.Limits().Message)
		d.etag++
		serving := coap.NewServing(now, body, []byte{max(d.etag, 1)}, szx)
		if !serving.Cut() {
			d.etag--
			response.Payload, response.Protobuf = body, protobuf
			return true
		}
		w := d.busy()
		w.fetches = append(w.fetches, fetch{flags: r.Flags, protobuf: protobuf, serving: serving})
		f = &w.fetches[len(w.fetches)-1]
	}
	response.ETag, response.Protobuf = f.serving.ETag(), f.protobuf
	payload, block, ok := f.serving.Block(now, num)
	if !ok {
		return false
	}
	response.Payload, response.Block = payload, &block
	if d.faults().Answers.NewETags {
		response.ETag = []byte{byte(num + 1)}
	}
	d.expireFetches(now)
	return true
}

// fetch returns the describe that is being fetched with those flags, or nil.
func (d *Device) fetch(flags pdc.DescribeFlags) *fetch {
	if d.work != nil {
		for i := range d.work.fetches {
			if d.work.fetches[i].flags == flags {
				return &d.work.fetches[i]
			}
		}
	}
	return nil
}

// expireFetches drops the describes that are no longer served.
func (d *Device) expireFetches(now clock.Instant) {
	if d.work == nil {
		return
	}
	kept := d.work.fetches[:0]
	for _, f := range d.work.fetches {
		if f.serving.Advance(now); f.serving.Active() {
			kept = append(kept, f)
		}
	}
	d.work.fetches = kept
}

// describeKnown notes that the cloud has the describe of those flags.
func (d *Device) describeKnown(flags pdc.DescribeFlags) {
	var bits uint8
	if flags&pdc.DescribeSystem != 0 {
		bits |= knownSystem
	}
	if flags&pdc.DescribeApplication != 0 {
		bits |= knownApplication
	}
	d.known.remember(d.current(), bits)
}
