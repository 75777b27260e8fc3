package dtls

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/fixtures"
)

// udpCaptures returns the DTLS recordings.
func udpCaptures() (all []*fixtures.Capture) {
	for _, c := range fixtures.Captures() {
		if c.Transport == "udp" {
			all = append(all, c)
		}
	}
	return all
}

// An attempt is the part of a recording that belongs to one client_random: a
// handshake and the session that came of it.
type attempt struct {
	capture *fixtures.Capture
	session *fixtures.Session // nil when none came of it
	items   []fixtures.Item
}

// attempts splits a recording.
func attempts(c *fixtures.Capture) (all []*attempt) {
	var random []byte
	for _, item := range c.Items {
		if item.Op == fixtures.OpUp {
			if h, _, why := peekHello(item.Data); why == DropNone && !bytes.Equal(h.random[:], random) {
				random = bytes.Clone(h.random[:])
				a := &attempt{capture: c}
				for i := range c.Sessions {
					if bytes.Equal(c.Sessions[i].ClientRandom, random) {
						a.session = &c.Sessions[i]
					}
				}
				all = append(all, a)
			}
		}
		if len(all) > 0 {
			last := all[len(all)-1]
			last.items = append(last.items, item)
		}
	}
	return all
}

// generation returns the generation of the recorded device.
func generation(c *fixtures.Capture) Generation {
	switch c.DeviceOS[0] {
	case '1':
		return GenD
	case '2':
		return GenE
	default:
		return GenF
	}
}

// mark returns how the recorded device marks a moved session.
func mark(c *fixtures.Capture) Mark {
	switch c.DeviceOS[0] {
	case '1', '2':
		return Mark254
	case '3':
		return Mark25
	default:
		return Mark253
	}
}

func keysOf(s *fixtures.Session) Keys {
	return KeysFromBlock((*[keyBlockSize]byte)(s.KeyBlock), s.CID, nil)
}

// plain reports whether a datagram begins in epoch 0.
func plain(datagram []byte) bool {
	h, err := PeekHeader(datagram)
	return err == nil && h.Epoch == 0
}

// sortedRecords returns the records of datagrams in no particular order, as
// text.
func sortedRecords(t testing.TB, datagrams [][]byte) (all []string) {
	t.Helper()
	for _, datagram := range datagrams {
		records, rest, err := SplitRecords(datagram, CIDSize)
		if err != nil {
			t.Fatalf("%v: %x", err, rest)
		}
		for _, r := range records {
			all = append(all, fmt.Sprintf("%x", r))
		}
	}
	slices.Sort(all)
	return all
}

// Every record of the recorded firmware decrypts with the recorded keys, and
// its type and content are what the independent decoder found.
func TestCaptureRecordsOpen(t *testing.T) {
	count := 0
	for _, c := range udpCaptures() {
		t.Run(c.Name, func(t *testing.T) {
			var openers []*Opener
			for i := range c.Sessions {
				openers = append(openers, NewOpener(DeviceOS, keysOf(&c.Sessions[i])))
			}
			for _, item := range c.Wire() {
				count += openItem(t, openers, item)
			}
		})
	}
	if count < 2000 {
		t.Errorf("%d records opened, want thousands", count)
	}
}

// openItem compares one datagram with its comments and returns the number of
// records opened.
func openItem(t *testing.T, openers []*Opener, item fixtures.Item) (opened int) {
	t.Helper()
	records, _, _ := SplitRecords(item.Data, CIDSize)
	for i, want := range item.Records() {
		if i >= len(records) {
			t.Fatalf("%v: record %d is missing in %x", item.At, i, item.Data)
		}
		h, err := PeekHeader(records[i])
		if err != nil {
			t.Fatalf("%v: %v", item.At, err)
		}
		if byte(h.Type) != want.Type || h.Epoch != want.Epoch || h.Sequence != want.Sequence || !bytes.Equal(h.CID.Bytes(), want.CID) {
			t.Errorf("%v: header %+v, want %+v", item.At, h, want)
		}
		if want.Epoch == 0 || !want.Decrypted {
			continue
		}
		plaintext, err := []byte(nil), error(nil)
		for _, o := range openers {
			var typ ContentType
			if typ, plaintext, err = o.Open(item.Op == fixtures.OpUp, records[i]); err == nil {
				opened++
				if (typ == TypeApplication) != (want.Plaintext != nil) {
					t.Errorf("%v: type %v, want plaintext %x", item.At, typ, want.Plaintext)
				}
				break
			}
		}
		if err != nil {
			t.Errorf("%v: %v", item.At, err)
		} else if want.Plaintext != nil {
			wantBytes(t, item.At.String(), plaintext, want.Plaintext)
		}
	}
	return opened
}

// Both sides of every recorded session, reproduced byte for byte: a cloud that
// is fed the device's datagrams delivers what the decoder found in them, a device
// that is fed the cloud's does too, and what each of them seals is the recorded
// datagram, with the marks of moved sessions coming and going by themselves.
func TestCaptureSessionsReplay(t *testing.T) {
	for _, c := range udpCaptures() {
		for i, a := range attempts(c) {
			if a.session != nil {
				t.Run(fmt.Sprintf("%s/%d", c.Name, i+1), func(t *testing.T) { newReplay(t, a).run() })
			}
		}
	}
}

// A replay is a recorded session being lived through again.
type replay struct {
	t             *testing.T
	a             *attempt
	device, cloud *Session
	moved         bool // the device's source port changed: a resume
	// waiting are datagrams of the cloud that the device has not processed yet.
	// The recording has the order on the wire; a device that is about to send
	// several messages reads the answer to the first after the last.
	waiting []fixtures.Item
	out     Out
}

