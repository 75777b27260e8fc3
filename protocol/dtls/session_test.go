package dtls

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/muster/muster/protocol/seed"
)

// pair returns the two ends of an established session of generation gen. It
// makes no handshake, so that tests may ask for many.
func pair(gen Generation) (device, cloud *Session) {
	var keys Keys
	rng := seed.Bytes(uint64(gen), "pair")
	for _, b := range [][]byte{keys.ClientKey[:], keys.ServerKey[:], keys.ClientSalt[:], keys.ServerSalt[:]} {
		draw(rng, b)
	}
	if gen == GenF {
		keys.ClientCID = NewCID([]byte("muster 1"))
	}
	device = &Session{gen: gen, sends: MarkDefault.resolve(gen), deviceID: testDeviceID, sendNext: 1}
	cloud = &Session{server: true, gen: GenF, deviceID: testDeviceID, sendNext: 1}
	device.setKeys(&keys)
	cloud.setKeys(&keys)
	// As after the handshake: the Finished messages had sequence 0.
	device.received.mark(0)
	cloud.received.mark(0)
	return device, cloud
}

func seal(t testing.TB, s *Session, typ ContentType, plaintext []byte) []byte {
	t.Helper()
	datagram, err := s.Seal(nil, typ, plaintext)
	if err != nil {
		t.Fatal(err)
	}
	return datagram
}

// sealAt seals with a given sequence, like a peer whose records were delayed.
func sealAt(t testing.TB, s *Session, sequence uint64) []byte {
	t.Helper()
	next := s.sendNext
	s.sendNext = sequence
	datagram := seal(t, s, TypeApplication, []byte("late"))
	s.sendNext = next
	return datagram
}

// A reaction is what an abnormal datagram does to a device (transport
// reference, Section 2.11).
type reaction struct {
	alert AlertDescription // sent, 0 for none
	ends  error            // the session, nil when it goes on
}

var ignored = reaction{}

