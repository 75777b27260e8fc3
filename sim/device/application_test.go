package device

import (
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// What the application can ask for besides publishing.
func TestApplicationWishes(t *testing.T) {
	w := newWorld(t, "boron@6.2.0").online()
	w.do(func(now clock.Instant, out *Out) { w.dev.SetKeepAlive(now, 2*time.Minute) })
	w.clear().pass(119 * time.Second)
	w.wantSent()
	w.pass(2 * time.Second)
	if len(w.sent) != 1 || w.sent[0].kind != pdc.KindPing {
		t.Errorf("sent %v", w.kinds())
	}

	w.peer.deaf = true
	w.clear().do(w.dev.Ping)
	w.pass(31 * time.Second)
	w.gone(PingTimeout, false) // an asked-for ping is guarded like the others
	w.peer.deaf = false
	w.pass(20 * time.Second)

	w.dev.ClearSession()
	w.do(w.dev.Disconnect)
	w.clear().do(w.dev.Connect)
	w.pass(time.Second)
	if e := w.wantEvent(Connecting); e.Resumed {
		t.Error("resumes a session that was cleared")
	}
	if w.dev.Updating() {
		t.Error("updating")
	}
}

// PDC-4.5: trouble with the keys is reported once.
func TestKeyError(t *testing.T) {
	w := newWorld(t, "boron@6.2.0")
	w.dev.NVRAM().KeyErrors = 5
	w.online()
	if got := w.kinds(); got[len(got)-4] != "spark/device/key/error" && !strings.Contains(strings.Join(got, " "), "key/error") {
		t.Errorf("sent %v", got)
	}
	if w.dev.NVRAM().KeyErrors != 0 {
		t.Error("reported for ever")
	}
}

// PDC-4.4: the network command of 2.3 reconnects, with a resume.
func TestNetworkCommand(t *testing.T) {
	for name, knows := range map[string]bool{"boron@6.2.0": true, "boron@1.5.2": false} {
		w := newWorld(t, name).online()
		w.clear().tell(pdc.EventDelivery{Name: pdc.EventReset, Data: []byte("network"), Private: true})
		if _, ok := w.has(NetworkReset); ok != knows {
			t.Errorf("%s: %v", name, w.eventKinds())
		}
		w.pass(2 * time.Second)
		w.alive()
	}
}

// A connection that dies in the middle of a goodbye is a disconnect all the same.
func TestDisconnectWhileDying(t *testing.T) {
	w := newWorld(t, "boron@6.2.0").online()
	w.peer.deaf = true
	w.do(w.dev.Disconnect)
	w.clear().send("70 00 00 00")
	w.gone(MessageReset, true)
	if w.dev.State() != Idle || w.dev.Deadline() != clock.Never {
		t.Errorf("%v, %v", w.dev.State(), w.dev.Deadline())
	}
	w = newWorld(t, "boron@6.2.0").online()
	w.peer.deaf = true
	w.do(w.dev.Disconnect)
	w.do(w.dev.Connect) // the application has changed its mind
	w.pass(2 * time.Minute)
	w.peer.deaf = false
	w.pass(2 * time.Minute)
	if !w.dev.Online() {
		t.Error(w.dev.State())
	}
}

// A stream that breaks in each state.
func TestStreamBreaks(t *testing.T) {
	w := newWorld(t, "photon@3.1.0")
	w.peer.silent = true
	w.do(w.dev.PowerOn)
	w.run(1100 * time.Millisecond)
	w.clear().do(w.dev.StreamClosed)
	w.gone(NonceTimeout, false)
	w.peer.silent = false
	w.pass(5 * time.Second)
	w.clear().do(w.dev.NetworkChanged)
	w.gone(StreamFailed, false)
	w.pass(time.Second)
	w.clear().do(w.dev.SocketFailed)
	w.gone(StreamFailed, false)
	w.pass(time.Second)
	if !w.dev.Online() {
		t.Error(w.dev.State())
	}
}

// A malformed Finish, and one that is not Confirmable.
func TestMalformedFinish(t *testing.T) {
	w := newWorld(t, "boron@6.2.0").online()
	w.clear().send("41 02 20 80 b2 b1 46 e1 06 fd 01 40")
	if len(w.sent) != 1 || w.sent[0].m.Type != coap.Acknowledgement || w.sent[0].m.Code != coap.ServiceUnavailable {
		t.Errorf("an option that is not empty: %v", w.kinds())
	}
	w.alive()
	w.clear().send("51 02 20 81 b2 b1 46")
	w.gone(MalformedMessage, false)
}

// PDC-8.9: results that make the device ask again, separate responses, and
// contradictions.
func TestLedgerResults(t *testing.T) {
	w, l := ledgerWorld(t)
	failures := 0
	l.fault = func(m message, c pdc.LedgerCall) ([][]byte, bool) {
		if c.Method != pdc.LedgerGetData || failures > 0 {
			return nil, false
		}
		failures++
		r := pdc.LedgerResponse{Token: m.m.Token, Payload: pdc.LedgerReply{Result: pdc.LedgerScopeChanged}.Append(nil)}
		c2 := r.Message(w.dev.Dialect())
		c2.ID = m.m.ID
		return [][]byte{c2.Append(nil)}, true
	}
	w.online()
	want := []pdc.LedgerMethod{pdc.LedgerGetInfo, pdc.LedgerSubscribe, pdc.LedgerGetData, pdc.LedgerGetInfo, pdc.LedgerSubscribe, pdc.LedgerGetData, pdc.LedgerSetData}
	if len(l.calls) != len(want) {
		t.Fatalf("calls %v", l.calls)
	}
	for i := range want {
		if l.calls[i] != want[i] {
			t.Errorf("call %d is %v, want %v", i, l.calls[i], want[i])
		}
	}

	w, l = ledgerWorld(t)
	l.fault = func(m message, c pdc.LedgerCall) ([][]byte, bool) {
		if c.Method != pdc.LedgerGetInfo {
			return nil, false
		}
		r := pdc.LedgerResponse{Token: m.m.Token, Separate: true, Payload: pdc.LedgerReply{Method: c.Method, Ledgers: l.infos}.Append(nil)}
		c2 := r.Message(w.dev.Dialect())
		c2.ID = 0x7000
		return [][]byte{{0x60, 0, m.wire[2], m.wire[3]}, c2.Append(nil)}, true
	}
	w.online()
	if len(l.got) != 1 {
		t.Errorf("after a separate response: %v", l.calls)
	}
	acked := false
	for _, m := range w.sent {
		acked = acked || m.m.Type == coap.Acknowledgement && m.m.ID == 0x7000
	}
	if !acked {
		t.Error("the separate response is not acknowledged")
	}

	w, l = ledgerWorld(t)
	l.infos = append(l.infos, pdc.LedgerInfo{Name: "stranger", Scope: 1, Direction: 1})
	w.online()
	if len(l.calls) != 1 {
		t.Errorf("a ledger that was not asked for: %v", l.calls)
	}
	l.infos = nil // an empty list is a success: nothing exists, nothing is retried
	w.pass(40 * time.Second)
	if len(l.calls) != 2 {
		t.Errorf("calls %v", l.calls)
	}
	w.pass(10 * time.Minute)
	if len(l.calls) != 2 {
		t.Errorf("calls %v", l.calls)
	}
}

// Names for logs are there.
func TestNames(t *testing.T) {
	for k := range numEventKinds {
		if k.String() == "" {
			t.Errorf("event %d has no name", k)
		}
	}
	for s := range numStates {
		if s.String() == "" {
			t.Errorf("state %d has no name", s)
		}
	}
	if OpenSocket.String() != "open socket" || Error(99).String() != "Error(99)" || RateLimited.Error() == "" || PingTimeout.Error() != "device: ping timeout" {
		t.Error("names")
	}
}
