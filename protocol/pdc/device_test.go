package pdc

import (
	"reflect"
	"strings"
	"testing"

	"github.com/muster/muster/protocol/coap"
)

// TestOnDeviceAgrees reads every well-formed vector from the cloud with both
// parsers: where the sender keeps to the rules, the quirks make no difference.
func TestOnDeviceAgrees(t *testing.T) {
	for name, strict := range vectorValues {
		v := vector(t, name)
		d := speaker(t, v.Speaks)
		if v.From != "cloud" {
			continue
		}
		var got any
		switch strict := strict.(type) {
		case FunctionCall:
			c, tooLong, err := OnDeviceFunctionCall(v.Bytes, d)
			if tooLong || err != nil {
				t.Errorf("%s: too long %v, %v", name, tooLong, err)
			}
			got = c
		case VariableRequest:
			got, _ = OnDeviceVariableRequest(v.Bytes, d)
		case Signal:
			got = OnDeviceSignal(v.Bytes)
		case KeyChange:
			got = OnDeviceKeyChange(v.Bytes)
		case UpdateBegin:
			got = OnDeviceUpdateBegin(v.Bytes)
		case Chunk:
			got, _ = OnDeviceChunk(v.Bytes)
		case UpdateStart:
			got, _ = OnDeviceUpdateStart(mustParse(t, v.Bytes), d)
		case UpdateChunk:
			got, _ = OnDeviceUpdateChunk(mustParse(t, v.Bytes))
		case ServerMoved:
			got, _ = OnDeviceServerMoved(mustParse(t, v.Bytes))
		case EventDelivery:
			e, err := OnDeviceEvent(v.Bytes, d)
			if err != nil || e.Name != strict.Name || string(e.Data) != string(strict.Data) ||
				e.Format != strict.Format || e.Private != strict.Private || e.Reliability != strict.Reliability {
				t.Errorf("%s: got %+v, %v, want %+v", name, e, err, strict)
			}
			continue
		case TimeResponse:
			unix, ok := OnDeviceTime(v.Bytes)
			if !ok || unix != strict.Unix {
				t.Errorf("%s: got %d, %v", name, unix, ok)
			}
			continue
		default:
			continue
		}
		if !reflect.DeepEqual(got, strict) {
			t.Errorf("%s: got %+v, want %+v", name, got, strict)
		}
	}
}

func TestOnDeviceFunctionCallQuirks(t *testing.T) {
	photon, old, boron := NewDialect(1512, Photon), NewDialect(21, Photon), NewDialect(6200, Boron)
	long := strings.Repeat("a", 70)
	for _, test := range []struct {
		name           string
		d              Dialect
		wire           []byte
		function, args string
		tooLong, drop  bool
	}{
		{"N-2/wrong version", boron, []byte{0x81, 2, 0, 1, 7, 0xb1, 'f', 1, 'x', 0x41, 'y'}, "x", "y", false, false},
		{"deltas are not looked at", boron, []byte{0x41, 2, 0, 1, 7, 0xb1, 'f', 0x91, 'x', 0xf1, 'y'}, "x", "y", false, false},
		{"no argument option", boron, []byte{0x41, 2, 0, 1, 7, 0xb1, 'f', 1, 'x'}, "x", "", false, false},
		{"N-5/no token", boron, []byte{0x40, 2, 0, 1, 0xb1, 'f', 1, 'x', 0x41, 'y'}, "", "", false, true},
		{"N-4/token length 9", boron, []byte{0x49, 2, 0, 1, 0xb1, 'f', 1, 'x', 0x41, 'y'}, "", "", false, true},
		{"no token on 0.5", old, []byte{0x40, 2, 0, 1, 0xb1, 'f', 1, 'x', 0x41, 'y', 'z'}, "A", "", false, false},
		{"nothing behind the path", boron, []byte{0x41, 2, 0, 1, 7, 0xb1, 'f'}, "", "", false, false},
		{
			"argument too long", photon, FunctionCall{Token: tok(7), Name: "x", Argument: strings.Repeat("y", 623)}.Message(photon).Append(nil),
			"x", strings.Repeat("y", 622), true, false,
		},
		{
			"name too long", boron, append([]byte{0x41, 2, 0, 1, 7, 0xb1, 'f', 0x0d, 57}, long+"\x41y"...),
			long[:64], "a", false, false,
		}, // 'a' is 0x61: an option of one byte
		{
			"no long names on 0.5", old, append([]byte{0x41, 2, 0, 1, 7, 0xb1, 'f', 0x0d, 3}, long...),
			"\x03" + long[:11], "a", false, false,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, tooLong, err := OnDeviceFunctionCall(test.wire, test.d)
			if e := asError(err); test.drop {
				if e == nil || e.Reaction != Disconnect {
					t.Errorf("got %v, want a disconnect", err)
				}
				return
			}
			if test.name == "no token on 0.5" {
				// Everything stands one byte early: what was the name is read as its option.
				if err != nil || string(c.Token) != "\xb1" {
					t.Errorf("got %+v, %v", c, err)
				}
				return
			}
			if err != nil || c.Name != test.function || c.Argument != test.args || tooLong != test.tooLong {
				t.Errorf("got %q %q %v %v, want %q %q %v", c.Name, c.Argument, tooLong, err, test.function, test.args, test.tooLong)
			}
		})
	}
}

