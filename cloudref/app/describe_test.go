package app

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// system63 is a describe with modules of one system version.
func systemDescribe(dia pdc.Dialect, userHash []byte) *pdc.SystemDescribe {
	return &pdc.SystemDescribe{
		Platform: dia.Platform, HasPlatform: true,
		Modules: []pdc.ModuleInfo{
			{Function: pdc.ModuleBootloader, Index: 0, Version: 1100, Checked: 0x3e, Passed: 0x3e, MaxSize: 48 << 10},
			{Function: pdc.ModuleSystemPart, Index: 1, Version: uint32(dia.System), Checked: 0x3e, Passed: 0x3e, MaxSize: 640 << 10},
			{
				Function: pdc.ModuleUserPart, Index: 1, Version: 6, Checked: 0x3e, Passed: 0x3e, MaxSize: 128 << 10, Hash: userHash,
				Dependencies: []pdc.ModuleDependency{{Function: pdc.ModuleSystemPart, Index: 1, Version: uint32(dia.System)}},
			},
		},
	}
}

var brewing = pdc.ApplicationDescribe{
	Functions: []string{"brew"},
	Variables: []pdc.VariableInfo{
		{Name: "temp", Type: pdc.VariableDouble},
		{Name: "count", Type: pdc.VariableInt},
		{Name: "state", Type: pdc.VariableString},
		{Name: "on", Type: pdc.VariableBool},
	},
}

// C-17, C-20, C-21: each version's way of describing gives the same model.
func TestDescribeOfEveryVersion(t *testing.T) {
	for _, dia := range []pdc.Dialect{photon05, electron12, photon23, boron31, boron54, boron62} {
		t.Run(fmt.Sprint(pdc.Release(dia.System)), func(t *testing.T) {
			x := newCloudTest(t, dia, nil)
			x.hello(0)
			before := x.d.AppendState(SaveSession, nil)
			x.savedSince = 0
			x.describe(brewing, systemDescribe(dia, nil))
			if e, ok := effectOf[Described](x); !ok || !e.Application {
				t.Errorf("got %+v", x.effects)
			}
			d := x.d.Describe()
			if !d.hasFunction("brew") || len(d.System.Modules) != 3 {
				t.Errorf("got %+v", d)
			}
			if kind, ok := d.variable("temp"); !ok || kind != pdc.VariableDouble {
				t.Errorf("temp is %v", kind)
			}
			if got := x.d.Dialect().System; got != dia.System {
				t.Errorf("refined to %d, want %d", got, dia.System)
			}
			want := SaveDescribe
			if !bytes.Equal(before, x.d.AppendState(SaveSession, nil)) {
				want |= SaveSession // the describe told more of the version than the Hello
			}
			if x.savedSince != want {
				t.Errorf("saved %b, want %b", x.savedSince, want)
			}
		})
	}
}

// C-16: one type a request from 5.5 on, and the flag byte always.
func TestRequestDescribe(t *testing.T) {
	x := newCloudTest(t, boron62, nil)
	x.hello(0)
	x.run(func(out *Out) { x.d.RequestDescribe(x.now, 7, out) })
	for i, want := range []pdc.DescribeFlags{pdc.DescribeSystem, pdc.DescribeApplication} {
		s := x.lastSend(pdc.KindDescribeRequest)
		r, err := pdc.ParseDescribeRequest(s.Message)
		if err != nil || r.Flags != want || len(r.Token) != 1 {
			t.Fatalf("asked %+v, %v; want flags %d", r, err, want)
		}
		x.ack(s, coap.Message{})
		payload := brewing.Append(nil)
		if i == 0 {
			if len(x.sends) != 1 {
				t.Fatal("the second request does not follow")
			}
			payload = systemDescribe(x.dia, nil).AppendProto(nil)
		}
		next := x.sends
		x.receive(pdc.DescribeResponse{Token: r.Token, Protobuf: i == 0, Payload: payload}.Message(x.dia))
		x.wantReply(coap.Empty, 0)
		if i == 0 {
			x.sends = next
		}
	}
	if r := x.result(7); r.Err != nil {
		t.Errorf("got %v", r.Err)
	}
}

// C-18: blocks are fetched one by one with tokens of their own, and a changed
// ETag starts over.
func TestDescribeInBlocks(t *testing.T) {
	for _, changes := range []bool{false, true} {
		t.Run(fmt.Sprintf("etag changes %v", changes), func(t *testing.T) {
			x := newCloudTest(t, boron62, nil)
			x.hello(0)
			large := pdc.ApplicationDescribe{}
			for i := range 100 {
				large.Functions = append(large.Functions, fmt.Sprintf("function-number-%03d", i))
			}
			body := large.Append(nil)
			x.run(func(out *Out) { x.d.RequestDescribe(x.now, 1, out) })
			x.drainRequest(pdc.KindDescribeRequest) // the system part is not answered
			etag, asked, tokens := []byte{1}, 0, map[byte]bool{}
			for x.d.Describe() == nil {
				s := x.lastSend(pdc.KindDescribeRequest)
				r, err := pdc.ParseDescribeRequest(s.Message)
				if err != nil || tokens[r.Token[0]] {
					t.Fatalf("asked %+v, %v", r, err)
				}
				tokens[r.Token[0]] = true
				num := uint32(0)
				if r.Block != nil {
					num = r.Block.Num
				}
				if asked++; asked == 2 && changes {
					etag = []byte{2}
				}
				if changes && asked == 3 && num != 0 {
					t.Fatalf("asked for block %d after the ETag changed", num)
				}
				if asked > 10 {
					t.Fatal("no end")
				}
				end := min(len(body), int(num+1)*1024)
				x.ack(s, coap.Message{})
				x.receive(coap.Message{
					Code: coap.Content, Token: r.Token, Payload: body[num*1024 : end],
					Options: coap.Options{coap.Opaque(coap.ETag, etag), coap.Block{Num: num, More: end < len(body), SZX: 6}.Option(coap.Block2)},
				})
			}
			if got := x.d.Describe().Application.Functions; len(got) != 100 {
				t.Errorf("%d functions, want 100", len(got))
			}
		})
	}
}

