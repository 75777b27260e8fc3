package device

import (
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// ledgerNotify takes a request of the cloud: something has changed, or nothing
// that is known holds any more.
func (d *Device) ledgerNotify(now clock.Instant, e coap.Event, out *Out) error {
	m := e.Message
	switch {
	case d.faults().Answers.TakesLedgers && len(m.Token) == 1:
		d.ack(now, e, out)
		d.send(now, pdc.LedgerNotifyResponse{Token: m.Token, OK: true}.Message(d.Dialect()), tagOther, out)
		return nil
	case e.Err != nil:
		return strictly(pdc.KindLedgerNotify, e)
	case m.Type != coap.Confirmable || len(m.Token) != 1:
		out.event(Event{Kind: Dropped, Name: "ledger notification without a token"})
		return nil
	case m.Has(coap.Block1):
		d.reply(now, e, coap.Message{Type: coap.Reset}, out)
		return nil
	case len(d.cfg.Ledgers) == 0:
		return d.unknown(now, e, out) // no handler
	}
	d.ack(now, e, out)
	c, err := pdc.ParseLedgerCall(m.Payload)
	ok := err == nil && (c.Method == pdc.LedgerNotifyUpdate || c.Method == pdc.LedgerResetInfo)
	d.send(now, pdc.LedgerNotifyResponse{Token: m.Token, OK: ok}.Message(d.Dialect()), tagOther, out)
	if ok && d.work != nil && d.work.ledger != nil {
		d.ledgerNotified(now, c, out)
	}
	return nil
}

func (d *Device) ledgerNotified(now clock.Instant, c pdc.LedgerCall, out *Out) {
	l := d.work.ledger
	if c.Method == pdc.LedgerResetInfo {
		for i := range l.state {
			l.state[i] = ledgerState{have: l.state[i].have}
		}
	}
	for _, ref := range c.Ledgers {
		if i := l.index(d, ref.Name); i >= 0 && ref.Updated.Known {
			l.state[i].server = ref.Updated.Milliseconds
		}
	}
	if l.step == ledgerSynced {
		l.step, l.at = ledgerInfo, 0
		if c.Method == pdc.LedgerNotifyUpdate {
			l.step = ledgerGet
		}
		d.ledgerNext(now, out)
	}
}
