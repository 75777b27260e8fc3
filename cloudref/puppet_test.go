package cloudref

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/link"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/transport"
)

// patience is for what must come in the end, on a machine that stands still for
// seconds now and then.
const patience = 2 * time.Minute

// A puppet is a device on a real socket, driven by one goroutine. It keeps its
// session when the cloud is away, as firmware does.
type puppet struct {
	id      store.DeviceID
	key     *ecdsa.PrivateKey
	cloud   *ecdsa.PublicKey
	conn    *net.UDPConn
	clock   *transport.Clock
	link    *link.Link
	dia     pdc.Dialect
	acked   map[uint16]bool
	ended   error
	highest uint64 // send sequence of the cloud
	floor   uint64 // its highest in an earlier life
	seen    map[uint64]bool
	back    int // records with a sequence that was used, or below the floor
	heard   []coap.Message
	shakes  int // handshakes that were completed
	tape    *tape
}

// A tape is what somebody on the way recorded of the last datagrams of a device.
type tape struct{ datagrams [][]byte }

// tapeMax bounds a tape.
const tapeMax = 200

// record keeps records of a session; handshakes begin something new each time.
func (t *tape) record(datagram []byte) {
	h, err := dtls.PeekHeader(datagram)
	if t == nil || err != nil || h.Epoch != 1 {
		return
	}
	t.datagrams = append(t.datagrams, datagram)
	t.datagrams = t.datagrams[max(0, len(t.datagrams)-tapeMax):]
}

// play sends what is on the tape from a socket of its own, and returns what is
// answered until the cloud has taken all of it.
func (t *tape) play(cloud netip.AddrPort) (answers [][]byte, err error) {
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(cloud))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	for _, d := range t.datagrams {
		if _, err := conn.Write(d); err != nil {
			return nil, err
		}
	}
	// A probe is echoed by the one who took all that came before it.
	probe := append([]byte{252, 0xfe, 0xfd, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 8}, "tape end"...)
	end := time.Now().Add(patience)
	for b := make([]byte, transport.DatagramSizeMax); ; {
		if _, err := conn.Write(probe); err != nil {
			return nil, err
		}
		if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return nil, err
		}
		n, err := conn.Read(b)
		if errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(end) {
			continue // the probe found no room
		}
		if err != nil {
			return nil, err
		}
		if b[0] == probe[0] {
			return answers, nil
		}
		answers = append(answers, append([]byte(nil), b[:n]...))
	}
}

func newPuppet(n int, cloud *ecdsa.PublicKey) *puppet {
	p := &puppet{
		key: seed.P256(seed.Bytes(uint64(n), "puppet")), cloud: cloud, clock: transport.NewClock(),
		dia: pdc.NewDialect(6200, pdc.Boron), acked: map[uint16]bool{},
	}
	p.id = store.DeviceID{0xe0, 0x0f, 0xce, 0x68, 10: byte(n >> 8), 11: byte(n)}
	return p
}

func (p *puppet) spki() []byte { return dtls.SPKI(&p.key.PublicKey) }

func (p *puppet) dial(addr netip.AddrPort) error {
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(addr))
	p.conn = conn
	return err
}

// receive waits for a datagram, at most for d. A refused port is silence: the
// cloud is away.
func (p *puppet) receive(d time.Duration) []byte {
	b := make([]byte, transport.DatagramSizeMax)
	if err := p.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		return nil
	}
	n, err := p.conn.Read(b)
	if err != nil {
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			time.Sleep(min(d, 5*time.Millisecond))
		}
		return nil
	}
	return b[:n]
}

func (p *puppet) send(datagrams [][]byte) {
	for _, d := range datagrams {
		p.tape.record(append([]byte(nil), d...))
		if _, err := p.conn.Write(d); err != nil {
			continue // the cloud is away
		}
	}
}

// handshake makes a full handshake.
func (p *puppet) handshake() error {
	return p.handshakeUntil(func() bool { return false })
}

// handshakeUntil is handshake for those who need not wait for the end.
func (p *puppet) handshakeUntil(over func() bool) error {
	client := dtls.NewClient(&dtls.ClientConfig{Gen: dtls.GenF, Key: p.key, ServerKey: p.cloud, DeviceID: p.id, Rand: rand.Reader})
	var out dtls.Out
	client.Start(p.clock.Now(), &out)
	for end := p.clock.Now().Add(patience); p.clock.Now() < end && !over(); {
		p.send(out.Datagrams)
		for _, e := range out.Events {
			switch e.Kind {
			case dtls.EventEstablished:
				l := link.OverDTLS(e.Session, coap.NewExchange(&coap.DeviceUDP, 0, mrand.New(mrand.NewPCG(1, 2)), nil))
				p.link, p.ended, p.highest, p.floor, p.seen = &l, nil, 0, 0, map[uint64]bool{}
				p.shakes++
				return nil
			case dtls.EventFailed:
				return e.Err
			default:
			}
		}
		out.Reset()
		if d := p.receive(20 * time.Millisecond); d != nil {
			client.Receive(p.clock.Now(), d, &out)
		} else if client.Deadline() <= p.clock.Now() {
			client.Advance(p.clock.Now(), &out)
		}
	}
	return errors.New("no handshake in time")
}

