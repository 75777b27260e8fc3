package capture

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/transport"
)

func decoded(c *fixtures.Capture, options ...func(*Config)) []*trace.Packet {
	d, got := newTestDecoder(options...)
	addSecrets(d, c)
	feed(d, c)
	d.Flush()
	return got.packets
}

// TestResumes finds each resume of the recordings, and nothing else.
func TestResumes(t *testing.T) {
	for _, test := range []struct {
		name  string
		kinds []pdc.Kind
		types []dtls.ContentType
	}{
		{"v1.4.4-udp-resume", []pdc.Kind{pdc.KindHello}, []dtls.ContentType{254}},
		{"v2.3.0-udp-resume", []pdc.Kind{pdc.KindPing}, []dtls.ContentType{254}},
		{"v3.1.0-udp-resume", []pdc.Kind{pdc.KindPing}, []dtls.ContentType{25}},
		{"v6.2.0-udp-resume", []pdc.Kind{pdc.KindPing}, []dtls.ContentType{253}},
		{"v3.1.0-udp-restart", []pdc.Kind{pdc.KindPing}, []dtls.ContentType{25}},
		{"v6.2.0-udp-restart", []pdc.Kind{pdc.KindPing}, []dtls.ContentType{253}},
		{"v6.2.0-udp-lost-silent", []pdc.Kind{pdc.KindPing, pdc.KindPing, pdc.KindPing}, []dtls.ContentType{253, 253, 253}},
		{"v6.2.0-udp-resume-noack", []pdc.Kind{pdc.KindPing}, []dtls.ContentType{253}},
		{"v6.2.0-udp-session", nil, nil},
	} {
		var kinds []pdc.Kind
		var types []dtls.ContentType
		for _, p := range decoded(fixtures.ByName(test.name)) {
			if p.Resume {
				kinds = append(kinds, p.Messages()[0].Kind)
				types = append(types, p.Records[0].Type)
				if want := uint32(len(kinds) + 1); p.Connection != want {
					t.Errorf("%s: connection %d, want %d", test.name, p.Connection, want)
				}
			}
		}
		if !slices.Equal(kinds, test.kinds) || !slices.Equal(types, test.types) {
			t.Errorf("%s: got %v %v, want %v %v", test.name, kinds, types, test.kinds, test.types)
		}
	}
}

// TestRetransmissions counts the transmissions of a publish that is never
// acknowledged: the same message in new records.
func TestRetransmissions(t *testing.T) {
	for _, version := range []string{"v1.4.4", "v2.3.0", "v3.1.0"} {
		var repeats []int
		exchanges := map[uint64]bool{}
		for _, p := range decoded(fixtures.ByName(version + "-udp-noack")) {
			for _, m := range p.Messages() {
				if m.Event == "demo" {
					repeats = append(repeats, m.Repeat)
					exchanges[m.Exchange] = true
				}
			}
			if p.Duplicate {
				t.Errorf("%s: %v", version, p)
			}
		}
		if !slices.Equal(repeats, []int{0, 1, 2, 3}) || len(exchanges) != 1 {
			t.Errorf("%s: %v in %d exchanges", version, repeats, len(exchanges))
		}
	}
}

// TestDuplicates shows every datagram twice.
func TestDuplicates(t *testing.T) {
	c := fixtures.ByName("v6.2.0-udp-resume")
	d, got := newTestDecoder()
	addSecrets(d, c)
	all, _ := sightings(c)
	for _, s := range all {
		d.Sight(s)
		d.Sight(s)
	}
	for i, p := range got.packets {
		if p.Duplicate != (i%2 == 1) {
			t.Fatalf("packet %d: %v", i, p)
		}
		for _, m := range p.Messages() {
			if i%2 == 1 && m.Repeat != 1 || m.Exchange == 0 {
				t.Fatalf("packet %d: %v", i, p)
			}
		}
	}
}

