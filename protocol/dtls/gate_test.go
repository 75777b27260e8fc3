package dtls

import (
	"bytes"
	"testing"
	"time"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/seed"
)

func minute(n int) clock.Instant { return clock.Instant(0).Add(time.Duration(n) * time.Minute) }

// hellos returns the ClientHello of a client and the one with the cookie that
// gate gave it at the address peer.
func hellos(t *testing.T, gate *Gate, now clock.Instant, peer string) (first, second []byte) {
	t.Helper()
	var out, up Out
	client := NewClient(testClient(1, GenF))
	client.Start(0, &up)
	first = bytes.Clone(up.Datagrams[0])
	if v := gate.Receive(now, []byte(peer), first, &out); v != Challenged {
		t.Fatalf("verdict %d, want Challenged", v)
	}
	if n := len(out.Datagrams[0]); n > len(first) || n != 60 {
		t.Errorf("HelloVerifyRequest of %d bytes for a ClientHello of %d", n, len(first))
	}
	up.Reset()
	client.Receive(0, bytes.Clone(out.Datagrams[0]), &up)
	return first, bytes.Clone(up.Datagrams[0])
}

// a cookie is good for its address and ClientHello, and for at least
// a minute whenever it was made.
func TestGate(t *testing.T) {
	gate := NewGate(seed.Bytes(1, "gate"), time.Minute, GateFaults{})
	_, hello := hellos(t, gate, minute(10)+clock.Instant(59*time.Second), "192.0.2.1:5684")
	other := bytes.Clone(hello)
	other[headerSize+fragmentHeaderSize+5] ^= 1 // client_random
	forged := bytes.Clone(hello)
	forged[headerSize+fragmentHeaderSize+2+32+1+1+5] ^= 1 // cookie
	for _, test := range []struct {
		name     string
		now      clock.Instant
		peer     string
		datagram []byte
		want     Verdict
	}{
		{"at once", minute(11) - 1, "192.0.2.1:5684", hello, Admitted},
		{"again: there is no state", minute(11) - 1, "192.0.2.1:5684", hello, Admitted},
		{"another port", minute(11) - 1, "192.0.2.1:5685", hello, Challenged},
		{"another random", minute(11) - 1, "192.0.2.1:5684", other, Challenged},
		{"another cookie", minute(11) - 1, "192.0.2.1:5684", forged, Challenged},
		{"with the next secret", minute(11) + clock.Instant(59*time.Second), "192.0.2.1:5684", hello, Admitted},
		{"with the one after", minute(12), "192.0.2.1:5684", hello, Challenged},
		{"much later", minute(30), "192.0.2.1:5684", hello, Challenged},
	} {
		var out Out
		if got := gate.Receive(test.now, []byte(test.peer), test.datagram, &out); got != test.want {
			t.Errorf("%s: verdict %d, want %d", test.name, got, test.want)
		}
	}
}

// What is not a ClientHello, and what a Gate says to DTLS 1.0.
func TestGateRefuses(t *testing.T) {
	gate := NewGate(seed.Bytes(1, "gate"), 0, GateFaults{})
	hello, _ := hellos(t, gate, 0, "")
	for n := range hello {
		var out Out
		if v := gate.Receive(0, nil, bytes.Clone(hello[:n]), &out); v != Dropped || len(out.Datagrams) > 0 {
			t.Errorf("cut to %d: verdict %d", n, v)
		}
	}
	for _, test := range []struct {
		name   string
		damage func(b []byte) []byte
		want   DropReason
	}{
		{"application data", func(b []byte) []byte { b[0] = 23; return b }, DropNotClientHello},
		{"epoch 1", func(b []byte) []byte { b[4] = 1; return b }, DropNotClientHello},
		{"another message", func(b []byte) []byte { b[13] = 2; return b }, DropNotClientHello},
		{"version", func(b []byte) []byte { b[1] = 3; return b }, DropVersion},
		{"later fragment", func(b []byte) []byte { b[13+8], b[13+11] = 1, b[13+11]-1; b[12]--; return b[:len(b)-1] }, DropHello},
	} {
		var out Out
		if v := gate.Receive(0, nil, test.damage(bytes.Clone(hello)), &out); v != Dropped || out.Events[0].Reason != test.want {
			t.Errorf("%s: verdict %d, %s", test.name, v, describe(&out))
		}
	}
	old := bytes.Clone(hello)
	old[headerSize+fragmentHeaderSize+1] = 0xff // client_version feff
	var out Out
	if v := gate.Receive(0, nil, old, &out); v != Refused {
		t.Errorf("DTLS 1.0: verdict %d", v)
	}
	wantBytes(t, "alert", out.Datagrams[0], gen.Hex("15fefd0000000000000000000202"+"46"))
	out.Reset()
	tiny := appendRecord(nil, TypeHandshake, 0, appendMessage(nil, typeClientHello, 0, append([]byte{0xfe, 0xfd}, make([]byte, 34)...)))
	if v := gate.Receive(0, nil, tiny, &out); v != Challenged || len(out.Datagrams[0]) > len(tiny) {
		t.Errorf("the smallest front of a ClientHello: verdict %d, %d bytes for %d", v, len(out.Datagrams[0]), len(tiny))
	}
}

// A client whose cookie is too old gets another challenge, and comes through.
func TestSecondChallenge(t *testing.T) {
	gate := NewGate(seed.Bytes(1, "gate"), 0, GateFaults{})
	d := newDuel(t, testClient(1, GenF), testServer(1))
	d.gate = gate
	var out Out
	d.client.Start(0, &out)
	d.fromDevice(&out)
	d.deliverOne()
	d.deliverOne() // ClientHello with a cookie is on its way
	d.now = minute(60)
	d.deliver()
	d.established()
	if n := len(d.sent); n != 8 {
		t.Errorf("%d datagrams", n)
	}
	d.talk()
}