// The table of reactions, generation by generation.
func TestDeviceReactions(t *testing.T) {
	reset := reaction{ends: ErrTruncated}
	alert10 := reaction{alert: UnexpectedMessage}
	upTo := func(gen Generation, then, other reaction) [6]reaction {
		var all [6]reaction
		for i, g := range generations {
			if all[i] = other; g <= gen {
				all[i] = then
			}
		}
		return all
	}
	all := func(r reaction) [6]reaction { return upTo(GenF, r, r) }
	for _, test := range []struct {
		name string
		make func(device, cloud *Session) []byte
		want [6]reaction
	}{
		{"replayed record", func(d, c *Session) []byte {
			datagram := seal(t, c, TypeApplication, []byte("once"))
			var out Out
			d.Receive(bytes.Clone(datagram), &out)
			return datagram
		}, all(ignored)},
		{"flipped bit", func(d, c *Session) []byte {
			datagram := seal(t, c, TypeApplication, []byte("text"))
			datagram[25] ^= 4
			return datagram
		}, all(ignored)},
		{"epoch 2", func(d, c *Session) []byte {
			datagram := seal(t, c, TypeApplication, []byte("text"))
			datagram[4] = 2
			return datagram
		}, all(ignored)},
		{"plaintext fatal alert", func(d, c *Session) []byte { return appendRecord(nil, TypeAlert, 9, []byte{2, 40}) }, all(ignored)},
		{"unknown type", func(d, c *Session) []byte {
			datagram := seal(t, c, TypeApplication, []byte("text"))
			datagram[0] = 99
			return datagram
		}, upTo(GenB, alert10, ignored)},
		{"type 25 towards the device", func(d, c *Session) []byte {
			datagram := seal(t, c, TypeApplication, []byte("text"))
			datagram[0] = 25
			return datagram
		}, upTo(GenB, alert10, ignored)},
		{"no bytes", func(d, c *Session) []byte { return nil }, all(ignored)},
		{"1 byte", func(d, c *Session) []byte { return []byte{0} }, all(ignored)},
		{"2 bytes", func(d, c *Session) []byte { return []byte{0x17, 0xfe} }, upTo(GenB, alert10, ignored)},
		{"12 bytes", func(d, c *Session) []byte { return seal(t, c, TypeApplication, []byte("text"))[:12] }, upTo(GenD, reset, ignored)},
		{"truncated", func(d, c *Session) []byte { return seal(t, c, TypeApplication, []byte("text"))[:30] }, upTo(GenD, reset, ignored)},
		{"truncated, epoch 0", func(d, c *Session) []byte {
			datagram := StaleSession()
			datagram[4] = 0
			return datagram
		}, all(ignored)},
		{"length 0", func(d, c *Session) []byte { return appendRecord(nil, TypeApplication, epochOne|5, nil) }, all(ignored)},
		{"length 5", func(d, c *Session) []byte { return appendRecord(nil, TypeApplication, epochOne|5, make([]byte, 5)) }, all(ignored)},
		{"HelloRequest", func(d, c *Session) []byte {
			return seal(t, c, TypeHandshake, appendMessage(nil, typeHelloRequest, 0, nil))
		}, upTo(GenB, ignored, reaction{alert: NoRenegotiation})},
		{"second Finished", func(d, c *Session) []byte {
			return seal(t, c, TypeHandshake, appendMessage(nil, typeFinished, 5, make([]byte, 12)))
		}, all(ignored)},
		{"warning", func(d, c *Session) []byte { return seal(t, c, TypeAlert, []byte{1, 90}) }, all(ignored)},
		{"malformed alert", func(d, c *Session) []byte { return seal(t, c, TypeAlert, []byte{2}) }, all(ignored)},
		{
			"close_notify", func(d, c *Session) []byte { return seal(t, c, TypeAlert, []byte{1, 0}) },
			all(reaction{ends: &AlertError{Level: AlertWarning, Description: CloseNotify}}),
		},
		{
			"fatal alert", func(d, c *Session) []byte { return seal(t, c, TypeAlert, []byte{2, 80}) },
			all(reaction{ends: &AlertError{Level: AlertFatal, Description: InternalError}}),
		},
		{"empty application records", func(d, c *Session) []byte {
			var datagram []byte
			for range 4 {
				datagram = append(datagram, seal(t, c, TypeApplication, nil)...)
			}
			return datagram
		}, all(ignored)},
		{
			"stale session", func(d, c *Session) []byte { return StaleSession() },
			// Generation A asks the window first, where the Finished had sequence 0.
			[6]reaction{ignored, reset, reset, reset, ignored, ignored},
		},
		{"stale session after a restore", func(d, c *Session) []byte {
			d.received = window{}
			return StaleSession()
		}, upTo(GenD, reset, ignored)},
	} {
		for i, gen := range generations {
			t.Run(test.name+"/"+gen.String(), func(t *testing.T) {
				device, cloud := pair(gen)
				var out Out
				device.Receive(test.make(device, cloud), &out)
				checkReaction(t, test.want[i], device, cloud, &out)
			})
		}
	}
}

func checkReaction(t *testing.T, want reaction, device, cloud *Session, out *Out) {
	t.Helper()
	if n := len(application(out)); n > 0 {
		t.Errorf("%d messages delivered", n)
	}
	var sent AlertDescription
	for _, datagram := range out.Datagrams {
		_, content, _, err := cloud.Open(datagram)
		if err != nil || len(content) != 2 {
			t.Fatalf("sent %x: %v", content, err)
		}
		sent = AlertDescription(content[1])
	}
	if sent != want.alert {
		t.Errorf("sent %v, want %v", sent, want.alert)
	}
	if want.ends == nil {
		if device.Over() {
			t.Fatalf("the session ended: %s", describe(out))
		}
		out.Reset()
		device.Receive(seal(t, cloud, TypeApplication, []byte("still there")), out)
		if got := application(out); len(got) != 1 || string(got[0]) != "still there" {
			t.Errorf("afterwards: %s", describe(out))
		}
		return
	}
	e := event(t, out, EventClosed)
	if !device.Over() || fmt.Sprint(e.Err) != fmt.Sprint(want.ends) {
		t.Errorf("closed by %v, want %v", e.Err, want.ends)
	}
}