// TestSequenceReused lets a device seal another message under a used sequence.
func TestSequenceReused(t *testing.T) {
	keys := dtls.Keys{ClientKey: [16]byte{1}, ServerKey: [16]byte{2}, ClientSalt: [4]byte{3}}
	device := netip.MustParseAddrPort("198.51.100.7:1")
	d, got := newTestDecoder()
	d.AddSession(Session{Keys: keys, DeviceAddress: device, CloudAddress: cloudAddress})
	for _, plaintext := range []string{"\x40\x00\x00\x01", "\x40\x00\x00\x02"} {
		s := dtls.Import(dtls.State{Gen: dtls.GenE, Mark: dtls.Mark25, WriteKey: keys.ClientKey, WriteSalt: keys.ClientSalt})
		wire, err := s.Seal(nil, dtls.TypeApplication, []byte(plaintext))
		if err != nil {
			t.Fatal(err)
		}
		d.Sight(transport.Sighting{Kind: transport.DatagramSeen, Sent: true, Packet: transport.Packet{Local: device, Peer: cloudAddress, Data: wire}})
	}
	if len(got.packets) != 2 || got.packets[0].Records[0].Reused || !got.packets[1].Records[0].Reused || got.packets[1].Duplicate {
		t.Errorf("got %v", got.packets)
	}
}

// TestNoKeys emits everything, sealed, when secrets never come.
func TestNoKeys(t *testing.T) {
	for _, c := range fixtures.Captures() {
		d, got := newTestDecoder(func(cfg *Config) { cfg.HeldPerFlow = 0 })
		feed(d, c)
		d.Flush()
		if want := len(c.Wire()); len(got.packets) != want {
			t.Errorf("%s: %d packets, want %d", c.Name, len(got.packets), want)
		}
		if n := d.Counts(); n.Messages != 0 || n.Held != 0 || n.Rejected != 0 {
			t.Errorf("%s: %+v", c.Name, n)
		}
	}
}

// TestWrongKeys rejects everything.
func TestWrongKeys(t *testing.T) {
	c := fixtures.ByName("v6.2.0-udp-session")
	d, _ := newTestDecoder()
	d.AddSecrets(dtls.Secrets{ClientRandom: [32]byte(c.Sessions[0].ClientRandom)})
	feed(d, c)
	if n := d.Counts(); n.Messages != 0 || n.Rejected == 0 || n.Held != 0 {
		t.Errorf("%+v", n)
	}
}

// TestHeldIsBounded shows many sessions without secrets.
func TestHeldIsBounded(t *testing.T) {
	d, got := newTestDecoder(func(cfg *Config) { cfg.HeldPackets, cfg.HeldPerFlow, cfg.AssociationsMax = 100, 10, 50 })
	wire := 0
	for i, c := range fixtures.Captures() {
		all, _ := sightings(c)
		for _, s := range all {
			s.Local = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), s.Local.Port())
			if len(s.Data) > 0 {
				wire++
			}
			d.Sight(s)
			if n := d.Counts(); n.Held > 100 || n.Associations > 50 {
				t.Fatalf("%+v", n)
			}
		}
	}
	d.Flush()
	if len(got.packets) != wire {
		t.Errorf("%d packets, want %d", len(got.packets), wire)
	}
}

// TestHoldEnds gives up waiting after a while.
func TestHoldEnds(t *testing.T) {
	c := fixtures.ByName("v6.2.0-udp-session")
	d, got := newTestDecoder(func(cfg *Config) { cfg.Hold = time.Second })
	feed(d, c)
	all, _ := sightings(c)
	d.Advance(all[len(all)-1].At.Add(2 * time.Second))
	if len(got.packets) != len(all) {
		t.Errorf("%d packets, want %d", len(got.packets), len(all))
	}
}

// TestReorder shows answers before their questions, as real sockets can.
func TestReorder(t *testing.T) {
	c := fixtures.ByName("v6.2.0-udp-resume")
	d, got := newTestDecoder(func(cfg *Config) { cfg.Reorder = 20 * time.Millisecond })
	addSecrets(d, c)
	all, _ := sightings(c)
	for i := range all {
		all[i].At = all[i].At.Add(time.Duration(i)) // no two at one time
	}
	for i := 0; i+1 < len(all); i += 2 {
		d.Sight(all[i+1])
		d.Sight(all[i])
	}
	d.Flush()
	if n := compare(t, c, got.packets); n == 0 {
		t.Error("no messages")
	}
}

