package link

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
)

// A conversation plays one part of a recording with Links: it gives them what
// the other side sent, lets the recorded answers and requests of its own side
// go through Reply and Send, and compares what they send with the wire.
type conversation struct {
	t     *testing.T
	local byte // OpUp for the device's part, OpDown for the cloud's
	sent  int
	open  map[uint16]bool    // IDs that were Received and not replied to
	con   map[string]bool    // Confirmable messages sent since the last new socket
	own   map[*Link][][]byte // what a Link has sent of its own accord
	out   Out
}

func newConversation(t *testing.T, local byte) *conversation {
	return &conversation{
		t: t, local: local, open: map[uint16]bool{}, con: map[string]bool{}, own: map[*Link][][]byte{},
	}
}

// newSocket is what a device does when it resumes on another one.
func (c *conversation) newSocket(l *Link) {
	l.Clear()
	clear(c.con)
	clear(c.open)
}

func (c *conversation) receive(l *Link, it fixtures.Item) {
	c.out.Reset()
	l.Receive(clock.Instant(it.At), bytes.Clone(it.Data), &c.out)
	for _, e := range c.out.Events {
		if e.Kind == Exchange && e.CoAP.Kind == coap.Received && e.CoAP.Message.Type == coap.Confirmable {
			c.open[e.CoAP.ID] = true
		}
	}
	for _, p := range c.out.Packets {
		c.own[l] = append(c.own[l], bytes.Clone(p))
	}
}

// send sends the recorded message as a peer would, and compares the bytes.
func (c *conversation) send(l *Link, it fixtures.Item, plaintext []byte) {
	c.t.Helper()
	m, err := coap.Parse(plaintext)
	if err != nil {
		c.t.Fatal(err)
	}
	now := clock.Instant(it.At)
	c.out.Reset()
	switch {
	case m.Type == coap.Acknowledgement && c.open[m.ID]:
		delete(c.open, m.ID)
		l.Reply(now, coap.Message{Type: coap.Confirmable, ID: m.ID}, m, &c.out)
	case m.Type == coap.Acknowledgement:
		// A ping or a duplicate: answered by the Exchange.
		if len(c.own[l]) == 0 {
			c.t.Fatalf("at %v: the Link has not answered with %x", it.At, plaintext)
		}
		c.out.Packets, c.own[l] = c.own[l][:1], c.own[l][1:]
	case m.Type == coap.Reset, c.con[string(plaintext)]:
		// A retransmission is in another test.
		l.SendRaw(plaintext, &c.out)
	default:
		if id := l.Send(now, m, 1, &c.out); id != m.ID {
			c.t.Errorf("at %v: sent with ID %#x, want %#x", it.At, id, m.ID)
		}
		c.con[string(plaintext)] = m.Type == coap.Confirmable
	}
	if len(c.out.Packets) != 1 || !bytes.Equal(c.out.Packets[0], it.Data) {
		c.t.Errorf("at %v: sent %x, want %x", it.At, c.out.Packets, it.Data)
	}
	c.sent++
}

func (c *conversation) end() {
	for _, own := range c.own {
		if len(own) > 0 {
			c.t.Errorf("a Link has sent %d more than the recording", len(own))
		}
	}
}

// sessionOf returns which session the application data of an item belongs to, -1
// for none.
func sessionOf(c *fixtures.Capture, it fixtures.Item) int {
	if len(plaintexts(it)) == 0 {
		return -1
	}
	for i, s := range c.Sessions {
		l := newLink(stateOf(c, s, it.Op == fixtures.OpUp), &coap.CloudUDP, 0)
		var out Out
		if l.Receive(0, bytes.Clone(it.Data), &out).Authentic {
			return i
		}
	}
	return -1
}

// sideOf returns the Link of one side of session i, as it is when its first
// message goes out.
func sideOf(c *fixtures.Capture, i int, local byte, p *coap.Params) *Link {
	st, lastID := stateOf(c, c.Sessions[i], local == fixtures.OpDown), uint16(0)
	first := true
	for _, it := range c.Wire() {
		if it.Op != local || sessionOf(c, it) != i {
			continue
		}
		if first {
			st.SendNext, first = it.Records()[0].Sequence, false
		}
		if m, err := coap.Parse(plaintexts(it)[0]); err == nil && m.Type <= coap.NonConfirmable {
			lastID = m.ID - 1
			break
		}
	}
	return newLink(st, p, lastID)
}

