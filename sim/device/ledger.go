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