// maxWait is how long a recorded device may leave a datagram unread.
const maxWait = 100 * time.Millisecond

func newReplay(t *testing.T, a *attempt) *replay {
	keys := keysOf(a.session)
	id := [DeviceIDSize]byte(a.capture.DeviceID)
	r := &replay{t: t, a: a, device: &Session{gen: generation(a.capture), sends: mark(a.capture), deviceID: id}, cloud: &Session{server: true, gen: GenF, deviceID: id}}
	r.device.setKeys(&keys)
	r.cloud.setKeys(&keys)
	return r
}

func (r *replay) run() {
	for _, item := range r.a.items {
		switch {
		case item.Op == fixtures.OpNote:
			r.moved = r.moved || strings.HasPrefix(item.Text, "device source port changed")
		case item.Op == fixtures.OpUp && !plain(item.Data):
			r.fromDevice(item)
		case item.Op == fixtures.OpDown && len(item.Data) == len(StaleSession()):
			r.stale(item)
		case item.Op == fixtures.OpDown && !plain(item.Data):
			r.one(item, r.cloud)
			r.waiting = append(r.waiting, item)
		default:
			// The handshake, whose records of epoch 1 also count.
			r.skip(item)
		}
	}
}

// fromDevice takes a datagram of the device.
func (r *replay) fromDevice(item fixtures.Item) {
	r.t.Helper()
	typ := ContentType(item.Data[0])
	marked := typ == TypeMovedTrailer || typ == TypeMovedCID
	if r.moved || marked && r.a.capture.Scenario == "session-mbedtls" && len(r.waiting) > 0 {
		// A device that restores its session; the port also changes in front of
		// a handshake, but then nothing of this session follows. The mbedTLS
		// files do not note it.
		r.deviceReads()
		r.device.Move()
		r.moved = false
	}
	if !marked {
		r.deviceReads()
	} else if len(r.waiting) > 0 && item.At-r.waiting[0].At > maxWait {
		r.t.Errorf("%v: still marked, although the cloud answered at %v", item.At, r.waiting[0].At)
	}
	r.one(item, r.device)
	r.receive(item, r.cloud)
}

// stale lets the device read the datagram that ends its session, if it is old
// enough.
func (r *replay) stale(item fixtures.Item) {
	r.t.Helper()
	wantBytes(r.t, "stale session", StaleSession(), item.Data)
	if r.device.Over() {
		return
	}
	r.out.Reset()
	r.device.Receive(bytes.Clone(item.Data), &r.out)
	if r.device.Generation() <= GenD {
		if e := event(r.t, &r.out, EventClosed); !errors.Is(e.Err, ErrTruncated) {
			r.t.Errorf("closed by %v, want %v", e.Err, ErrTruncated)
		}
	} else if e := event(r.t, &r.out, EventDropped); e.Reason != DropTruncated {
		r.t.Errorf("dropped for %v", e.Reason)
	}
}

// deviceReads lets the device process what waits for it.
func (r *replay) deviceReads() {
	r.t.Helper()
	for _, item := range r.waiting {
		r.receive(item, r.device)
	}
	r.waiting = nil
}

// skip takes the sequence numbers of a Finished behind records of epoch 0.
func (r *replay) skip(item fixtures.Item) {
	sender := r.cloud
	if item.Op == fixtures.OpUp {
		sender = r.device
	}
	if h, err := PeekProtected(item.Data); err == nil && h.Epoch == 1 {
		sender.sendNext = h.Sequence + 1
	}
}

// content returns what the recorded record holds, nil when the header does not
// know its session.
func (r *replay) content(item fixtures.Item) (ContentType, []byte) {
	want := item.Records()
	if len(want) != 1 || !want[0].Decrypted {
		return 0, nil // the 15-byte datagram, or another session
	}
	if want[0].Plaintext != nil {
		return TypeApplication, want[0].Plaintext
	}
	typ, plaintext, err := NewOpener(DeviceOS, keysOf(r.a.session)).Open(item.Op == fixtures.OpUp, item.Data)
	if err != nil {
		r.t.Errorf("%v: %v", item.At, err)
	}
	return typ, plaintext
}

// one lets sender seal one recorded datagram.
func (r *replay) one(item fixtures.Item, sender *Session) {
	r.t.Helper()
	typ, plaintext := r.content(item)
	if plaintext == nil {
		return
	}
	if typ == TypeHandshake {
		sender.sendNext = item.Records()[0].Sequence // a Finished in a datagram of its own
	}
	got, err := sender.Seal(nil, typ, plaintext)
	if err != nil {
		r.t.Fatal(err)
	}
	wantBytes(r.t, item.At.String()+" sealed", got, item.Data)
}

// receive lets receiver open one recorded datagram.
func (r *replay) receive(item fixtures.Item, receiver *Session) {
	r.t.Helper()
	typ, plaintext := r.content(item)
	if plaintext == nil || receiver.Over() { // the recorded cloud speaks on after close_notify
		return
	}
	r.out.Reset()
	arrival := receiver.Receive(bytes.Clone(item.Data), &r.out)
	if !arrival.Authentic || !arrival.Newest {
		r.t.Errorf("%v: %+v, %s", item.At, arrival, describe(&r.out))
	}
	if typ == TypeApplication {
		wantBytes(r.t, item.At.String()+" opened", event(r.t, &r.out, EventApplication).Data, plaintext)
	}
}