// play plays the part local of a recording over UDP.
func play(t *testing.T, c *fixtures.Capture, local byte, p *coap.Params) int {
	conv := newConversation(t, local)
	links := make([]*Link, len(c.Sessions))
	for i := range links {
		links[i] = sideOf(c, i, local, p)
	}
	// The session-mbedtls files have no notes.
	resumed := c.Scenario == "session-mbedtls"
	// What the device has been sent and not yet read.
	type unread struct {
		l  *Link
		it fixtures.Item
	}
	var inbox []unread
	read := func() {
		for _, u := range inbox {
			conv.receive(u.l, u.it)
		}
		inbox = inbox[:0]
	}
	for _, it := range c.Items {
		if strings.HasPrefix(it.Text, "device source port") {
			read()
			resumed = true
			for _, l := range links {
				conv.newSocket(l)
			}
		}
		i := sessionOf(c, it)
		switch {
		case it.Op == fixtures.OpNote || i < 0:
		case it.Op != local:
			inbox = append(inbox, unread{links[i], it})
		default:
			r := it.Records()[0]
			s := links[i].DTLS()
			if r.Type >= 253 && !s.Moving() && resumed {
				s.Move()
				resumed = false
			}
			// A device may send a whole burst before it reads the first answer. It
			// has read it when it answers, or leaves the mark out.
			burst := r.Type >= 253 || len(inbox) > 0 && it.At-inbox[0].it.At < 5*time.Millisecond
			answer := plaintexts(it)[0][0]&0x20 != 0
			unmarked := c.DeviceOS != "3.1.0" && r.Type < 253 && s.Moving()
			if local == fixtures.OpDown || answer || unmarked || !burst {
				read()
			}
			conv.send(links[i], it, plaintexts(it)[0])
		}
	}
	read()
	// This recording ends while the server is silent.
	if c.Name != "v2.3.0-udp-session-mbedtls" {
		conv.end()
	}
	return conv.sent
}

// Whole recordings over UDP with the cloud's side made by Links.
func TestRecordedClouds(t *testing.T) {
	sent := 0
	udpCaptures(t, func(t *testing.T, c *fixtures.Capture) {
		switch {
		case strings.Contains(c.Scenario, "ack"), strings.HasPrefix(c.Scenario, "lost"), c.Scenario == "keepalive":
			return // the recorded cloud was made to be silent, and a Link is not
		}
		sent += play(t, c, fixtures.OpDown, &coap.CloudUDP)
	})
	if sent < 800 {
		t.Errorf("got %d messages of the cloud in all", sent)
	}
}

// Whole recordings over UDP with the device's side made by Links.
func TestRecordedDevices(t *testing.T) {
	sent := 0
	udpCaptures(t, func(t *testing.T, c *fixtures.Capture) {
		sent += play(t, c, fixtures.OpUp, &coap.DeviceUDP)
	})
	if sent < 1000 {
		t.Errorf("got %d messages of devices in all", sent)
	}
}

// Recordings over TCP, both sides made by Links. Among them is the answer of a
// device to a ping of the cloud, with its own next ID.
func TestRecordedStreams(t *testing.T) {
	sent := 0
	for _, c := range fixtures.Captures() {
		if c.Transport != "tcp" {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			cloud, device := newConversation(t, fixtures.OpDown), newConversation(t, fixtures.OpUp)
			var cloudLink, deviceLink *Link
			conn := -1
			for n, it := range c.Items {
				if strings.HasSuffix(it.Text, " opened") {
					conn++
					cloudLink, deviceLink = connLinks(c, conn, n)
					clear(device.con)
					clear(cloud.con)
				}
				if len(it.Comments) == 0 || !strings.HasPrefix(it.Comments[0], "frame ") {
					continue
				}
				plaintext := it.Plaintexts()[0]
				if it.Op == fixtures.OpUp {
					device.send(deviceLink, it, plaintext)
					cloud.receive(cloudLink, it)
				} else {
					cloud.send(cloudLink, it, plaintext)
					device.receive(deviceLink, it)
				}
			}
			cloud.end()
			device.end()
			sent += cloud.sent + device.sent
		})
	}
	if sent < 400 {
		t.Errorf("got %d messages in all", sent)
	}
}