// run receives and retransmits until done, at most for patience.
func (p *puppet) run(patience time.Duration, done func() bool) bool {
	for end := p.clock.Now().Add(patience); !done(); {
		if p.clock.Now() >= end || p.ended != nil {
			return false
		}
		var out link.Out
		if d := p.receive(5 * time.Millisecond); d != nil {
			p.watch(d)
			p.link.Receive(p.clock.Now(), d, &out)
		}
		if p.link.Deadline() <= p.clock.Now() {
			p.link.Advance(p.clock.Now(), &out)
		}
		p.handle(&out)
	}
	return true
}

// watch checks that the cloud uses no sequence twice, and none of an earlier life.
// Datagrams of one life may overtake each other. What is not of this session does not
// count: a port may have been another device's, which the cloud asks for it.
func (p *puppet) watch(datagram []byte) {
	if !p.ours(datagram) {
		return
	}
	for len(datagram) > 0 {
		h, err := dtls.PeekHeader(datagram)
		if err != nil {
			return
		}
		if h.Epoch == 1 {
			if p.seen[h.Sequence] || h.Sequence <= p.floor {
				p.back++
				fmt.Fprintf(os.Stderr, "device %s: sequence %d, used before: %t; the highest of an earlier life is %d\n",
					p.id, h.Sequence, p.seen[h.Sequence], p.floor)
			}
			p.seen[h.Sequence] = true
			p.highest = max(p.highest, h.Sequence)
		}
		datagram = datagram[h.Size:]
	}
}

// hearOut reads what a cloud that is gone has still sent, so that its sequences are
// known as those of an earlier life: somebody else at its address says the last word.
func hearOut(t *testing.T, cloud string, puppets ...*puppet) {
	t.Helper()
	conn, err := net.ListenPacket("udp4", cloud)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, p := range puppets {
		if p.conn == nil {
			continue
		}
		err := p.hearUntil("the last word", func(word []byte) error {
			_, err := conn.WriteTo(word, p.conn.LocalAddr())
			return err
		})
		if err != nil {
			t.Fatalf("device %s: %v", p.id, err)
		}
		p.floor = p.highest
	}
}

// hearUntil has a word said until it is heard, and watches what comes before.
func (p *puppet) hearUntil(word string, say func([]byte) error) error {
	b := make([]byte, transport.DatagramSizeMax)
	for end := p.clock.Now().Add(patience); p.clock.Now() < end; {
		if err := errors.Join(say([]byte(word)), p.conn.SetReadDeadline(time.Now().Add(time.Second))); err != nil {
			return err
		}
		for err := error(nil); !errors.Is(err, os.ErrDeadlineExceeded); {
			var n int
			switch n, err = p.conn.Read(b); {
			case errors.Is(err, net.ErrClosed):
				return err
			case err != nil:
				// Who said something when the cloud was gone was told so.
			case string(b[:n]) == word:
				return nil
			case p.link != nil:
				p.watch(b[:n])
			}
		}
	}
	return errors.New("the last word is not heard")
}

// ours reports whether a datagram is of the session of p, seen before or not.
func (p *puppet) ours(datagram []byte) bool {
	state := p.link.DTLS().Export()
	state.WindowTop, state.Window = 0, 0
	var out dtls.Out
	return dtls.Import(state).Receive(bytes.Clone(datagram), &out).Authentic
}

func (p *puppet) handle(out *link.Out) {
	p.send(out.Packets)
	for _, e := range out.Events {
		switch {
		case e.Kind == link.Closed:
			p.ended = e.Err
		case e.Kind != link.Exchange:
		case e.CoAP.Kind == coap.Acknowledged:
			p.acked[e.CoAP.ID] = true
		case e.CoAP.Kind == coap.Received:
			m, err := coap.Parse(append([]byte(nil), e.CoAP.Wire...))
			if err != nil {
				continue
			}
			p.heard = append(p.heard, m)
			p.answer(m)
		}
	}
}

// answer acknowledges, and plays the function "double".
func (p *puppet) answer(m coap.Message) {
	if m.Type != coap.Confirmable {
		return
	}
	var out link.Out
	p.link.Reply(p.clock.Now(), m, coap.Message{}, &out)
	if call, err := pdc.ParseFunctionCall(m); err == nil && pdc.Classify(m, false) == pdc.KindFunctionCall {
		result := pdc.FunctionResult{Token: call.Token, Value: int32(2 * len(call.Argument))}
		p.link.Send(p.clock.Now(), result.Message(p.dia), 0, &out)
	}
	p.handle(&out)
}

