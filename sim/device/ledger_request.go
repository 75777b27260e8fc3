package device

import (
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// ledgerSend sends a request, in blocks when it is long.
func (d *Device) ledgerSend(now clock.Instant, payload []byte, out *Out) {
	l := d.work.ledger
	l.upload = coap.Upload{Body: payload, SZX: coap.SZXMax}
	l.fetch = coap.Fetch{Strict: true}
	l.tag++
	d.ledgerBlock(now, out)
}

func (d *Device) ledgerBlock(now clock.Instant, out *Out) {
	l := d.work.ledger
	payload, block, cut := l.upload.Block()
	r := pdc.LedgerRequest{Payload: payload}
	if cut {
		r.Block1 = &block
		r.RequestTag = coap.AppendUintFixed(nil, l.tag, 4)
	}
	d.ledgerRequest(now, r, out)
}

func (d *Device) ledgerRequest(now clock.Instant, r pdc.LedgerRequest, out *Out) {
	l := d.work.ledger
	r.Token = d.nextToken()
	l.token, l.sent = r.Token[0], true
	l.id = d.send(now, r.Message(d.Dialect()), tagLedger, out)
}

// ledgerAnswer takes the ACK of a ledger request: a response, or the promise of
// one.
func (d *Device) ledgerAnswer(now clock.Instant, e coap.Event, out *Out) {
	if d.work == nil || d.work.ledger == nil || e.ID != d.work.ledger.id || e.Message.Code == coap.Empty {
		return
	}
	d.ledgerTake(now, e.Message, out)
}

// ledgerResponse takes a separate response, if it is one to a ledger request.
func (d *Device) ledgerResponse(now clock.Instant, e coap.Event, out *Out) bool {
	if d.work == nil || d.work.ledger == nil {
		return false
	}
	l := d.work.ledger
	if !l.sent || len(e.Message.Token) != 1 || e.Message.Token[0] != l.token {
		return false
	}
	d.ack(now, e, out)
	d.ledgerTake(now, e.Message, out)
	return true
}

// ledgerTake takes a response. Code 2.05 never comes here: it sets the clock,
// and the request hangs (N-10).
func (d *Device) ledgerTake(now clock.Instant, m coap.Message, out *Out) {
	l := d.work.ledger
	if m.Code == coap.Content {
		return
	}
	l.sent = false
	_, block, cut := l.upload.Block()
	switch {
	case cut && block.More:
		if l.upload.Acknowledged(m.Code) != coap.UploadNext {
			d.ledgerFailed(now)
			return
		}
		d.ledgerBlock(now, out)
		return
	case m.Code == coap.Continue:
		d.ledgerFailed(now)
		return
	}
	switch l.fetch.Add(now, m, ledgerLimits) {
	case coap.FetchNext:
		next := l.fetch.Next()
		d.ledgerRequest(now, pdc.LedgerRequest{Block2: &next, ETag: l.fetch.ETag()}, out)
	case coap.FetchDone:
		d.ledgerDone(now, m.Code, l.fetch.Body(), out)
	case coap.FetchFailed:
		d.ledgerFailed(now)
	case coap.FetchHangs:
		// Device OS: neither fails nor goes on.
	}
}
