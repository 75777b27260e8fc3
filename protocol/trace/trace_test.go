package trace

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/pdc"
)

func message(t *testing.T, wire string) *Message {
	t.Helper()
	b, err := hex.DecodeString(wire)
	if err != nil {
		t.Fatal(err)
	}
	m := &Message{Wire: b}
	if m.CoAP, err = coap.Parse(b); err != nil {
		m.Malformed = err.Error()
	}
	return m
}

func TestPacketString(t *testing.T) {
	ping := message(t, "4000000b")
	ping.Kind = pdc.KindPing
	p := &Packet{
		At: clock.Instant(6033 * time.Millisecond), Device: DeviceID{0x01, 0x23}, Size: 53, Headers: HeadersUDP4, Resume: true,
		Records: []Record{{State: Opened, Type: dtls.TypeMovedCID, Epoch: 1, Sequence: 11, Message: ping}},
	}
	const want = "6.033s 012300000000000000000000 up 53+28 resume [253 #11 CON EMPTY mid=000b (Ping)]"
	if got := p.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestStringHidesData: what goes into a report by default has no application data
// and cannot spoil its line. The vectors are from the recordings, but for the path.
func TestStringHidesData(t *testing.T) {
	for _, test := range []struct{ wire, hidden, text string }{
		{"4002000ab1450464656d6fff32302062797465206576656e7420646174612121", "20 byte", `CON POST /E/demo mid=000a payload[20]="20 byte event data!!"`},
		{"41022001 61 b166036c656e43616263", "abc", `CON POST /f/len mid=2001 token=61 Uri-Query="abc"`},
		{"40020001b1450361 0a62", "\n", `CON POST "/E/a\nb" mid=0001`},
		{"4109", "", "not CoAP"},
	} {
		m := message(t, strings.ReplaceAll(test.wire, " ", ""))
		if got := m.String(); test.hidden != "" && strings.Contains(got, test.hidden) {
			t.Errorf("%q shows %q", got, test.hidden)
		}
		if got := m.Text(); got != test.text {
			t.Errorf("got %s, want %s", got, test.text)
		}
	}
}

func TestHeaders(t *testing.T) {
	for _, test := range []struct {
		transport Transport
		ipv6      bool
		want      int
	}{{UDP, false, 28}, {UDP, true, 48}, {TCP, false, 40}, {TCP, true, 60}} {
		if got := Headers(test.transport, test.ipv6); got != test.want {
			t.Errorf("%v, IPv6 %v: got %d, want %d", test.transport, test.ipv6, got, test.want)
		}
	}
}

func TestTablesAreFull(t *testing.T) {
	for u := range numUnits {
		if u.String() == "" {
			t.Errorf("unit %d has no name", u)
		}
	}
	for s := range numStates {
		if s.String() == "" {
			t.Errorf("state %d has no name", s)
		}
	}
}