func TestOnDeviceEventQuirks(t *testing.T) {
	old, boron := NewDialect(6101, Boron), NewDialect(6200, Boron)
	name := []byte{0x40, 2, 0, 1, 0xb1, 'E', 1, 'a'}
	with := func(b ...byte) []byte { return append(append([]byte(nil), name...), b...) }
	for _, test := range []struct {
		name     string
		d        Dialect
		wire     []byte
		data     string
		null     bool
		reaction Reaction
		bad      bool
	}{
		{"plain", old, with(0xff, 'x'), "x", false, 0, false},
		{"Max-Age of any length", old, with(0x35, 1, 2, 3, 4, 5, 0xff, 'x'), "x", false, 0, false},
		{"N-11/Content-Format", old, with(0x11, 42, 0xff, 'x'), "", true, 0, false},
		{"option behind Max-Age", old, with(0x31, 1, 0x11, 1, 0xff, 'x'), "", true, 0, false},
		{"Content-Format on 6.2", boron, with(0x11, 42, 0xff, 'x'), "x", false, 0, false},
		{"N-12/no name", old, name[:6], "", true, Disconnect, true},
		{"N-12/no name on 6.2", boron, name[:6], "", true, Ignore, true},
		{"N-3/reserved nibble", boron, with(0xf1, 0), "", true, Disconnect, true},
		{"N-3/reserved nibble before 6.2", old, with(0xf1, 0), "", true, 0, false},
		{"lone marker", old, with(0xff), "", true, 0, false},
		{"nothing behind the header", old, name[:4], "", true, Disconnect, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			e, err := OnDeviceEvent(test.wire, test.d)
			if test.bad {
				if bad := asError(err); bad == nil || bad.Reaction != test.reaction {
					t.Errorf("got %+v, %v, want %v", e, err, test.reaction)
				}
				return
			}
			if err != nil || e.Name != "a" || string(e.Data) != test.data || (e.Data == nil) != test.null {
				t.Errorf("got %+v, %v, want data %q", e, err, test.data)
			}
		})
	}
	long := EventDelivery{Name: strings.Repeat("n", 65), Data: []byte("x")}.Message(boron).Append(nil)
	if e, err := OnDeviceEvent(long, boron); err != nil || len(e.Name) != 64 {
		t.Errorf("N-13: name of %d bytes, %v, want 64", len(e.Name), err)
	}
}

func TestOnDeviceTimeQuirks(t *testing.T) {
	if _, ok := OnDeviceTime([]byte{0x61, 0x45, 0, 1, 7, 0xff}); ok {
		t.Error("N-51: six bytes have no time")
	}
	unix, ok := OnDeviceTime([]byte{0x62, 0x45, 0, 1, 7, 8, 0xff, 1, 2, 3, 4})
	if !ok || unix != 0xff010203 {
		t.Errorf("N-51: two bytes of token: got %x, want ff010203", unix)
	}
	defer func() {
		if recover() == nil {
			t.Error("N-51: a time response with two bytes of token could be made")
		}
	}()
	TimeResponse{Token: []byte{1, 2}}.Message(Dialect{})
}

func TestOnDeviceServerMoved(t *testing.T) {
	m := ServerMoved{Token: tok(1), Address: "a"}.Message(Dialect{})
	for _, test := range []struct {
		name string
		typ  coap.Type
		tkl  int
		want Reaction
	}{
		{"NON", coap.NonConfirmable, 1, Ignore},
		{"no token", coap.Confirmable, 0, Ignore},
		{"two bytes of token", coap.Confirmable, 2, Crash},
	} {
		m.Type, m.Token = test.typ, fill(1, test.tkl)
		_, err := OnDeviceServerMoved(m)
		if e := asError(err); e == nil || e.Reaction != test.want {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
	}
	m.Token, m.Payload = tok(1), []byte{0x0a, 9}
	_, err := OnDeviceServerMoved(m)
	if e := asError(err); e == nil || e.Answer != coap.BadRequest || e.Reaction != Refuse {
		t.Errorf("garbage: got %v, want 4.00", err)
	}
}

// TestServerMovedSigned compares with the layout of PDC-8.6.
func TestServerMovedSigned(t *testing.T) {
	s := ServerMoved{Address: "a.b", Port: 0x1234, PublicKey: []byte{7, 8}}
	if got, want := string(s.Signed()), "\x02\x00\x00\x00\x07\x08\x03\x00\x00\x00a.b\x34\x12"; got != want {
		t.Errorf("got %x, want %x", got, want)
	}
	s.Port = 0
	if got := s.Signed(); string(got[len(got)-2:]) != "\x34\x16" {
		t.Errorf("default port: got %x, want 5684", got)
	}
}