// By source reading, generations A to D take another version in the header.
func TestDeviceVersionInHeader(t *testing.T) {
	for _, gen := range generations {
		device, cloud := pair(gen)
		datagram := seal(t, cloud, TypeApplication, []byte("text"))
		datagram[2] = 0xff
		var out Out
		device.Receive(datagram, &out)
		if got := len(application(&out)) == 1; got != (gen <= GenD) || device.Over() {
			t.Errorf("%v: delivered %v", gen, got)
		}
	}
}

// R-53, on both sides: the window is 64 wide.
func TestReplayWindow(t *testing.T) {
	for _, gen := range []Generation{GenA, GenF} {
		device, cloud := pair(gen)
		for _, side := range []struct{ from, to *Session }{{device, cloud}, {cloud, device}} {
			for _, step := range []struct {
				sequence uint64
				want     DropReason
				newest   bool
			}{
				{100, DropNone, true},
				{100, DropReplay, false},
				{37, DropNone, false},
				{36, DropReplay, false},
				{37, DropReplay, false},
				{99, DropNone, false},
				{163, DropNone, true},
				{100, DropReplay, false},
				{101, DropNone, false},
				{300, DropNone, true},
				{237, DropNone, false},
				{236, DropReplay, false},
			} {
				var out Out
				a := side.to.Receive(sealAt(t, side.from, step.sequence), &out)
				why := DropNone
				if out.Events[0].Kind == EventDropped {
					why = out.Events[0].Reason
				}
				if why != step.want || a.Newest != step.newest || a.Authentic != (why == DropNone) {
					t.Errorf("%v: sequence %d: %v, %+v", gen, step.sequence, why, a)
				}
			}
		}
	}
}

// whatever is done to a record, the cloud is silent and its session
// stays as it was; and the record itself, tried later, is good.
func TestCloudSurvivesDamage(t *testing.T) {
	for _, gen := range generations {
		for _, moving := range []bool{false, true} {
			device, cloud := pair(gen)
			if moving {
				device.Move()
			}
			good := seal(t, device, TypeApplication, []byte("a message"))
			before := *cloud
			try := func(what string, datagram []byte) {
				t.Helper()
				var out Out
				a := cloud.Receive(datagram, &out)
				if a.Authentic || len(out.Datagrams) > 0 || len(application(&out)) > 0 || cloud.Over() {
					t.Fatalf("%v, %s: %+v, %s, sent %x", gen, what, a, describe(&out), out.Datagrams)
				}
				cloud.forgeries = before.forgeries
				if *cloud != before {
					t.Fatalf("%v, %s: the session changed", gen, what)
				}
			}
			for n := range good {
				try(fmt.Sprintf("cut to %d", n), bytes.Clone(good[:n]))
			}
			for i := range len(good) * 8 {
				flipped := bytes.Clone(good)
				flipped[i/8] ^= 1 << (i % 8)
				try(fmt.Sprintf("bit %d", i), flipped)
			}
			try("garbage behind it", append(bytes.Clone(good), "garbage"...))
			try("long garbage behind it", append(bytes.Clone(good), make([]byte, 100)...))
			var out Out
			cloud.Receive(good, &out)
			wantBytes(t, "the good record", event(t, &out, EventApplication).Data, []byte("a message"))
		}
	}
}

