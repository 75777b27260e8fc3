package device

import (
	"bytes"
	"testing"
	"time"

	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// ledgerCloud answers ledger requests.
type ledgerCloud struct {
	w      *world
	infos  []pdc.LedgerInfo
	data   []byte // of every ledger from the cloud
	got    map[string][]byte
	calls  []pdc.LedgerMethod
	blocks map[byte][]byte
	upload []byte
	fault  func(m message, c pdc.LedgerCall) ([][]byte, bool)
}

func (l *ledgerCloud) answer(m message) ([][]byte, bool) {
	r, err := pdc.ParseLedgerRequest(m.m)
	if m.kind != pdc.KindLedgerRequest || err != nil {
		return nil, false
	}
	reply := func(p pdc.LedgerResponse) ([][]byte, bool) {
		p.Token = r.Token
		c := p.Message(l.w.dev.Dialect())
		c.ID = m.m.ID
		return [][]byte{c.Append(nil)}, true
	}
	if r.Block2 != nil {
		return reply(l.block(*r.Block2))
	}
	body := r.Payload
	if r.Block1 != nil {
		l.upload = append(l.upload, r.Payload...)
		if r.Block1.More {
			return reply(pdc.LedgerResponse{Code: coap.Continue})
		}
		body, l.upload = l.upload, nil
	}
	c, err := pdc.ParseLedgerCall(body)
	if err != nil {
		l.w.t.Fatal(err)
	}
	l.calls = append(l.calls, c.Method)
	if l.fault != nil {
		if replies, handled := l.fault(m, c); handled {
			return replies, true
		}
	}
	answer := pdc.LedgerReply{Method: c.Method}
	switch c.Method {
	case pdc.LedgerGetInfo:
		answer.Ledgers = l.infos
	case pdc.LedgerSubscribe:
		for _, ref := range c.Ledgers {
			answer.Ledgers = append(answer.Ledgers, pdc.LedgerInfo{Name: ref.Name, Updated: pdc.LedgerUpdated{Milliseconds: 5000, Known: true}})
		}
	case pdc.LedgerGetData:
		answer.Updated, answer.Data = pdc.LedgerUpdated{Milliseconds: 5000, Known: true}, l.data
		if len(l.data) > 1000 {
			l.blocks = map[byte][]byte{}
			l.upload = nil
			l.data = answer.Append(nil)
			return reply(l.block(coap.Block{SZX: 6}))
		}
	case pdc.LedgerSetData:
		l.got[c.Ledgers[0].Name] = bytes.Clone(c.Data)
	case pdc.LedgerNotifyUpdate, pdc.LedgerResetInfo:
		// A device asks neither.
	}
	return reply(pdc.LedgerResponse{Payload: answer.Append(nil)})
}

func (l *ledgerCloud) block(b coap.Block) pdc.LedgerResponse {
	from := int(b.Num) * 1024
	to := min(from+1024, len(l.data))
	b.More = to < len(l.data)
	return pdc.LedgerResponse{ETag: []byte{1, 2}, Block2: &b, Payload: l.data[from:to]}
}

func ledgerWorld(t *testing.T) (*world, *ledgerCloud) {
	upload := bytes.Repeat([]byte{0xa1}, 5000)
	w := newWorld(t, "boron@6.2.0", func(c *Config) {
		c.Ledgers = []Ledger{{Name: "up", Data: func(ID) ([]byte, uint64) { return upload, 9000 }}, {Name: "down"}, {Name: "none"}}
	})
	l := &ledgerCloud{w: w, got: map[string][]byte{}, data: []byte{0xa1, 0x61, 0x6b, 0x18, 0x2a}, infos: []pdc.LedgerInfo{
		{Name: "up", ScopeID: []byte{1}, Scope: pdc.LedgerScopeDevice, Direction: pdc.LedgerDeviceToCloud},
		{Name: "down", ScopeID: []byte{2}, Scope: pdc.LedgerScopeProduct, Direction: pdc.LedgerCloudToDevice},
	}}
	w.peer.answer = l.answer
	return w, l
}

// PDC-8.9: get info, subscribe, get data, set data; a large one in blocks with
// one Request-Tag.
func TestLedgers(t *testing.T) {
	w, l := ledgerWorld(t)
	w.online()
	want := []pdc.LedgerMethod{pdc.LedgerGetInfo, pdc.LedgerSubscribe, pdc.LedgerGetData, pdc.LedgerSetData}
	if len(l.calls) != len(want) {
		t.Fatalf("calls %v", l.calls)
	}
	for i := range want {
		if l.calls[i] != want[i] {
			t.Errorf("call %d is %v", i, l.calls[i])
		}
	}
	if len(l.got["up"]) != 5000 {
		t.Errorf("%d bytes of up", len(l.got["up"]))
	}
	synced := 0
	for _, e := range w.events {
		if e.Kind == LedgerSynced {
			synced++
		}
	}
	if synced != 2 {
		t.Errorf("%d synced", synced)
	}
	l.calls = nil
	call := pdc.LedgerCall{Method: pdc.LedgerNotifyUpdate, Ledgers: []pdc.LedgerRef{{Name: "down", Updated: pdc.LedgerUpdated{Milliseconds: 6000, Known: true}}}}
	w.clear().tell(pdc.LedgerNotify{Token: []byte{0xe1}, Payload: call.Append(nil)})
	if len(w.sent) < 2 || w.sent[1].m.Code != coap.Changed || len(l.calls) != 1 || l.calls[0] != pdc.LedgerGetData {
		t.Errorf("%v, calls %v", w.kinds(), l.calls)
	}
}

// A ledger of 5000 bytes comes in blocks of 1024.
func TestLedgerDownload(t *testing.T) {
	w, l := ledgerWorld(t)
	l.data = bytes.Repeat([]byte{0x5a}, 5000)
	w.online()
	for _, e := range w.events {
		if e.Kind == LedgerSynced && e.Name == "down" && len(e.Data) != 5000 {
			t.Errorf("%d bytes", len(e.Data))
		}
	}
	w.wantEvent(LedgerSynced)
}

// N-17, N-18: what a cloud may do wrong never ends the connection.
func TestLedgerFaults(t *testing.T) {
	w, _ := ledgerWorld(t)
	w.online()
	w.dialogue("41 02 20 71 e1 b1 4c ff ff", "60 00 20 71", "41 80 __ __ e1")
	w.dialogue("41 02 20 72 e1 b1 4c d1 03 0e ff 08", "70 00 20 72")
	w.dialogue("40 02 20 73 b1 4c ff 08")
	w.alive()
	for _, c := range []struct {
		name    string
		code    coap.Code
		retries bool
	}{{"4.04", coap.NotFound, true}, {"5.00", coap.InternalError, true}, {"2.31", coap.Continue, true}, {"2.05", coap.Content, false}, {"silence", coap.Empty, false}} {
		t.Run(c.name, func(t *testing.T) {
			w, l := ledgerWorld(t)
			l.fault = func(m message, _ pdc.LedgerCall) ([][]byte, bool) {
				if c.code == coap.Empty {
					return [][]byte{{0x60, 0, m.wire[2], m.wire[3]}}, true
				}
				r := []byte{0x61, byte(c.code), m.wire[2], m.wire[3], m.m.Token[0]}
				return [][]byte{r}, true
			}
			w.online()
			n := len(l.calls)
			if n != 1 {
				t.Fatalf("calls %v", l.calls)
			}
			w.pass(29 * time.Second)
			w.pass(2 * time.Second)
			if retried := len(l.calls) > n; retried != c.retries {
				t.Errorf("retries %v: %v", retried, l.calls)
			}
			l.fault = nil
			w.pass(5 * time.Minute)
			w.alive()
			if c.retries && len(l.got) != 1 {
				t.Error("never recovered")
			}
		})
	}
}