// connLinks returns the Links of both sides of a TCP connection, which begins at
// item n.
func connLinks(c *fixtures.Capture, conn, n int) (cloud, device *Link) {
	var credentials lightssl.Credentials
	copy(credentials[:], c.Conns[conn].Credentials)
	var lastID uint16
	for _, it := range c.Items[n:] {
		if it.Op != fixtures.OpDown || len(it.Comments) == 0 || !strings.HasPrefix(it.Comments[0], "frame ") {
			continue
		}
		if m, err := coap.Parse(it.Plaintexts()[0]); err == nil && m.Type <= coap.NonConfirmable {
			lastID = m.ID - 1
			break
		}
	}
	a := OverLightSSL(lightssl.NewCloudSession(&credentials), coap.NewExchange(&coap.CloudTCP, lastID, nil, nil))
	b := OverLightSSL(lightssl.NewDeviceSession(&credentials, 0),
		coap.NewExchange(&coap.DeviceTCP, credentials.FirstID()-1, nil, nil))
	return &a, &b
}

// The vectors of the protocol reference for frames: a Link of each side sends
// exactly them.
func TestFrameVectors(t *testing.T) {
	keys, frames := fixtures.Vectors("appendix-a-1-keys")[0], fixtures.Vectors("appendix-a-4-frames")[0]
	var c lightssl.Credentials
	copy(c[:], keys.Value("credentials"))
	up := OverLightSSL(lightssl.NewDeviceSession(&c, 0), coap.NewExchange(&coap.DeviceTCP, 0, nil, nil))
	down := OverLightSSL(lightssl.NewCloudSession(&c), coap.NewExchange(&coap.CloudTCP, 0, nil, nil))
	for l, names := range map[*Link][]string{&up: {"up-1-hello", "up-2-ping", "up-3-zeros"}, &down: {"down-1-hello", "down-2-ack"}} {
		for _, name := range names {
			var out Out
			l.SendRaw(frames.Value(name+"-plaintext"), &out)
			if want := frames.Value(name + "-frame"); !bytes.Equal(out.Packets[0], want) {
				t.Errorf("%s: got %x, want %x", name, out.Packets[0], want)
			}
		}
	}
}

// The vectors of the protocol reference for records: a ping, its ACK, and the
// same after a resume.
func TestRecordVectors(t *testing.T) {
	keys, records := fixtures.Vectors("appendix-b-1-keys")[0], fixtures.Vectors("appendix-b-3-records")[0]
	cid := dtls.NewCID(keys.Value("cid"))
	device := dtls.State{Gen: dtls.GenF, WriteCID: cid, SendNext: 1}
	copy(device.WriteKey[:], keys.Value("client-write-key"))
	copy(device.ReadKey[:], keys.Value("server-write-key"))
	copy(device.WriteSalt[:], keys.Value("client-iv"))
	copy(device.ReadSalt[:], keys.Value("server-iv"))
	cloud := dtls.State{
		Server: true, ReadCID: cid, SendNext: 1, ReadKey: device.WriteKey, WriteKey: device.ReadKey,
		ReadSalt: device.WriteSalt, WriteSalt: device.ReadSalt,
	}
	d, c := newLink(device, &coap.DeviceUDP, 0), newLink(cloud, &coap.CloudUDP, 0)
	for _, step := range []string{"", "resumed-"} {
		var out Out
		if step != "" {
			d.DTLS().Move()
		}
		d.Ping(0, 0, &out)
		if want := records.Value(step + "ping-datagram"); !bytes.Equal(out.Packets[0], want) {
			t.Errorf("%sping: got %x, want %x", step, out.Packets[0], want)
		}
		ping := bytes.Clone(out.Packets[0])
		out.Reset()
		c.Receive(0, ping, &out)
		if want := records.Value(step + "ack-datagram"); len(out.Packets) != 1 || !bytes.Equal(out.Packets[0], want) {
			t.Errorf("%sack: got %x, want %x", step, out.Packets, want)
		}
		ack := bytes.Clone(out.Packets[0])
		out.Reset()
		d.Receive(0, ack, &out)
	}
	var out Out
	c.Close(&out)
	if want := records.Value("cloud-close-datagram"); !bytes.Equal(out.Packets[0], want) {
		t.Errorf("close: got %x, want %x", out.Packets[0], want)
	}
}