// an inner plaintext of zeros has no type.
func TestInnerPlaintextOfZeros(t *testing.T) {
	device, cloud := pair(GenF)
	var out Out
	for _, n := range []int{0, 15, 31} {
		out.Reset()
		cloud.Receive(seal(t, device, 0, make([]byte, n)), &out)
		if e := event(t, &out, EventDropped); e.Reason != DropInner {
			t.Errorf("%d zeros: %v", n, e.Reason)
		}
	}
	for _, typ := range []ContentType{TypeChangeCipherSpec, TypeCID, 99} {
		out.Reset()
		cloud.Receive(seal(t, device, typ, []byte{1}), &out)
		if e := event(t, &out, EventDropped); e.Reason != DropType {
			t.Errorf("inner type %v: %v", typ, e.Reason)
		}
	}
}

// several records in a datagram, in their order.
func TestSeveralRecords(t *testing.T) {
	for _, gen := range generations {
		device, cloud := pair(gen)
		for _, side := range []struct{ from, to *Session }{{device, cloud}, {cloud, device}} {
			datagram := seal(t, side.from, TypeApplication, []byte("one"))
			datagram = append(datagram, seal(t, side.from, TypeApplication, []byte("two"))...)
			var out Out
			side.to.Receive(datagram, &out)
			if got := application(&out); len(got) != 2 || string(got[0]) != "one" || string(got[1]) != "two" {
				t.Errorf("%v: %s", gen, describe(&out))
			}
		}
	}
}

// nothing of epoch 0 counts any more.
func TestCloudIgnoresPlaintext(t *testing.T) {
	for _, gen := range generations {
		_, cloud := pair(gen)
		for _, datagram := range [][]byte{
			appendRecord(nil, TypeAlert, 7, []byte{2, 40}),
			appendRecord(nil, TypeAlert, 7, []byte{1, 0}),
			appendRecord(nil, TypeApplication, 7, []byte("plain")),
		} {
			var out Out
			cloud.Receive(datagram, &out)
			if e := event(t, &out, EventDropped); e.Reason != DropPlaintext || cloud.Over() {
				t.Errorf("%v: %s", gen, describe(&out))
			}
		}
	}
}

// a trailer must be whole and name the session's device.
func TestTrailer(t *testing.T) {
	device, cloud := pair(GenE)
	device.Move()
	good := seal(t, device, TypeApplication, []byte("moved"))
	if h, err := PeekHeader(good); err != nil || h.DeviceID != testDeviceID || h.Type != TypeMovedTrailer {
		t.Errorf("peek: %+v, %v", h, err)
	}
	for name, damage := range map[string]func(b []byte) []byte{
		"length of the id": func(b []byte) []byte { b[len(b)-1] = 11; return b },
		"another id":       func(b []byte) []byte { b[len(b)-5] ^= 1; return b },
		"one byte more":    func(b []byte) []byte { return append(b, DeviceIDSize) },
		"length field":     func(b []byte) []byte { b[12]++; return b },
		"two records":      func(b []byte) []byte { return append(seal(t, device, TypeAlert, []byte{1, 90}), b...) },
	} {
		var out Out
		a := cloud.Receive(damage(bytes.Clone(good)), &out)
		if a.Authentic || len(application(&out)) > 0 {
			t.Errorf("%s: %s", name, describe(&out))
		}
	}
	var out Out
	if a := cloud.Receive(good, &out); !a.Newest {
		t.Errorf("the good one: %s", describe(&out))
	}
}

