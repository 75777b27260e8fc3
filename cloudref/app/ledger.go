package app

import (
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// ledgerLimits bound one request: the most data that a ledger has, and its
// frame.
var ledgerLimits = coap.Limits{BytesMax: pdc.LedgerDataMax + 1024, Lifetime: 60 * time.Second}

// receiveLedger answers for a cloud that has no ledgers: every request is
// understood, and every ledger unknown.
//
// Device OS: a ledger that a successful GetInfo leaves out does not exist and
// is not asked for again; an error would be tried again for ever (PDC-8.11).
func (d *Device) receiveLedger(now clock.Instant, m coap.Message, out *Out) {
	request, err := pdc.ParseLedgerRequest(m)
	if err != nil {
		d.refuse(m, err, out)
		return
	}
	if d.c.Faults.LedgerNotFound {
		out.answer(m, response(m, coap.NotFound))
		return
	}
	tag := request.RequestTag
	if d.c.Faults.Ledgers.MixesTags {
		tag = nil
	}
	body, progress := d.busy().ledger.Add(now, m, tag, ledgerLimits)
	switch progress {
	case coap.Complete:
		d.answerLedger(m, body, out)
	case coap.Partial, coap.Repeated:
		// C-52: any other code would abort the device's request.
		code := coap.Continue
		if d.c.Faults.Ledgers.NoContinue {
			code = coap.Changed
		}
		out.answer(m, response(m, code))
	case coap.TooLarge:
		out.answer(m, response(m, coap.EntityTooLarge))
	default:
		out.answer(m, response(m, coap.EntityIncomplete))
	}
}

func (d *Device) answerLedger(m coap.Message, body []byte, out *Out) {
	call, err := pdc.ParseLedgerCall(body)
	if err != nil {
		d.refuse(m, err, out)
		return
	}
	reply := pdc.LedgerReply{Method: call.Method}
	if call.Method != pdc.LedgerGetInfo {
		// It makes the device ask GetInfo again, which settles the matter.
		reply.Result = pdc.LedgerNotFound
	}
	if call.Method == pdc.LedgerSubscribe && len(call.Ledgers) == 0 {
		reply.Result = pdc.LedgerOK
	}
	payload := reply.Append(nil)
	if d.c.Faults.Ledgers.Unordered && reply.Result != 0 {
		payload = append(payload[2:], payload[:2]...) // the result, which is to come first
	}
	answer := pdc.LedgerResponse{Token: append([]byte(nil), m.Token...), Payload: payload}.Message(d.profile.dialect)
	if d.c.Faults.Ledgers.Content {
		answer.Code = coap.Content
	}
	out.answer(m, answer)
}
