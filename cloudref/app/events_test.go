package app

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// C-23, C-24 and the examples of PDC-4.1.
func TestPublish(t *testing.T) {
	for _, test := range []struct {
		name, wire string
		want       Event
	}{
		{"public, no data", "4002f649b1650178", Event{Name: "x", TTL: 60}},
		{"lone marker", "40021015b1450178ff", Event{Name: "x", TTL: 60, Private: true}},
		{"ttl of three bytes", "400297b3b1450c6c616b652d64657074682f31330054 60ff32386d", Event{Name: "lake-depth/1", Data: []byte("28m"), TTL: 21600, Private: true}},
		{"ttl of two bytes", "40021013b1450474656d70320e10ff32312e35", Event{Name: "temp", Data: []byte("21.5"), TTL: 3600, Private: true}},
		{"ttl of none", "40021013b1450474656d7030", Event{Name: "temp", Private: true}},
		{"structured", "40021012b1450474656d7012fde9ffa161761 82a", Event{Name: "temp", Data: gen.Hex("a16176182a"), TTL: 60, Private: true, Content: pdc.FormatStructured}},
		{"slash in one segment", "40021010b14503612f62", Event{Name: "a/b", TTL: 60, Private: true}},
		{"two segments", "40021010b14501610162", Event{Name: "a/b", TTL: 60, Private: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := newCloudTest(t, boron62, nil)
			x.hello(0)
			x.wire(gen.Hex(test.wire)...)
			x.wantReply(coap.Empty, 0)
			if len(x.publish) != 1 {
				t.Fatalf("published %v", x.publish)
			}
			got := x.publish[0]
			if got.Name != test.want.Name || string(got.Data) != string(test.want.Data) || got.TTL != test.want.TTL ||
				got.Private != test.want.Private || got.Content != test.want.Content {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

// An event of a later Device OS has a token and wants a response.
func TestPublishWithToken(t *testing.T) {
	x := newCloudTest(t, boron62, nil)
	x.hello(0)
	x.wire(gen.Hex("410210107fb14501 78")...)
	x.wantReply(coap.Changed, 1)
}

// C-28: too much is refused with a 4.00 without a token.
func TestRefusedEventsAndSubscriptions(t *testing.T) {
	x := newCloudTest(t, boron62, func(c *Config) { c.SubscriptionsMax = 2 })
	x.hello(0)
	x.receive(pdc.Publish{Private: true, Name: strings.Repeat("n", 65)}.Message(x.dia))
	x.wantReply(coap.BadRequest, 0)
	if len(x.publish) > 0 {
		t.Error("published")
	}
	for i, want := range []coap.Code{coap.Empty, coap.Empty, coap.BadRequest} {
		x.receive(pdc.Subscribe{Filter: fmt.Sprint(i)}.Message(x.dia))
		x.wantReply(want, 0)
	}
	x.receive(pdc.Subscribe{Filter: "1"}.Message(x.dia)) // again
	x.wantReply(coap.Empty, 0)
}

// C-31: the code reaches the cloud, not the stream of events.
func TestClaim(t *testing.T) {
	x := newCloudTest(t, boron62, nil)
	x.hello(0)
	code := strings.Repeat("c", 63)
	x.receive(pdc.Publish{Private: true, Name: pdc.EventClaimCode, Data: []byte(code)}.Message(x.dia))
	if e, ok := effectOf[Claimed](x); !ok || e.Code != code || len(x.publish) > 0 {
		t.Errorf("got %+v, published %v", x.effects, x.publish)
	}
	x.run(func(out *Out) { x.d.ConfirmClaim(x.now, out) })
	e, err := pdc.ParseEventDelivery(x.lastSend(pdc.KindEventDelivery).Message)
	if err != nil || !strings.HasPrefix(e.Name, pdc.EventClaimed) || len(e.Data) == 0 {
		t.Errorf("sent %+v, %v", e, err)
	}
}

// C-39: up to 2.x an event tells how large an image may be.
func TestMaxBinary(t *testing.T) {
	x := newCloudTest(t, photon23, nil)
	x.hello(0)
	publish := func(data string) {
		x.receive(pdc.Publish{Private: true, Name: pdc.EventMaxBinary, Data: []byte(data)}.Message(x.dia))
	}
	publish("125000")
	if got := x.d.target().MaxSize; got != 125000 || x.saved != SaveSession {
		t.Errorf("got %d, saved %b", got, x.saved)
	}
	publish("-7")
	if got := x.d.target().MaxSize; got != 125000 {
		t.Errorf("got %d from nonsense", got)
	}
}

// C-25 and PDC-4.3: each version gets the form that it understands, and only
// what it subscribed to.
func TestDelivery(t *testing.T) {
	sub := func(filter string, kind pdc.HandlerType) pdc.Subscribe {
		return pdc.Subscribe{Filter: filter, Type: kind}
	}
	for _, test := range []struct {
		name    string
		dia     pdc.Dialect
		subs    []pdc.Subscribe
		content pdc.ContentFormat
		want    string // options behind the path in hexadecimal, "none" for no delivery
	}{
		{"old, text", boron54, []pdc.Subscribe{sub("te", 0)}, pdc.FormatText, ""},
		{"old, binary", boron54, []pdc.Subscribe{sub("te", 0)}, pdc.FormatOctetStream, ""},
		{"new, text", boron62, []pdc.Subscribe{sub("te", pdc.HandlerText)}, pdc.FormatText, ""},
		{"new, binary", boron62, []pdc.Subscribe{sub("te", pdc.HandlerBinary)}, pdc.FormatOctetStream, "112a"},
		{"new, structured", boron62, []pdc.Subscribe{sub("te", pdc.HandlerStructured)}, pdc.FormatStructured, "113c"},
		{"both kinds", boron62, []pdc.Subscribe{sub("te", pdc.HandlerBinary), sub("temp", pdc.HandlerStructured)}, pdc.FormatStructured, "113c"},
		{"binary only", boron62, []pdc.Subscribe{sub("te", pdc.HandlerBinary)}, pdc.FormatStructured, "12fde9"},
		{"another name", boron62, []pdc.Subscribe{sub("tempest", 0)}, pdc.FormatText, "none"},
		{"everything", boron62, []pdc.Subscribe{sub("", 0)}, pdc.FormatText, ""},
		{"nothing", boron62, nil, pdc.FormatText, "none"},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := newCloudTest(t, test.dia, nil)
			x.hello(0)
			for _, s := range test.subs {
				x.receive(s.Message(x.dia))
			}
			x.run(func(out *Out) {
				x.d.Deliver(x.now, Event{Name: "temp", Data: []byte{1}, Content: test.content, Private: true, TTL: 3600}, DeviceID{}, out)
			})
			if test.want == "none" {
				if len(x.sends) > 0 {
					t.Errorf("delivered %v", x.sends)
				}
				return
			}
			wire := hex.EncodeToString(x.lastSend(pdc.KindEventDelivery).Message.Append(nil))
			if got, want := wire[8:], "b1450474656d70"+test.want+"ff01"; got != want {
				t.Errorf("sent %s, want %s", got, want)
			}
		})
	}
}

// PDC-4.2: a subscription to one device takes that device's events only.
func TestSubscriptionToOneDevice(t *testing.T) {
	x := newCloudTest(t, boron54, nil)
	x.hello(0)
	friend := DeviceID{1, 2, 3}
	x.receive(pdc.Subscribe{Filter: "t", Scope: pdc.ScopeOneDevice, DeviceID: friend}.Message(x.dia))
	for publisher, want := range map[DeviceID]int{friend: 1, {}: 0, {9}: 0} {
		x.run(func(out *Out) { x.d.Deliver(x.now, Event{Name: "temp", Data: []byte("1")}, publisher, out) })
		if len(x.sends) != want {
			t.Errorf("from %x: %d deliveries, want %d", publisher, len(x.sends), want)
		}
	}
}

// C-26: a board would read a null pointer.
func TestUpdateEventsAlwaysHaveData(t *testing.T) {
	x := newCloudTest(t, boron62, nil)
	x.hello(0)
	x.receive(pdc.Subscribe{Filter: "particle"}.Message(x.dia))
	for _, name := range []string{pdc.EventUpdatesForced, pdc.EventUpdatesPending} {
		x.run(func(out *Out) { x.d.Deliver(x.now, Event{Name: name}, DeviceID{}, out) })
		s := x.lastSend(pdc.KindEventDelivery)
		if len(s.Message.Payload) == 0 {
			t.Errorf("%s was sent without data", name)
		}
		x.ack(s, coap.Message{})
	}
}

// C-30 is answered where the device subscribed to the answer.
func TestRequestEvents(t *testing.T) {
	x := newCloudTest(t, boron62, nil)
	x.hello(0)
	x.run(func(out *Out) { x.d.AnswerRequest(x.now, pdc.EventName, []byte("lamp"), out) })
	if len(x.sends) > 0 {
		t.Error("answered a device that does not listen")
	}
	x.receive(pdc.Subscribe{Filter: "spark"}.Message(x.dia))
	x.run(func(out *Out) { x.d.AnswerRequest(x.now, pdc.EventName, []byte("lamp"), out) })
	if e, err := pdc.ParseEventDelivery(x.lastSend(pdc.KindEventDelivery).Message); err != nil || e.Name != pdc.EventName || string(e.Data) != "lamp" {
		t.Errorf("sent %+v, %v", e, err)
	}
}

// C-13: a resumed device has its describe and its subscriptions, in this life
// of the cloud and in the next.
func TestResume(t *testing.T) {
	x := brewer(t, boron62, nil)
	x.receive(pdc.Subscribe{Filter: "te"}.Message(x.dia))
	x.run(func(out *Out) { x.d.Lost(x.now, out) })
	x.run(func(out *Out) { x.d.Resumed(x.now, out) })
	x.wantServed()
	x.restart()
	if x.d.Ready() {
		t.Error("ready before anything was heard")
	}
	x.run(func(out *Out) {
		if !x.d.Resumed(x.now, out) {
			t.Error("the state is lost")
		}
	})
	x.wantServed()
}

// restart replaces the device by what was stored of it.
func (x *cloudTest) restart() {
	x.t.Helper()
	d, err := Restore(x.d.ID(), &x.c, x.d.AppendState(SaveSession, nil), x.d.AppendState(SaveDescribe, nil))
	if err != nil {
		x.t.Fatal(err)
	}
	x.d = d
}

func (x *cloudTest) wantServed() {
	x.t.Helper()
	x.call(1, "")
	x.ack(x.lastSend(pdc.KindFunctionCall), coap.Message{})
	x.run(func(out *Out) { x.d.Deliver(x.now, Event{Name: "temp", Data: []byte("1")}, DeviceID{}, out) })
	x.ack(x.lastSend(pdc.KindEventDelivery), coap.Message{})
}

// Without stored state a resumed session must end (TRN-4.5).
func TestResumeWithoutState(t *testing.T) {
	x := newCloudTest(t, boron62, nil)
	x.run(func(out *Out) {
		if x.d.Resumed(x.now, out) {
			t.Error("a device that is not known resumed")
		}
	})
}

// C-51, C-52, C-10 and the examples of PDC-8.9.
func TestLedger(t *testing.T) {
	x := newCloudTest(t, boron62, nil)
	x.hello(0)
	x.wire(gen.Hex("410210a0d1b14cff080112080a066d7964617461")...)
	if got := hex.EncodeToString(x.replies[0].Append(nil)); got != "614410a0d1ff1a00" {
		t.Errorf("GetInfo was answered %s", got)
	}
	// SetData of 5000 bytes in five blocks.
	call := pdc.LedgerCall{Method: pdc.LedgerSetData, Ledgers: []pdc.LedgerRef{{Name: "mydata", ScopeID: []byte{1}}}, Data: make([]byte, 5000)}
	body := call.Append(nil)
	last := (len(body) - 1) / 1024
	for num := range last + 1 {
		end := min(len(body), (num+1)*1024)
		x.receive(pdc.LedgerRequest{
			Token: []byte{byte(num)}, RequestTag: []byte{0, 0, 0, 1}, Payload: body[num*1024 : end],
			Block1: &coap.Block{Num: uint32(num), More: num < last, SZX: 6},
		}.Message(x.dia))
		if num < last {
			x.wantReply(coap.Continue, 1)
			continue
		}
		r := x.replies[0]
		if r.Code == coap.Content || !coap.IsSuccess(r.Code) && r.Code != coap.NotFound {
			t.Errorf("SetData was answered %v", r)
		}
	}
	if x.d.work != nil {
		t.Error("something is left of the upload")
	}
	x.receive(pdc.LedgerRequest{
		Token: []byte{9}, RequestTag: []byte{0, 0, 0, 2}, Payload: make([]byte, 1024),
		Block1: &coap.Block{More: true, SZX: 6},
	}.Message(x.dia))
	x.wait(61 * time.Second)
	if x.d.work != nil {
		t.Error("a partial upload is kept for ever")
	}
}

// Equal devices share what they have alike.
func TestSharing(t *testing.T) {
	share := newTestShare()
	var first *cloudTest
	for range 2 {
		x := brewer(t, boron62, func(c *Config) { c.Share = share })
		x.receive(pdc.Subscribe{Filter: "te"}.Message(x.dia))
		if first == nil {
			first = x
			continue
		}
		if x.d.Describe() != first.d.Describe() || x.d.Subscriptions() != first.d.Subscriptions() {
			t.Error("two equal devices hold two copies")
		}
	}
}

func TestEverythingHasWords(t *testing.T) {
	for r := Reason(1); r < numReasons; r++ {
		if r.String() == "" || r.String() == "no reason" {
			t.Errorf("reason %d has no words", r)
		}
	}
	for s := FlashStage(1); s < numFlashStages; s++ {
		if s.String() == "" || s.String() == "none" {
			t.Errorf("stage %d has no words", s)
		}
	}
}