// The marks: which records carry them, and when they go.
func TestMarks(t *testing.T) {
	for _, test := range []struct {
		gen              Generation
		mark             Mark
		application, not ContentType // types of marked records on the wire
	}{
		{GenA, MarkDefault, TypeMovedTrailer, TypeAlert},
		{GenE, MarkDefault, TypeMovedTrailer, TypeAlert},
		{GenF, Mark25, TypeCID, TypeCID},
		{GenF, MarkDefault, TypeMovedCID, TypeMovedCID}, // alerts as well
	} {
		device, cloud := pair(test.gen)
		device.sends = test.mark.resolve(test.gen)
		device.Move()
		datagram := seal(t, device, TypeApplication, []byte("one"))
		if typ := ContentType(datagram[0]); typ != test.application || len(datagram) != device.Size(3) {
			t.Errorf("%v %v: type %v, %d bytes, Size says %d", test.gen, test.mark, typ, len(datagram), device.Size(3))
		}
		if typ := ContentType(seal(t, device, TypeAlert, []byte{1, 90})[0]); typ != test.not {
			t.Errorf("%v %v: alert of type %v", test.gen, test.mark, typ)
		}
		var out Out
		device.Receive(seal(t, cloud, TypeAlert, []byte{1, 90}), &out)
		if !device.Moving() {
			t.Errorf("%v: an alert took the mark off", test.gen)
		}
		device.Receive(seal(t, cloud, TypeApplication, nil), &out)
		if device.Moving() {
			t.Errorf("%v: application data did not take the mark off", test.gen)
		}
		if typ := ContentType(seal(t, device, TypeApplication, []byte("two"))[0]); typ == TypeMovedCID || typ == TypeMovedTrailer {
			t.Errorf("%v: still marked", test.gen)
		}
	}
}

// Sizes of Section 3.9 of the transport reference.
func TestSizes(t *testing.T) {
	for _, test := range []struct {
		gen    Generation
		moving bool
		n      int
		want   int
	}{
		{GenF, false, 4, 53},
		{GenF, true, 4, 53},
		{GenF, false, 15, 53},
		{GenF, false, 16, 69},
		{GenF, false, 1152, 1205},
		{GenE, false, 4, 33},
		{GenE, true, 4, 46},
		{GenE, false, 20, 49},
	} {
		device, cloud := pair(test.gen)
		if test.moving {
			device.Move()
		}
		if got := len(seal(t, device, TypeApplication, make([]byte, test.n))); got != test.want || device.Size(test.n) != test.want {
			t.Errorf("%v moving %v: %d bytes make %d, Size says %d, want %d", test.gen, test.moving, test.n, got, device.Size(test.n), test.want)
		}
		if got := len(seal(t, cloud, TypeApplication, make([]byte, test.n))); got != 29+test.n {
			t.Errorf("down: %d bytes make %d", test.n, got)
		}
	}
}

// the send sequence never goes back, whatever happens to the process.
func TestReservation(t *testing.T) {
	_, cloud := pair(GenF)
	if n := cloud.Remaining(); n != 1<<48-1 {
		t.Errorf("%d remaining without a reservation", n)
	}
	cloud.ReserveUntil(3)
	cloud.ReserveUntil(2) // ignored
	stored := cloud.Export()
	for i := range 3 {
		_, err := cloud.Seal(nil, TypeApplication, nil)
		if want := i == 2; want != errors.Is(err, ErrReservation) {
			t.Errorf("record %d: %v", i, err)
		}
	}
	if cloud.Remaining() != 0 || cloud.SendSequence() != 3 {
		t.Errorf("%d remaining, next %d", cloud.Remaining(), cloud.SendSequence())
	}
	cloud.ReserveUntil(100)
	if cloud.Remaining() != 97 {
		t.Errorf("%d remaining", cloud.Remaining())
	}

	again := Import(stored) // kill -9 after the first ReserveUntil
	if again.Remaining() != 0 || again.SendSequence() < 3 {
		t.Errorf("restored: %d remaining, next %d", again.Remaining(), again.SendSequence())
	}
	if _, err := again.Seal(nil, TypeApplication, nil); !errors.Is(err, ErrReservation) {
		t.Errorf("restored: %v", err)
	}
	again.ReserveUntil(200)
	if _, err := again.Seal(nil, TypeApplication, nil); err != nil || again.SendSequence() != 4 {
		t.Errorf("restored: %v, next %d", err, again.SendSequence())
	}
	again.sendNext, again.sendLimit = maxSequence+1, 0
	if _, err := again.Seal(nil, TypeApplication, nil); !errors.Is(err, ErrSequence) {
		t.Errorf("at the end: %v", err)
	}
}

