package dtls

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/protocol/clock"
)

// Our Client, fed with the datagrams of the recorded clouds, sends what the
// recorded devices sent, and when: ClientHellos, Certificate,
// ChangeCipherSpec and alerts byte for byte. ClientKeyExchange and what depends
// on it (CertificateVerify, Finished) can only have the same form, because the
// device's ECDHE scalar was not recorded; for the same reason the handshake ends
// with the first transmission that needs an answer of its own.
func TestCaptureClient(t *testing.T) {
	for _, c := range udpCaptures() {
		for i, a := range attempts(c) {
			t.Run(fmt.Sprintf("%s/%d", c.Name, i+1), func(t *testing.T) { newClientReplay(t, a).run() })
		}
	}
}

// jitter is how much earlier than our timers a recorded device may be, and busy
// how much later: it has to compute, which our Client does in no time.
const (
	jitter = 30 * time.Millisecond
	busy   = 400 * time.Millisecond
)

type clientReplay struct {
	t      *testing.T
	a      *attempt
	client *Client
	failed error
	got    []sentAt
}

type sentAt struct {
	at   clock.Instant
	data []byte
}

func newClientReplay(t *testing.T, a *attempt) *clientReplay {
	hello, _, why := peekHello(a.items[0].Data)
	if why != DropNone {
		t.Fatal(why)
	}
	key, ok := ParseSPKI(a.capture.ServerSPKI)
	if !ok {
		t.Fatal("recorded SPKI")
	}
	return &clientReplay{t: t, a: a, client: NewClient(&ClientConfig{
		Gen: generation(a.capture), Key: derKey(t, a.capture.DeviceKey), ServerKey: key,
		Rand: script(t, hello.random[:], bytes.Repeat([]byte{7}, 32)),
	})}
}

func (r *clientReplay) run() {
	var want []sentAt
	var out Out
	start := clock.Instant(r.a.items[0].At)
	r.client.Start(start, &out)
	r.take(start, &out)
	for _, item := range r.a.items {
		now := clock.Instant(item.At)
		// A recorded device may be a little early.
		r.advance(now - clock.Instant(jitter))
		switch {
		case item.Op == fixtures.OpUp && plain(item.Data):
			want = append(want, sentAt{now, item.Data})
			r.advance(now + clock.Instant(jitter))
		case item.Op == fixtures.OpDown && plain(item.Data) && !r.client.Over():
			if endsHandshake(item.Data) {
				r.compare(want)
				return
			}
			out.Reset()
			r.client.Receive(now, bytes.Clone(item.Data), &out)
			r.take(now, &out)
		case item.Op != fixtures.OpNote:
			r.compare(want)
			return
		}
	}
	r.compare(want)
}

// endsHandshake reports whether a datagram of the cloud belongs to its last
// flight.
func endsHandshake(datagram []byte) bool {
	return ContentType(datagram[0]) == TypeChangeCipherSpec
}

func (r *clientReplay) advance(now clock.Instant) {
	var out Out
	for r.client.Deadline() <= now {
		at := r.client.Deadline()
		out.Reset()
		r.client.Advance(at, &out)
		r.take(at, &out)
	}
}

func (r *clientReplay) take(at clock.Instant, out *Out) {
	for _, datagram := range out.Datagrams {
		r.got = append(r.got, sentAt{at, bytes.Clone(datagram)})
	}
	for _, e := range out.Events {
		if e.Kind == EventFailed {
			r.failed = e.Err
		}
	}
}

func (r *clientReplay) compare(want []sentAt) {
	r.t.Helper()
	if len(r.got) != len(want) {
		r.t.Fatalf("%d datagrams, want %d", len(r.got), len(want))
	}
	for i := range want {
		if d := r.got[i].at.Sub(want[i].at); d > jitter || d < -busy {
			r.t.Errorf("datagram %d: sent at %v, the device at %v", i, r.got[i].at, want[i].at)
		}
		got, want := form(r.t, r.got[i].data), form(r.t, want[i].data)
		if !slices.Equal(got, want) {
			r.t.Errorf("datagram %d:\n got %q\nwant %q", i, got, want)
		}
	}
	if len(want) > 0 && ContentType(want[len(want)-1].data[0]) == TypeAlert && r.failed == nil {
		r.t.Error("the device failed, our Client did not")
	}
}

// form returns the records of a datagram as text: all of those that do not
// depend on the ECDHE key, the form of the others.
func form(t *testing.T, datagram []byte) (all []string) {
	records, _, err := SplitRecords(datagram, CIDSize)
	if err != nil {
		t.Fatalf("%v in %x", err, datagram)
	}
	for _, raw := range records {
		r, _, _ := splitRecord(raw, CIDSize)
		f, _, _ := splitFragment(r.body)
		text := fmt.Sprintf("%v %x", r.typ, raw)
		switch {
		case r.epoch() != 0:
			text = fmt.Sprintf("%v %x cid %x, %d bytes", r.typ, r.number, r.cid, len(r.body))
		case r.typ == TypeHandshake && f.typ == typeClientKeyExchange:
			text = fmt.Sprintf("%x %x", r.number, r.body[:fragmentHeaderSize+2])
		case r.typ == TypeHandshake && f.typ == typeCertificateVerify: // DER has 70 to 72 bytes
			text = fmt.Sprintf("%x %v %d %x", r.number, f.typ, f.seq, f.body[:2])
		}
		all = append(all, text)
	}
	return all
}
