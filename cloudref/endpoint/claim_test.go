package endpoint

import (
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
)

// C-31: a device with a claim code gets an owner, hears of it, and hears that
// owner's events from then on.
func TestClaim(t *testing.T) {
	b := newBench(t, nil)
	p, friend := b.puppet(1, dtls.GenF), b.puppet(2, dtls.GenF)
	b.register(p, 0)
	b.register(friend, 7)
	code, err := store.NewClaimCode(seed.Bytes(1, "code"))
	if err != nil {
		t.Fatal(err)
	}
	expires := time.Unix(1_700_000_000, 0).Add(time.Hour)
	if err := b.store.PutClaimCode(t.Context(), code, store.AccountID{7}, expires); err != nil {
		t.Fatal(err)
	}
	p.connect()
	friend.connect()
	p.wantAck(p.say(pdc.Subscribe{Filter: "temp"}.Message(p.dialect())))
	friend.wantAck(friend.say(publish(friend, "temp", "1")))
	if len(p.requests(pdc.KindEventDelivery)) != 0 {
		t.Error("a device that nobody claimed hears an account")
	}
	p.wantAck(p.say(publish(p, pdc.EventClaimCode, code)))
	told := p.requests(pdc.KindEventDelivery)
	if len(told) != 1 || !strings.HasPrefix(told[0].Path()[2:], pdc.EventClaimed) {
		t.Fatalf("the device was told %v", told)
	}
	if identity, _ := b.store.Identity(p.id); identity.Owner != (store.AccountID{7}) {
		t.Errorf("owner %v", identity.Owner)
	}
	friend.wantAck(friend.say(publish(friend, "temp", "2")))
	if len(p.requests(pdc.KindEventDelivery)) != 2 {
		t.Error("the device does not hear its new account")
	}
	for _, o := range b.seen {
		if strings.Contains(o.Event.Name+string(o.Event.Data)+o.Detail, code) {
			t.Errorf("the code is in %+v", o)
		}
	}
}

func TestWrongClaimCode(t *testing.T) {
	b, p := connected(t, dtls.GenF, nil)
	p.wantAck(p.say(publish(p, pdc.EventClaimCode, strings.Repeat("x", 63))))
	if len(p.requests(pdc.KindEventDelivery)) != 0 {
		t.Error("a wrong code was confirmed")
	}
	p.wantAck(p.ping())
	if last := b.seen[len(b.seen)-1]; last.What != Refused {
		t.Errorf("observed %+v", last)
	}
}

// C-30: name, address and random characters come back as an event of the same
// name, to a device that listens.
func TestRequestEvents(t *testing.T) {
	_, p := connected(t, dtls.GenF, nil)
	p.wantAck(p.say(pdc.Subscribe{Filter: "particle"}.Message(p.dialect())))
	for name, want := range map[string]func(string) bool{
		"particle/device/name":   func(s string) bool { return s == "puppet" },
		"particle/device/ip":     func(s string) bool { return s == "127.1.0.1" },
		"particle/device/random": func(s string) bool { return len(s) == 40 },
	} {
		p.got = nil
		p.wantAck(p.say(publish(p, name, "")))
		got := p.requests(pdc.KindEventDelivery)
		if len(got) != 1 || got[0].Path() != "E/"+name || !want(string(got[0].Payload)) {
			t.Errorf("%s was answered %v %q", name, got, got[0].Payload)
		}
	}
}