// a stored session goes on where it was, on both sides.
func TestRestore(t *testing.T) {
	for _, gen := range generations {
		device, cloud := pair(gen)
		var out Out
		cloud.Receive(seal(t, device, TypeApplication, []byte("before")), &out)
		old := sealAt(t, device, 1)
		restore := func(s *Session) *Session {
			st := s.Export()
			b := st.Append(nil)
			parsed, err := ParseState(b)
			if err != nil || parsed != st {
				t.Fatalf("%v: parsed %+v, %v, want %+v", gen, parsed, err, st)
			}
			for n := range b {
				if _, err := ParseState(b[:n]); err == nil {
					t.Fatalf("%v: %d of %d bytes parse", gen, n, len(b))
				}
			}
			return Import(parsed)
		}
		device, cloud = restore(device), restore(cloud)
		device.Move()
		out.Reset()
		cloud.Receive(old, &out)
		if e := event(t, &out, EventDropped); e.Reason != DropReplay {
			t.Errorf("%v: the window was lost: %v", gen, e.Reason)
		}
		out.Reset()
		cloud.Receive(seal(t, device, TypeApplication, []byte("after")), &out)
		wantBytes(t, "after", event(t, &out, EventApplication).Data, []byte("after"))
		if device.SendSequence() != 3 {
			t.Errorf("%v: next sequence %d", gen, device.SendSequence())
		}
	}
}

// Closing and forging.
func TestSessionEnds(t *testing.T) {
	device, cloud := pair(GenF)
	closing, err := device.Close(nil)
	if err != nil || !device.Over() {
		t.Fatal(err)
	}
	var out Out
	cloud.Receive(closing, &out)
	if event(t, &out, EventClosed); len(out.Datagrams) > 0 {
		t.Errorf("the cloud answers close_notify with %x", out.Datagrams)
	}
	out.Reset()
	cloud.Receive(seal(t, device, TypeApplication, nil), &out)
	if e := event(t, &out, EventDropped); e.Reason != DropOver {
		t.Errorf("afterwards: %v", e.Reason)
	}

	device, cloud = pair(GenF)
	cloud.forgeries = maxForgeries - 1
	datagram := seal(t, device, TypeApplication, nil)
	datagram[40] ^= 1
	out.Reset()
	cloud.Receive(datagram, &out)
	if e := event(t, &out, EventClosed); !errors.Is(e.Err, ErrForgeries) {
		t.Errorf("closed by %v", e.Err)
	}
}

