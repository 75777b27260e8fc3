package target

import (
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

// view is what a check sees that has so much time.
func view(t *testing.T, e *Env, d time.Duration) (*Env, *Usage) {
	t.Helper()
	done := make(chan struct{})
	use := &Usage{Deadline: time.Now().Add(d), Done: done}
	t.Cleanup(func() { close(done); use.End() })
	return e.View(e.Groups()[0], use), use
}

// TestPuppetsBeforeForeignCloud plays devices before a cloud on sockets, and gives their
// places back.
func TestPuppetsBeforeForeignCloud(t *testing.T) {
	t.Parallel()
	whole := aForeignCloud(t, nil, nil, "boron@6.2.0", "photon@3.1.0").start(t)
	Each(whole.Devices(), func(d *Device) { d.Bring(t.Context()) })
	for _, device := range whole.Devices() {
		e, use := view(t, whole, patient)
		d, err := e.NewPuppetDevice(device.Profile, 1, Puppetry{})
		if err != nil {
			t.Fatal(err)
		}
		if device.Connected() {
			t.Errorf("%s is connected beside its puppet", device)
		}
		if err := d.Online(); err != nil {
			t.Fatalf("%s: %v", device, err)
		}
		mark := d.Now()
		id := d.Tell(coap.Message{Type: coap.Confirmable})
		acknowledged := func() bool {
			heard := d.Heard(mark)
			return len(heard) > 0 && heard[0].CoAP.Type == coap.Acknowledgement && heard[0].CoAP.ID == id
		}
		if !d.Patient(acknowledged) {
			t.Errorf("%s: a ping brought %v", device, d.Heard(mark))
		}
		if names, tells := d.Functions(); !tells || len(names) == 0 {
			t.Errorf("%s: the API knows the functions %q (%v)", device, names, tells)
		}
		d.Peer.SetAnswer(func(m peer.Message) ([][]byte, bool) {
			result := coap.Message{Type: coap.NonConfirmable, Code: coap.Changed, ID: d.Peer.NextID(), Token: m.CoAP.Token, Payload: []byte{0, 0, 0, 42}}
			return [][]byte{peer.Ack(m), result.Append(nil)}, m.CoAP.Code == coap.POST
		})
		outcome := d.Call(FunctionSum, "x")
		if !d.Patient(func() bool { return outcome.Done }) || outcome.Err != nil || outcome.Int != 42 {
			t.Errorf("%s: a call returned %+v", device, outcome)
		}
		opened := 0
		for _, p := range d.Packets(0) {
			for range p.Messages() {
				opened++
			}
			if p.Device != (trace.DeviceID{}) && p.Device != trace.DeviceID(device.ID) {
				t.Errorf("a packet of %s is said to be of %s", device, p.Device)
			}
		}
		if opened < 4 {
			t.Errorf("%s: %d messages could be read on the wire", device, opened)
		}
		d.Recorded() // nobody knows
		if missing := use.Missing(); len(missing) != 1 || missing[0].Capability != Insight {
			t.Errorf("%s: it missed %v", device, missing)
		}
		device.Bring(t.Context())
		if !device.Connected() {
			t.Errorf("%s does not come back", device)
		}
	}
}

// TestPuppetWithoutTime has a check end that would wait for longer than it may.
func TestPuppetWithoutTime(t *testing.T) {
	t.Parallel()
	whole := aForeignCloud(t, nil, nil, "boron@6.2.0").start(t)
	e, use := view(t, whole, 30*time.Second)
	d, err := e.NewRawDevice(whole.Devices()[0].Profile, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !d.Affords(time.Second) || d.Affords(time.Minute) {
		t.Error("it does not know what time it has")
	}
	if d.Takes(time.Second) != nil || len(use.Missing()) > 0 {
		t.Errorf("a second is too much: %v", use.Missing())
	}
	if d.Takes(4*time.Minute) == nil || len(use.Missing()) != 1 {
		t.Fatal("it has four minutes")
	}
	if got, want := use.Missing()[0].Error(), "it takes 4m0s of waiting at the least, besides what the target takes to answer: give more --patience"; got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
	d.Run(time.Hour) // returns at once
}

// TestPuppetSaysHelloAtOnce plays a device before a cloud that takes long to answer: some
// drop devices that are secured and say nothing, after ten seconds.
func TestPuppetSaysHelloAtOnce(t *testing.T) {
	t.Parallel()
	whole := aForeignCloud(t, nil, nil, "photon@1.4.4").start(t)
	whole.answersIn.Store(int64(paceMax))
	e, _ := view(t, whole, patient)
	d, err := e.NewPuppetDevice(whole.Devices()[0].Profile, 1, Puppetry{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Handshake(); err != nil {
		t.Fatal(err)
	}
	secured := d.Packets(0)
	if wait := d.Now().Sub(secured[len(secured)-1].At); wait >= answerPaces*paceMax {
		t.Errorf("it waited %v for what does not come", wait)
	}
	if err := d.Greet(d.Hello()); err != nil {
		t.Error(err)
	}
}

// The answer to a key is none to a message.
func TestPaceOfTCP(t *testing.T) {
	t.Parallel()
	e := aForeignCloud(t, nil, nil, "photon@1.4.4").start(t)
	d := e.Devices()[0]
	d.Bring(t.Context())
	var at []*trace.Packet
	if err := e.Until(t.Context(), func() bool { at = d.Packets(Mark{}); return len(at) >= 5 }); err != nil {
		t.Fatal(err)
	}
	e.measurePace([]*Device{d})
	var hello, answer *trace.Packet
	for _, p := range at {
		switch {
		case hello == nil && p.Direction == trace.Up && len(p.Messages()) > 0:
			hello = p
		case hello != nil && answer == nil && p.Direction == trace.Down:
			answer = p
		case hello != nil && answer == nil && p.Direction == trace.Up:
			hello = p // the last before the answer
		}
	}
	if answer == nil || e.answersIn.Load() != int64(answer.At.Sub(hello.At)) {
		t.Errorf("measured %v", time.Duration(e.answersIn.Load()))
	}
}

// TestPuppetDescribesItself asks a puppet before a foreign cloud what such clouds ask, long
// behind the Hello.
func TestPuppetDescribesItself(t *testing.T) {
	t.Parallel()
	whole := aForeignCloud(t, nil, nil, "photon@1.4.4").start(t)
	e, _ := view(t, whole, patient)
	d, err := e.NewPuppetDevice(whole.Devices()[0].Profile, 1, Puppetry{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Online(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name            string
		request         pdc.DescribeRequest
		functions, more bool
	}{
		{"all", pdc.DescribeRequest{Token: []byte{1}, NoFlags: true}, true, true},
		{"the application", pdc.DescribeRequest{Token: []byte{1}, Flags: pdc.DescribeApplication}, true, false},
		{"the modules", pdc.DescribeRequest{Token: []byte{1}, Flags: pdc.DescribeSystem}, false, true},
	} {
		m := c.request.Message(d.Dialect)
		m.ID = 7
		replies, handled := d.describesAll(peer.Message{CoAP: m})
		if !handled || len(replies) != 1 {
			t.Fatalf("%s: %d replies", c.name, len(replies))
		}
		text := string(replies[0])
		if strings.Contains(text, `"f":["sum"`) != c.functions || strings.Contains(text, `"m":[{`) != c.more {
			t.Errorf("%s: %q", c.name, text)
		}
	}
}