// say sends a message and waits for its ACK.
func (p *puppet) say(m coap.Message, patience time.Duration) bool {
	id := p.post(m)
	return p.run(patience, func() bool { return p.acked[id] })
}

func (p *puppet) post(m coap.Message) uint16 {
	var out link.Out
	id := p.link.Send(p.clock.Now(), m, 0, &out)
	delete(p.acked, id)
	p.handle(&out)
	return id
}

// withhold returns the datagrams of a message that the network keeps for now.
func (p *puppet) withhold(m coap.Message) [][]byte {
	var out link.Out
	p.link.Send(p.clock.Now(), m, 0, &out)
	var kept [][]byte
	for _, d := range out.Packets {
		kept = append(kept, append([]byte(nil), d...))
	}
	return kept
}

// connect makes a full handshake, and says what a device says then.
func (p *puppet) connect() error {
	if err := p.handshake(); err != nil {
		return err
	}
	describe := pdc.ApplicationDescribe{Functions: []string{"double"}}
	for _, m := range []coap.Message{
		pdc.Hello{
			ProductID: 13, ProductVersion: 0xffff, Flags: p.dia.HelloFlags(), Platform: pdc.Boron, DeviceID: p.id[:],
			System: 6200, MaxMessage: 1152, ChunkSize: 512,
		}.Message(p.dia),
		pdc.DescribePost{Token: []byte{1}, Flags: pdc.DescribeApplication, Payload: describe.Append(nil)}.Message(p.dia),
		pdc.Subscribe{Filter: "news"}.Message(p.dia),
	} {
		if !p.say(m, patience) {
			return fmt.Errorf("%v was not acknowledged: %w", m, p.ended)
		}
	}
	return nil
}

// resume continues the session as after a reset, from another port.
func (p *puppet) resume(addr netip.AddrPort) error {
	if err := p.conn.Close(); err != nil {
		return err
	}
	if err := p.dial(addr); err != nil {
		return err
	}
	s := dtls.Import(p.link.DTLS().Export())
	s.Move()
	l := link.OverDTLS(s, coap.NewExchange(&coap.DeviceUDP, p.link.LastID(), mrand.New(mrand.NewPCG(1, 2)), nil))
	p.link = &l
	return nil
}

func (p *puppet) publish(name, data string) coap.Message {
	return pdc.Publish{Private: true, Name: name, Data: []byte(data)}.Message(p.dia)
}

// deliveries are the data of the events of that name that it heard.
func (p *puppet) deliveries(name string) (list []string) {
	for _, m := range p.heard {
		if e, err := pdc.ParseEventDelivery(m); err == nil && e.Name == name {
			list = append(list, string(e.Data))
		}
	}
	return list
}

// A puppet sees a cloud that goes back in its sequence, and takes nothing for it that
// is another's.
func TestPuppetSeesSequencesThatGoBack(t *testing.T) {
	for _, rewind := range []bool{false, true} {
		o := Options{Dir: t.TempDir()}
		if err := o.loadKeys(); err != nil {
			t.Fatal(err)
		}
		c := startCloud(t, o)
		owner := must(c.Account(t.Context(), "alice"))
		puppets := []*puppet{newPuppet(1, &o.ECKey.PublicKey), newPuppet(2, &o.ECKey.PublicKey)}
		for _, p := range puppets {
			if err := errors.Join(c.Register(t.Context(), Registration{ID: p.id, Owner: owner, P256: p.spki()}), p.dial(c.UDP()), p.connect()); err != nil {
				t.Fatal(err)
			}
		}
		up := c.UDP()
		if err := c.Stop(); err != nil {
			t.Fatal(err)
		}
		hearOut(t, up.String(), puppets...)
		o.Adjust = func(c *endpoint.Config) { c.Faults.RewindSequence = rewind }
		c = startCloud(t, o)
		for _, p := range puppets {
			if err := p.resume(c.UDP()); err != nil {
				t.Fatal(err)
			}
		}
		p, other := puppets[0], puppets[1]
		id := p.post(p.publish("temp", "x"))
		if !p.run(patience, func() bool { return p.acked[id] || p.back > 0 }) {
			t.Fatal("no acknowledgement")
		}
		if p.back > 0 != rewind {
			t.Errorf("rewind %t: %d sequences went back", rewind, p.back)
		}
		back := p.back
		state := other.link.DTLS().Export()
		state.Server, state.SendNext = true, 1
		state.ReadKey, state.WriteKey, state.ReadSalt, state.WriteSalt = state.WriteKey, state.ReadKey, state.WriteSalt, state.ReadSalt
		state.ReadCID, state.WriteCID = state.WriteCID, state.ReadCID
		strange := must(dtls.Import(state).Seal(nil, dtls.TypeApplication, []byte("news")))
		if !other.ours(strange) {
			t.Error("a record of another device is not its own")
		}
		if p.watch(strange); p.back != back {
			t.Error("a record of another device counts")
		}
	}
}
