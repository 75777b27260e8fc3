package link

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
)

// generations are those of the recorded versions, with the mark of a moved
// session.
var generations = map[string]struct {
	gen  dtls.Generation
	mark dtls.Mark
}{
	"1.4.4": {dtls.GenD, dtls.Mark254},
	"2.3.0": {dtls.GenE, dtls.Mark254},
	"3.1.0": {dtls.GenF, dtls.Mark25},
	"6.2.0": {dtls.GenF, dtls.Mark253},
}

// stateOf returns the state of one side of a recorded session, with nothing sent
// or received.
func stateOf(c *fixtures.Capture, s fixtures.Session, server bool) dtls.State {
	g := generations[c.DeviceOS]
	st := dtls.State{Server: server, Gen: g.gen, Mark: g.mark}
	copy(st.DeviceID[:], c.DeviceID)
	readKey, readSalt, writeKey, writeSalt := s.ServerWriteKey, s.ServerWriteSalt, s.ClientWriteKey, s.ClientWriteSalt
	if server {
		readKey, readSalt, writeKey, writeSalt = writeKey, writeSalt, readKey, readSalt
		st.ReadCID = dtls.NewCID(s.CID)
	} else {
		st.WriteCID = dtls.NewCID(s.CID)
	}
	copy(st.ReadKey[:], readKey)
	copy(st.ReadSalt[:], readSalt)
	copy(st.WriteKey[:], writeKey)
	copy(st.WriteSalt[:], writeSalt)
	return st
}

func newLink(st dtls.State, p *coap.Params, lastID uint16) *Link {
	l := OverDTLS(dtls.Import(st), coap.NewExchange(p, lastID, rand.New(rand.NewPCG(1, 1)), nil))
	return &l
}

// udpCaptures calls f for each recording over UDP that has a session.
func udpCaptures(t *testing.T, f func(t *testing.T, c *fixtures.Capture)) {
	for _, c := range fixtures.Captures() {
		if c.Transport == "udp" && len(c.Sessions) > 0 {
			t.Run(c.Name, func(t *testing.T) { f(t, c) })
		}
	}
}

// plaintexts returns the application data in an item.
func plaintexts(it fixtures.Item) [][]byte {
	var all [][]byte
	for _, r := range it.Records() {
		if r.Plaintext != nil {
			all = append(all, r.Plaintext)
		}
	}
	return all
}

// A Link with the recorded keys opens every recorded application record, of
// both directions, to the recorded message; exactly one session opens it.
func TestRecordedDatagramsOpened(t *testing.T) {
	total := 0
	udpCaptures(t, func(t *testing.T, c *fixtures.Capture) {
		cloud, device := make([]*Link, len(c.Sessions)), make([]*Link, len(c.Sessions))
		for i, s := range c.Sessions {
			cloud[i] = newLink(stateOf(c, s, true), &coap.CloudUDP, 0)
			device[i] = newLink(stateOf(c, s, false), &coap.DeviceUDP, 0)
		}
		for _, it := range c.Wire() {
			want := plaintexts(it)
			if len(want) == 0 {
				continue // handshakes, alerts and what is not a record
			}
			links := cloud
			if it.Op == fixtures.OpDown {
				links = device
			}
			var got [][]byte
			for _, l := range links {
				if l.Over() {
					// By the RST of lost-rst, of which the cloud sends several.
					if want[0][0] == 0x70 {
						got = want
					}
					continue
				}
				var out Out
				arrival := l.Receive(clock.Instant(it.At), bytes.Clone(it.Data), &out)
				before := len(got)
				for _, e := range out.Events {
					if e.Kind == Exchange {
						got = append(got, e.CoAP.Wire)
					}
				}
				if arrival.Authentic != (len(got) > before) {
					t.Errorf("at %v: authentic %v with %d messages", it.At, arrival.Authentic, len(got)-before)
				}
			}
			if !equal(got, want) {
				t.Errorf("at %v: got %x, want %x", it.At, got, want)
			}
			total += len(want)
		}
	})
	if total < 2000 {
		t.Errorf("got %d messages in all, want some 2500", total)
	}
}

func equal(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// A Link that sends a recorded message with the recorded sequence sends the
// recorded bytes: both directions, all marks of moved sessions.
func TestRecordedDatagramsSealed(t *testing.T) {
	total, moved := 0, 0
	udpCaptures(t, func(t *testing.T, c *fixtures.Capture) {
		for _, it := range c.Wire() {
			records := it.Records()
			if len(records) != 1 || records[0].Plaintext == nil {
				continue
			}
			r := records[0]
			found := false
			for _, s := range c.Sessions {
				st := stateOf(c, s, it.Op == fixtures.OpDown)
				st.SendNext = r.Sequence
				l := newLink(st, &coap.CloudUDP, 0)
				if r.Type >= 253 {
					l.DTLS().Move()
				}
				var out Out
				l.SendRaw(r.Plaintext, &out)
				found = found || bytes.Equal(out.Packets[0], it.Data)
			}
			if !found {
				t.Errorf("at %v: no session makes %x of %x", it.At, it.Data, r.Plaintext)
			}
			total++
			if r.Type >= 253 {
				moved++
			}
		}
	})
	if total < 2000 || moved < 100 {
		t.Errorf("got %d messages, %d of moved sessions, in all", total, moved)
	}
}

// The recorded close_notify of a cloud: the Link sends the same bytes, and a
// device's Link is over when it receives them.
func TestRecordedClose(t *testing.T) {
	total := 0
	udpCaptures(t, func(t *testing.T, c *fixtures.Capture) {
		for _, it := range c.Wire() {
			r := it.Records()
			if it.Op != fixtures.OpDown || len(r) != 1 || r[0].Type != byte(dtls.TypeAlert) || !r[0].Decrypted {
				continue
			}
			total++
			sent, received := false, false
			for _, s := range c.Sessions {
				st := stateOf(c, s, true)
				st.SendNext = r[0].Sequence
				var out Out
				newLink(st, &coap.CloudUDP, 0).Close(&out)
				sent = sent || len(out.Packets) == 1 && bytes.Equal(out.Packets[0], it.Data)

				out.Reset()
				device := newLink(stateOf(c, s, false), &coap.DeviceUDP, 0)
				device.Receive(0, bytes.Clone(it.Data), &out)
				if !device.Over() {
					continue
				}
				var alert *dtls.AlertError
				e := out.Events[len(out.Events)-1]
				received = e.Kind == Closed && errors.As(e.Err, &alert) && !alert.Local && alert.Description == dtls.CloseNotify
			}
			if !sent || !received {
				t.Errorf("at %v: sent %v, received %v, want true, true", it.At, sent, received)
			}
		}
	})
	if total < 4 {
		t.Errorf("got %d recorded alerts, want at least 4", total)
	}
}
