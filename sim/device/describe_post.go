package device

import (
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/profile"
)

// A post is a describe on its way to the cloud, in blocks when it is large, and
// the ones that wait behind it (PDC-3.3).
type post struct {
	upload   coap.Upload
	flags    pdc.DescribeFlags
	protobuf bool
	waiting  []pdc.DescribeFlags
}

// postDescribe posts a describe. While an earlier one is still on its way in
// blocks it waits; a duplicate is merged.
func (d *Device) postDescribe(now clock.Instant, flags pdc.DescribeFlags, out *Out) {
	if d.work != nil && d.work.post != nil {
		p := d.work.post
		for _, w := range p.waiting {
			if w == flags {
				return
			}
		}
		p.waiting = append(p.waiting, flags)
		return
	}
	body, protobuf := d.describe(now, flags)
	if szx, ok := coap.DescribeSZX(d.Dialect().Limits().Message); ok && d.has(profile.BlockwiseDescribes) {
		p := &post{upload: coap.Upload{Body: body, SZX: szx, AnyAck: true}, flags: flags, protobuf: protobuf}
		if _, _, cut := p.upload.Block(); cut {
			d.busy().post = p
			d.postBlock(now, out)
			return
		}
	}
	d.sendPost(now, pdc.DescribePost{Flags: flags, Protobuf: protobuf, Payload: body}, out)
}

// postBlock sends the current block.
func (d *Device) postBlock(now clock.Instant, out *Out) {
	p := d.work.post
	payload, block, _ := p.upload.Block()
	d.sendPost(now, pdc.DescribePost{Flags: p.flags, Protobuf: p.protobuf, Block: &block, Payload: payload}, out)
}

func (d *Device) sendPost(now clock.Instant, m pdc.DescribePost, out *Out) {
	if d.has(profile.BlockwiseDescribes) {
		m.Token = d.nextToken()
	}
	d.send(now, m.Message(d.Dialect()), tagDescribe|uint32(m.Flags)<<8, out)
}

// describeAcknowledged takes the ACK of a posted describe, of one block of it,
// or of the response to a request.
//
// Device OS: the code of the ACK is not looked at.
func (d *Device) describeAcknowledged(now clock.Instant, tag uint32, flags pdc.DescribeFlags, code coap.Code, out *Out) {
	if tag == tagDescribeReply || d.work == nil || d.work.post == nil || d.work.post.flags != flags {
		d.describeKnown(flags)
		return
	}
	p := d.work.post
	if p.upload.Acknowledged(code) == coap.UploadNext {
		d.postBlock(now, out)
		return
	}
	d.work.post = nil
	d.describeKnown(flags)
	for i, next := range p.waiting {
		d.postDescribe(now, next, out)
		if d.work != nil && d.work.post != nil {
			d.work.post.waiting = append(d.work.post.waiting, p.waiting[i+1:]...)
			break
		}
	}
	d.idle()
}

// PublishVitals posts the metrics describe (PDC-3.7). Releases before 1.2 have
// no such message.
func (d *Device) PublishVitals(now clock.Instant, out *Out) {
	if d.state == Connected && d.upd == nil && d.atLeast(pdc.OS1_2) {
		d.postDescribe(now, pdc.DescribeMetrics, out)
	}
}