// drainRequest lets the request under way be acknowledged and never answered,
// so that the next goes out.
func (x *cloudTest) drainRequest(k pdc.Kind) {
	x.t.Helper()
	x.ack(x.lastSend(k), coap.Message{})
}

// C-19: a posted describe comes in blocks, one of them twice.
func TestPostedDescribeInBlocks(t *testing.T) {
	x := newCloudTest(t, boron62, nil)
	x.hello(0)
	large := pdc.ApplicationDescribe{}
	for i := range 100 {
		large.Functions = append(large.Functions, fmt.Sprintf("function-number-%03d", i))
	}
	body := large.Append(nil)
	for i, num := range []int{0, 1, 1, 2} {
		end := min(len(body), (num+1)*1024)
		x.receive(pdc.DescribePost{
			Token: []byte{byte(i)}, Flags: pdc.DescribeApplication, Payload: body[num*1024 : end],
			Block: &coap.Block{Num: uint32(num), More: end < len(body), SZX: 6},
		}.Message(x.dia))
	}
	if got := x.d.Describe(); got == nil || len(got.Application.Functions) != 100 {
		t.Fatalf("got %+v", got)
	}
	if x.d.work != nil {
		t.Error("something is left of the transfer")
	}
}

// A post that stops half-way leaves nothing.
func TestPostedDescribeIsDropped(t *testing.T) {
	x := newCloudTest(t, boron62, nil)
	x.hello(0)
	x.receive(pdc.DescribePost{
		Token: []byte{1}, Flags: pdc.DescribeApplication, Payload: make([]byte, 1024),
		Block: &coap.Block{More: true, SZX: 6},
	}.Message(x.dia))
	x.wait(time.Minute + time.Second)
	if x.d.work != nil {
		t.Error("the partial body is still there")
	}
}

// C-32: what is missing is told when both the event and the describe are known,
// in either order.
func TestSafeMode(t *testing.T) {
	describe := systemDescribe(boron62, nil)
	describe.Modules[1].Version = 4200
	for _, first := range []string{"describe", "event"} {
		t.Run(first+" first", func(t *testing.T) {
			x := newCloudTest(t, boron62, nil)
			x.hello(0)
			event := pdc.Publish{Private: true, Name: pdc.EventSafeMode}.Message(x.dia)
			post := pdc.DescribePost{Token: []byte{1}, Flags: pdc.DescribeSystem, Protobuf: true, Payload: describe.AppendProto(nil)}.Message(x.dia)
			if first == "event" {
				x.receive(event)
				if e, _ := effectOf[SafeMode](x); e.Known {
					t.Errorf("got %+v", e)
				}
				x.receive(post)
			} else {
				x.receive(post)
				x.receive(event)
			}
			e, ok := effectOf[SafeMode](x)
			if !ok || !e.Known || len(e.Missing) != 1 || e.Missing[0].Version != 6200 {
				t.Errorf("got %+v, want system part 6200 missing", e)
			}
			if !x.d.SafeMode() {
				t.Error("the device is not known to be in safe mode")
			}
		})
	}
}

// The vector of PDC-3.7: vitals with an item that failed.
func TestVitals(t *testing.T) {
	x := newCloudTest(t, boron62, nil)
	x.hello(0)
	x.run(func(out *Out) { x.d.RequestVitals(x.now, 1, out) })
	s := x.lastSend(pdc.KindDescribeRequest)
	x.ack(s, coap.Message{})
	x.receive(coap.Message{Code: coap.Content, Token: s.Message.Token, Payload: gen.Hex("0004000200040006003930000002 00e0280100 1380 2effffff")})
	if e, ok := effectOf[Vitals](x); !ok || len(e.Metrics) != 3 {
		t.Errorf("got %+v", x.effects)
	}
}

// Two devices that differ in their modems only share a describe, and each tells
// its own modem, after a restart of the cloud too.
func TestModem(t *testing.T) {
	share := newTestShare()
	var all []*cloudTest
	for _, imei := range []string{"353000000000001", "353000000000002"} {
		for _, dia := range []pdc.Dialect{boron54, boron62} {
			x := newCloudTest(t, dia, func(c *Config) { c.Share = share })
			x.hello(0)
			s := systemDescribe(boron62, nil)
			s.IMEI, s.ICCID, s.ModemFirmware = imei, "8934"+imei, "L0.0.00"
			x.describe(brewing, s)
			x.restart()
			got := x.d.Describe().System
			if got.IMEI != s.IMEI || got.ICCID != s.ICCID || got.ModemFirmware != s.ModemFirmware || len(got.Modules) != 3 {
				t.Errorf("got %+v, want the modem of %+v", got, s)
			}
			all = append(all, x)
		}
	}
	for _, x := range all {
		if x.d.profile.describe != all[0].d.profile.describe {
			t.Error("two equal devices hold two copies")
		}
	}
}
