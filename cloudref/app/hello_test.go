package app

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// The forms of Hello in PDC-2.1 (C-3). The ID of the device over UDP is that of
// the document.
func TestHelloForms(t *testing.T) {
	for _, test := range []struct {
		name, wire string
		udp        bool
		platform   pdc.Platform
		system     uint16
		ota3       bool
		asks       bool // the cloud asks for the describe
	}{
		{"core/13", "5002f649b168ffffffffff0000", false, 0, 0, false, true},
		{"photon-1.5/15", "50021001b168ff0006ffff00060006", false, pdc.Photon, 0, false, true},
		{"electron-1.5/29", "40021001b168ff000affff0006000a000ce00fce68a1b2c3d4e5f60718", true, pdc.Electron, 0, false, true},
		{"photon-3.3/27", "50021001b168ff0006ffff0036000600000ce603c0000600000200", false, pdc.Photon, 3302, false, false},
		{"boron-6.2/39", "40021001b168ff000dffff00f6000d000ce00fce68a1b2c3d4e5f6071818380480001770000200", true, pdc.Boron, 6200, true, false},
		{"later/45", "40021001b168ff000dffff00f6000d000ce00fce68a1b2c3d4e5f6071818380480001770000200aabbccddeeff", true, pdc.Boron, 6200, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := newCloudTest(t, boron62, nil)
			x.d = New(DeviceID(gen.Hex("e00fce68a1b2c3d4e5f60718")), &x.c)
			m, err := coap.Parse(gen.Hex(test.wire))
			if err != nil {
				t.Fatal(err)
			}
			x.run(func(out *Out) { x.d.Hello(x.now, test.udp, m, out) })
			h, dia := x.d.LastHello(), x.d.Dialect()
			if !x.d.Ready() || h.Platform != test.platform || h.System != test.system || dia.OTA3 != test.ota3 || dia.UDP != test.udp {
				t.Errorf("got %+v, %+v", h, dia)
			}
			if x.saved != SaveSession|SaveDescribe {
				t.Errorf("saved %b before the ACK, want both parts", x.saved)
			}
			want := 0
			if test.udp {
				x.wantReply(coap.Empty, 0) // C-1
			} else {
				want++ // C-2: POST h comes first
				if len(x.sends) == 0 || pdc.Classify(x.sends[0].Message, false) != pdc.KindServerHello {
					t.Fatalf("sent %v first, want the server Hello", x.sends)
				}
			}
			if test.asks {
				want++
				x.lastSend(pdc.KindDescribeRequest)
			}
			if len(x.sends) != want {
				t.Errorf("sent %v", x.sends)
			}
		})
	}
}

func TestHelloRefused(t *testing.T) {
	for name, edit := range map[string]func(*pdc.Hello){
		"another id (R-39)": func(h *pdc.Hello) { h.DeviceID = []byte("another id!!") },
		"no id":             func(h *pdc.Hello) { h.DeviceID = nil },
	} {
		t.Run(name, func(t *testing.T) {
			x := newCloudTest(t, boron62, nil)
			h, err := pdc.ParseHello(x.helloMessage(0))
			if err != nil {
				t.Fatal(err)
			}
			edit(&h)
			x.run(func(out *Out) { x.d.Hello(x.now, true, h.Message(x.dia), out) })
			if _, refused := effectOf[HelloRefused](x); !refused || len(x.replies) > 0 || x.d.Ready() || x.saved != 0 {
				t.Errorf("got %+v, replies %v", x.effects, x.replies)
			}
		})
	}
}

// nothing but a Hello begins a session.
func TestFirstMessageMustBeHello(t *testing.T) {
	x := newCloudTest(t, boron62, nil)
	m := pdc.Publish{Name: "x", Private: true}.Message(x.dia)
	x.run(func(out *Out) { x.d.Hello(x.now, true, m, out) })
	if _, refused := effectOf[HelloRefused](x); !refused || len(x.replies)+len(x.publish) > 0 {
		t.Errorf("got %+v", x.effects)
	}
}

// PDC-2.2: over UDP only POST h clears the flag that an update was applied.
func TestHelloWithUpdatedFlag(t *testing.T) {
	x := newCloudTest(t, boron62, nil)
	x.hello(pdc.HelloUpdated)
	if s := x.lastSend(pdc.KindServerHello); s.Message.Type != coap.Confirmable {
		t.Errorf("sent %v, want it Confirmable", s.Message)
	}
}

// C-14.
func TestGoodbye(t *testing.T) {
	x := newCloudTest(t, boron62, nil)
	x.hello(0)
	x.wire(gen.Hex("400210 41 b178 ff 0506901c")...)
	x.wantReply(coap.Empty, 0)
	e, offline := effectOf[Offline](x)
	if !offline || !strings.Contains(e.Reason, "sleep") || !strings.Contains(e.Reason, "3600 s") {
		t.Errorf("got %+v, want offline asleep for 3600 s", x.effects)
	}
	x.run(func(out *Out) { x.d.Ping(x.now, 1, out) })
	x.wantFailure(1, NotOnline)
	x.d.Heard(x.now)
	x.run(func(out *Out) { x.d.Ping(x.now, 2, out) })
	if len(x.sends) != 1 {
		t.Error("a device that is heard again cannot be asked")
	}
}

// C-27: a new Hello replaces the subscriptions, and what waits fails.
func TestNewHelloReplacesTheSession(t *testing.T) {
	x := newCloudTest(t, boron62, nil)
	x.hello(0)
	x.describe(pdc.ApplicationDescribe{Functions: []string{"brew"}}, nil)
	x.receive(pdc.Subscribe{Filter: "temp"}.Message(x.dia))
	x.run(func(out *Out) { x.d.Call(x.now, 1, "brew", "", out) })
	x.hello(0)
	x.wantFailure(1, Unreachable)
	if subs := x.d.Subscriptions().All(); len(subs) != 0 {
		t.Errorf("kept %v", subs)
	}
	if x.d.Describe() != nil {
		t.Error("kept the describe")
	}
}

// C-11 and the vector of PDC-8.1.
func TestTime(t *testing.T) {
	x := newCloudTest(t, boron62, nil)
	x.hello(0)
	x.now = 0
	x.wire(gen.Hex("410110 40 81 b174")...)
	if got := hex.EncodeToString(x.replies[0].Append(nil)); got != "6145104081ff6955b900" {
		t.Errorf("got %s", got)
	}
}

// PDC-8.11 and C-4: what nobody understands gets an answer, never a Reset.
func TestUnknownMessages(t *testing.T) {
	for _, test := range []struct {
		name, wire string
		code       coap.Code
		token      int
	}{
		{"request without token", "40021050b15a", coap.Empty, 0},
		{"request with token", "410210507fb15a", coap.NotFound, 1},
		{"response of nothing", "4144105063ff00000001", coap.Empty, 0},
		{"goodbye of nonsense", "40021050b178ff80", coap.Empty, 0},
		{"mesh", "400310 50 b16d 016e 0131", coap.Changed, 0},
		{"event without a name", "40021050b145", coap.BadRequest, 0},
		{"event with a critical option (N-8)", "40021050b1450178e106eb02", coap.Empty, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := newCloudTest(t, boron62, nil)
			x.hello(0)
			x.wire(gen.Hex(test.wire)...)
			x.wantReply(test.code, test.token)
		})
	}
}
