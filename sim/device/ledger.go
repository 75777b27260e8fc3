package device

import (
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// ledgers is the ledger client of one connection (PDC-8.9):
//
//	get info --> subscribe (those from the cloud) --> get data --> set data --> synced
//
// One request is under way at a time. A failure stops everything, to start over
// after a while.
type ledgers struct {
	state []ledgerState
	step  ledgerStep
	at    int // the ledger that the step is about

	token byte
	id    uint16 // of the request that waits
	sent  bool

	upload coap.Upload
	fetch  coap.Fetch
	tag    uint32 // Request-Tag

	failures int
	retry    clock.Instant
}

// A ledgerState is what the device knows of one of its ledgers.
type ledgerState struct {
	known     bool
	scope     []byte
	direction pdc.LedgerDirection
	server    uint64 // ms since the epoch, of the cloud's data
	have      uint64 // ms since the epoch, of what the device has
}

type ledgerStep uint8

const (
	ledgerInfo ledgerStep = iota
	ledgerSubscribe
	ledgerGet
	ledgerSet
	ledgerSynced
)

// The waits after a failure (PDC-8.9).
const (
	ledgerRetryMin = 30 * time.Second
	ledgerRetryMax = 5 * time.Minute
)

var ledgerLimits = coap.Limits{BytesMax: pdc.LedgerDataMax + 256, Lifetime: time.Hour}

// startLedgers begins when the device is connected.
func (d *Device) startLedgers(now clock.Instant, out *Out) {
	if len(d.cfg.Ledgers) == 0 || !d.Dialect().Ledger() || d.safeMode {
		return
	}
	l := &ledgers{state: make([]ledgerState, len(d.cfg.Ledgers)), retry: clock.Never}
	d.busy().ledger = l
	d.ledgerNext(now, out)
}

func (l *ledgers) deadline() clock.Instant { return l.retry }

func (d *Device) advanceLedgers(now clock.Instant, out *Out) {
	l := d.work.ledger
	l.retry, l.step, l.at = clock.Never, ledgerInfo, 0
	d.ledgerNext(now, out)
}

// ledgerNext sends the request of the next step that has something to do.
func (d *Device) ledgerNext(now clock.Instant, out *Out) {
	l := d.work.ledger
	for ; l.step < ledgerSynced; l.step, l.at = l.step+1, 0 {
		if c, ok := l.call(d); ok {
			d.ledgerSend(now, c.Append(nil), out)
			return
		}
	}
}

// call returns the request of the step, false when the step is done.
func (l *ledgers) call(d *Device) (pdc.LedgerCall, bool) {
	switch l.step {
	case ledgerInfo:
		c := pdc.LedgerCall{Method: pdc.LedgerGetInfo}
		for i := range l.state {
			if !l.state[i].known {
				c.Ledgers = append(c.Ledgers, pdc.LedgerRef{Name: d.cfg.Ledgers[i].Name})
			}
		}
		return c, len(c.Ledgers) > 0
	case ledgerSubscribe:
		c := pdc.LedgerCall{Method: pdc.LedgerSubscribe}
		for i := range l.state {
			if l.state[i].direction == pdc.LedgerCloudToDevice {
				c.Ledgers = append(c.Ledgers, l.ref(d, i))
			}
		}
		return c, len(c.Ledgers) > 0
	case ledgerGet:
		for ; l.at < len(l.state); l.at++ {
			if s := &l.state[l.at]; s.direction == pdc.LedgerCloudToDevice && s.server > s.have {
				return pdc.LedgerCall{Method: pdc.LedgerGetData, Ledgers: []pdc.LedgerRef{l.ref(d, l.at)}}, true
			}
		}
	case ledgerSet:
		for ; l.at < len(l.state); l.at++ {
			own := &d.cfg.Ledgers[l.at]
			if s := &l.state[l.at]; s.direction == pdc.LedgerDeviceToCloud && own.Data != nil {
				if data, updated := own.Data(d.id); updated > s.server {
					ref := l.ref(d, l.at)
					ref.Updated = pdc.LedgerUpdated{Milliseconds: updated, Known: true}
					return pdc.LedgerCall{Method: pdc.LedgerSetData, Ledgers: []pdc.LedgerRef{ref}, Data: data}, true
				}
			}
		}
	case ledgerSynced:
		// Nothing to do.
	}
	return pdc.LedgerCall{}, false
}

func (l *ledgers) ref(d *Device, i int) pdc.LedgerRef {
	return pdc.LedgerRef{Name: d.cfg.Ledgers[i].Name, ScopeID: l.state[i].scope}
}

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
	*l = ledgers{state: make([]ledgerState, len(l.state)), failures: l.failures + 1, retry: now.Add(wait), tag: l.tag}
}

// ledgerNotify takes a request of the cloud: something has changed, or nothing
// that is known holds any more.
func (d *Device) ledgerNotify(now clock.Instant, e coap.Event, out *Out) error {
	m := e.Message
	switch {
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