// Neither Seal nor Open nor Receive allocates once there is a cipher cache.
func TestHotPathDoesNotAllocate(t *testing.T) {
	for _, gen := range []Generation{GenE, GenF} {
		device, cloud := pair(gen)
		out := Out{Ciphers: NewCiphers(16)}
		ciphers := NewCiphers(16)
		buf := make([]byte, 0, 256)
		text := make([]byte, 40)
		if n := testing.AllocsPerRun(100, func() {
			buf, _ = device.SealWith(ciphers, buf[:0], TypeApplication, text)
			out.Reset()
			cloud.Receive(buf, &out)
			buf, _ = cloud.SealWith(ciphers, buf[:0], TypeApplication, text)
			if _, _, _, err := device.OpenWith(ciphers, buf); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v: %v allocations", gen, n)
		}
	}
}

// The faults of the record layer do what they say.
func TestRecordFaults(t *testing.T) {
	for _, test := range []struct {
		name          string
		device, cloud RecordFaults
		setup         func(device, cloud *Session)
		delivered     int
	}{
		{name: "none", delivered: 2},
		{name: "RFC 9146 on one side", device: FaultRFC9146AAD, delivered: 0},
		{name: "RFC 9146 on both sides", device: FaultRFC9146AAD, cloud: FaultRFC9146AAD, delivered: 2},
		{name: "reused sequence", device: FaultReuseSequence, delivered: 1},
		{name: "reused sequence, accepted", device: FaultReuseSequence, cloud: FaultAcceptReplay, delivered: 2},
		{name: "no padding", device: FaultNoPadding, delivered: 2},
		{name: "other nonces", device: FaultRandomNonce, delivered: 2},
		{name: "type in additional data", device: FaultTypeInAAD, setup: func(d, _ *Session) { d.Move() }, delivered: 0},
		{name: "type in additional data, expected", device: FaultTypeInAAD, cloud: FaultTypeInAAD, setup: func(d, _ *Session) { d.Move() }, delivered: 2},
		{name: "bad tags accepted", device: FaultRFC9146AAD, cloud: FaultAcceptBadTag, delivered: 2},
		{name: "first record only", cloud: FaultFirstRecordOnly, delivered: 1},
		{name: "narrow window", cloud: FaultNarrowWindow, setup: func(_, c *Session) { c.received.mark(34) }, delivered: 0},
		{name: "wide window", setup: func(_, c *Session) { c.received.mark(34) }, delivered: 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			device, cloud := pair(GenF)
			device.SetFaults(test.device)
			cloud.SetFaults(test.cloud)
			if test.setup != nil {
				test.setup(device, cloud)
			}
			var out Out
			datagram := seal(t, device, TypeApplication, []byte("text"))
			cloud.Receive(append(datagram, seal(t, device, TypeApplication, []byte("more"))...), &out)
			if n := len(application(&out)); n != test.delivered {
				t.Errorf("%d delivered, want %d: %s", n, test.delivered, describe(&out))
			}
		})
	}
	device, cloud := pair(GenF)
	cloud.SetFaults(FaultCIDDown)
	if typ := ContentType(seal(t, cloud, TypeApplication, nil)[0]); typ != TypeCID {
		t.Errorf("FaultCIDDown: %v", typ)
	}
	cloud.SetFaults(FaultAcceptPlaintext)
	var out Out
	cloud.Receive(appendRecord(nil, TypeAlert, 1, []byte{2, 40}), &out)
	event(t, &out, EventClosed)
	_, cloud = pair(GenF)
	cloud.SetFaults(FaultAlertBadRecord)
	out.Reset()
	datagram := seal(t, device, TypeApplication, nil)
	datagram[50] ^= 1
	if cloud.Receive(datagram, &out); len(out.Datagrams) != 1 {
		t.Errorf("FaultAlertBadRecord: %s", describe(&out))
	}
	device.SetFaults(FaultNoMark)
	device.Move()
	if device.Moving() {
		t.Error("FaultNoMark marks")
	}
	device.SetFaults(FaultKeepMark)
	device.moving = false
	if !device.Moving() {
		t.Error("FaultKeepMark does not mark")
	}
	_, cloud = pair(GenF)
	device, _ = pair(GenF)
	cloud.SetFaults(FaultIgnoreClose)
	cloud.Receive(seal(t, device, TypeAlert, []byte{2, 40}), &out)
	if cloud.Over() {
		t.Error("FaultIgnoreClose ends")
	}
}

// A restored window may lag behind. What lies below a record in the gap was perhaps
// seen, and is taken no more; behind the gap the window is 64 wide again.
func TestCloseGap(t *testing.T) {
	w := window{top: 10, seen: 0b101, gap: 20}
	for _, step := range []struct {
		sequence uint64
		fresh    bool
	}{{9, true}, {8, false}, {15, true}, {14, false}, {9, false}, {25, true}, {24, false}, {100, true}, {70, false}, {101, true}, {99, false}, {300, true}, {299, true}, {237, true}, {236, false}} {
		if got := w.fresh(step.sequence, windowSize); got != step.fresh {
			t.Fatalf("sequence %d with top %d: fresh %v", step.sequence, w.top, got)
		}
		if step.fresh {
			w.mark(step.sequence)
		}
	}
}
