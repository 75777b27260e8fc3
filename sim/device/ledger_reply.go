package device

import (
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// ledgerDone takes a whole response (PDC-8.9, outcome rules).
func (d *Device) ledgerDone(now clock.Instant, code coap.Code, body []byte, out *Out) {
	l := d.work.ledger
	reply, err := pdc.ParseLedgerReply(body)
	switch {
	case err != nil, code>>5 == 5, !coap.IsSuccess(code) && reply.Result == 0:
		d.ledgerFailed(now)
		return
	case reply.Result >= pdc.LedgerNotFound && reply.Result <= pdc.LedgerScopeChanged && l.step != ledgerInfo:
		for i := range l.state {
			if l.step == ledgerSubscribe || i == l.at {
				l.state[i] = ledgerState{have: l.state[i].have}
			}
		}
		l.step, l.at = ledgerInfo, 0
		if l.failures++; l.failures > ledgerRoundsMax {
			d.ledgerFailed(now)
			return
		}
		d.ledgerNext(now, out)
		return
	case reply.Result != 0:
		d.ledgerFailed(now)
		return
	}
	if !l.take(d, reply, out) {
		d.ledgerFailed(now)
		return
	}
	d.ledgerNext(now, out)
}

// ledgerRoundsMax is after how many rounds of get info the device gives up.
const ledgerRoundsMax = 10

// take notes the outcome of the step and moves on. It reports false when the
// reply contradicts itself or what is known.
func (l *ledgers) take(d *Device, reply pdc.LedgerReply, out *Out) bool {
	switch l.step {
	case ledgerInfo, ledgerSubscribe:
		if !l.infos(d, reply.Ledgers) {
			return false
		}
		l.step, l.at = l.step+1, 0
	case ledgerGet:
		s := &l.state[l.at]
		s.have = max(reply.Updated.Milliseconds, s.server)
		out.event(Event{Kind: LedgerSynced, Name: d.cfg.Ledgers[l.at].Name, Data: reply.Data})
		l.at++
	case ledgerSet:
		_, l.state[l.at].server = d.cfg.Ledgers[l.at].Data(d.id)
		out.event(Event{Kind: LedgerSynced, Name: d.cfg.Ledgers[l.at].Name})
		l.at++
	case ledgerSynced:
		// Nothing was asked.
	}
	return true
}

// infos takes what the cloud tells of ledgers. One that is left out of get info
// does not exist; one left out of subscribe is a contradiction.
func (l *ledgers) infos(d *Device, infos []pdc.LedgerInfo) bool {
	told := 0
	for _, info := range infos {
		i := l.index(d, info.Name)
		if i < 0 {
			return false
		}
		s := &l.state[i]
		if l.step == ledgerInfo {
			if info.Scope < pdc.LedgerScopeDevice || info.Scope > pdc.LedgerScopeOwner ||
				info.Direction != pdc.LedgerDeviceToCloud && info.Direction != pdc.LedgerCloudToDevice {
				return false
			}
			s.scope, s.direction = append([]byte(nil), info.ScopeID...), info.Direction
		} else if s.direction == pdc.LedgerCloudToDevice {
			told++
		}
		if info.Updated.Known {
			s.server = info.Updated.Milliseconds
		}
	}
	for i := range l.state {
		if l.step == ledgerInfo {
			l.state[i].known = true
		} else if l.state[i].direction == pdc.LedgerCloudToDevice {
			told--
		}
	}
	return told == 0 || l.step == ledgerInfo
}

func (l *ledgers) index(d *Device, name string) int {
	for i := range d.cfg.Ledgers {
		if d.cfg.Ledgers[i].Name == name {
			return i
		}
	}
	return -1
}

// ledgerFailed stops all ledger work for a while.
func (d *Device) ledgerFailed(now clock.Instant) {
	l := d.work.ledger
	wait := min(ledgerRetryMin<<min(l.failures, 8), ledgerRetryMax)
	if d.faults().Answers.NoLedgerRetry {
		wait = 1000 * time.Hour
	}
	*l = ledgers{state: make([]ledgerState, len(l.state)), failures: l.failures + 1, retry: now.Add(wait), tag: l.tag}
}