// TestVantage uses the sightings of one end.
func TestVantage(t *testing.T) {
	c := fixtures.ByName("v6.2.0-udp-session")
	for _, vantage := range []Vantage{AtDevice, AtCloud} {
		d, got := newTestDecoder(func(cfg *Config) { cfg.Vantage = vantage })
		addSecrets(d, c)
		all, _ := sightings(c)
		for _, s := range all {
			far := s
			far.Local, far.Peer, far.Sent = s.Peer, s.Local, !s.Sent
			d.Sight(s)
			d.Sight(far)
		}
		compare(t, c, got.packets)
		if n := d.Counts(); int(n.OtherEnd) != len(all) {
			t.Errorf("%+v", n)
		}
	}
}

// TestSegmentation cuts and joins the chunks of a stream.
func TestSegmentation(t *testing.T) {
	c := fixtures.ByName("v6.2.0-tcp-session")
	d, got := newTestDecoder()
	addSecrets(d, c)
	all, _ := sightings(c)
	for _, s := range all {
		if s.Kind != transport.StreamChunk {
			d.Sight(s)
		}
		for data := s.Data; len(data) > 0; data = data[1:] {
			s.Data = data[:1]
			d.Sight(s)
		}
	}
	compare(t, c, got.packets)
}

// TestKeysAlone opens TCP connections with the parties' RSA keys, without any
// secrets of the endpoints.
func TestKeysAlone(t *testing.T) {
	for _, c := range fixtures.Captures() {
		if c.Transport != "tcp" {
			continue
		}
		d, got := newTestDecoder(func(cfg *Config) { cfg.CloudKey = rsaKey(t, c.ServerKey) })
		d.AddDevice(trace.DeviceID(c.DeviceID), c.DeviceSPKI, rsaKey(t, c.DeviceKey))
		feed(d, c)
		if compare(t, c, got.packets) == 0 {
			t.Errorf("%s: no messages", c.Name)
		}
	}
}

// TestRestoredSession decodes a resume whose handshake was not sighted.
func TestRestoredSession(t *testing.T) {
	for _, name := range []string{"v1.4.4-udp-resume", "v2.3.0-udp-resume", "v3.1.0-udp-resume", "v6.2.0-udp-resume"} {
		for _, late := range []bool{false, true} {
			c := fixtures.ByName(name)
			d, got := newTestDecoder()
			block := [40]byte(c.Sessions[0].KeyBlock)
			session := Session{Keys: dtls.KeysFromBlock(&block, c.Sessions[0].CID, nil), Device: trace.DeviceID(c.DeviceID)}
			if !late {
				d.AddSession(session)
			}
			all, _ := sightings(c)
			i := slices.IndexFunc(all, func(s transport.Sighting) bool { return s.Local != all[0].Local })
			for _, s := range all[i:] {
				d.Sight(s)
			}
			if late {
				d.AddSession(session)
			}
			for _, p := range got.packets {
				if len(p.Messages()) != 1 || p.Device != session.Device {
					t.Errorf("%s: %v", name, p)
				}
			}
			if len(got.packets) != len(all)-i {
				t.Errorf("%s: %d packets, want %d", name, len(got.packets), len(all)-i)
			}
		}
	}
}

// A sighting that comes late, behind the answer to it, still opens that answer:
// nothing waits until its time is over.
func TestQuestionBehindItsAnswer(t *testing.T) {
	c := fixtures.ByName("v6.2.0-udp-resume")
	all, _ := sightings(c)
	first := -1
	for i, s := range all {
		if len(s.Data) > 0 && s.Data[0] == byte(dtls.TypeMovedCID) {
			first = i
			break
		}
	}
	if first < 0 || all[first+1].Sent {
		t.Fatal("the recording has no resume that is answered at once")
	}
	all[first], all[first+1] = all[first+1], all[first]
	// The same instant would hide the order.
	all[first].At++
	d, got := newTestDecoder()
	addSecrets(d, c)
	for _, s := range all[:first+2] {
		d.Sight(s)
	}
	last := got.packets[len(got.packets)-1]
	if m := last.Messages(); len(m) != 1 || m[0].Of != pdc.KindPing {
		t.Errorf("the last packet is %v, want the acknowledgement of the ping", last)
	}
}
