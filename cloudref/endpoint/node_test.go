package endpoint

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/link"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/transport"
)

// A bench is a node with a store in memory, driven by hand in virtual time.
type bench struct {
	t     *testing.T
	store *store.Store
	node  *Node
	now   clock.Instant
	out   *transport.Out
	ids   transport.StreamIDs
	seen  []Observation
	peers map[netip.AddrPort]func(p transport.Packet)
	local netip.AddrPort
	key   *ecdsa.PrivateKey
	rsa   *rsa.PrivateKey

	// net, if not nil, says for each datagram when its copies arrive: none for
	// one that is lost.
	net     func(up bool) []time.Duration
	parcels []parcel
	puppets []*puppet
}

// A parcel is a datagram on its way.
type parcel struct {
	at clock.Instant
	f  func()
}

// carry brings a datagram over the network.
func (b *bench) carry(up bool, f func()) {
	if b.net == nil {
		f()
		return
	}
	for _, delay := range b.net(up) {
		b.parcels = append(b.parcels, parcel{b.now.Add(delay), f})
	}
}

func newBench(t *testing.T, edit func(*Config)) *bench {
	t.Helper()
	b := &bench{
		t: t, store: store.NewMemory(), peers: map[netip.AddrPort]func(transport.Packet){},
		local: netip.MustParseAddrPort("127.0.0.1:5684"), key: seed.P256(seed.Bytes(1, "cloud")), rsa: cloudRSA(),
	}
	b.out = transport.NewOut(&b.ids, nil)
	b.start(edit)
	return b
}

// start makes the node, or makes it anew on the same store: a restart.
func (b *bench) start(edit func(*Config)) {
	b.t.Helper()
	c := Config{
		Store: b.store, ECKey: b.key, RSAKey: b.rsa, Seed: 1,
		Rand:      seed.Bytes(uint64(b.now)+1, "cloud/rand"),
		WallClock: func(at clock.Instant) time.Time { return time.Unix(1_700_000_000, 0).Add(time.Duration(at)) },
		Observe:   func(o Observation) { b.seen = append(b.seen, o) },
	}
	if edit != nil {
		edit(&c)
	}
	node, err := New(context.Background(), c)
	if err != nil {
		b.t.Fatal(err)
	}
	b.node = node
}

// deliver sends what the node said to the peers, and runs its jobs.
func (b *bench) deliver() {
	for {
		packets := append([]transport.Packet(nil), b.out.Packets()...)
		for i := range packets {
			packets[i].Data = append([]byte(nil), packets[i].Data...)
		}
		actions := append([]transport.Action(nil), b.out.Actions()...)
		for i := range actions {
			actions[i].Data = append([]byte(nil), actions[i].Data...)
		}
		b.out.Clear()
		for _, p := range packets {
			if f := b.peers[p.Peer]; f != nil {
				b.carry(false, func() { f(p) })
			}
		}
		b.streamed(actions)
		if b.node.Deadline() <= b.now {
			b.node.Advance(b.now, b.out)
		}
		if b.out.Empty() && b.node.jobs.empty() {
			return
		}
	}
}

// wait lets time pass, and everything due happen.
func (b *bench) wait(d time.Duration) {
	end := b.now.Add(d)
	for {
		due := b.node.Deadline()
		for _, p := range b.puppets {
			due = min(due, p.deadline())
		}
		for _, p := range b.parcels {
			due = min(due, p.at)
		}
		if due > end {
			break
		}
		b.now = max(b.now, due)
		b.node.Advance(b.now, b.out)
		for _, p := range b.puppets {
			if p.deadline() <= b.now {
				p.advance()
			}
		}
		b.arrive()
		b.deliver()
	}
	b.now = end
}

// arrive delivers the parcels whose time has come.
func (b *bench) arrive() {
	var now []parcel
	b.parcels = slices.DeleteFunc(b.parcels, func(p parcel) bool {
		if p.at <= b.now {
			now = append(now, p)
		}
		return p.at <= b.now
	})
	slices.SortStableFunc(now, func(x, y parcel) int { return int(x.at - y.at) })
	for _, p := range now {
		p.f()
	}
}

func (p *puppet) deadline() clock.Instant {
	switch {
	case p.deaf:
		return clock.Never
	case p.link != nil:
		return p.link.Deadline()
	case p.client != nil:
		return p.client.Deadline()
	default:
		return clock.Never
	}
}

func (p *puppet) advance() {
	if p.link != nil {
		var out link.Out
		p.link.Advance(p.b.now, &out)
		p.linked(&out)
		return
	}
	var out dtls.Out
	p.client.Advance(p.b.now, &out)
	p.handle(&out)
}

// A puppet is a device that does what the test says, above real handshakes and
// links.
type puppet struct {
	attempts uint64 // so that no two handshakes have one random
	b        *bench
	id       store.DeviceID
	key      *ecdsa.PrivateKey
	gen      dtls.Generation
	addr     netip.AddrPort
	client   *dtls.Client
	link     *link.Link
	got      []coap.Event
	raw      [][]byte // datagrams received
	failed   error
	ended    error
	deaf     bool
	faults   dtls.ClientFaults
	last     []byte // the last datagram sent
}

func (b *bench) puppet(n byte, gen dtls.Generation) *puppet {
	b.t.Helper()
	p := &puppet{b: b, gen: gen, key: seed.P256(seed.Bytes(uint64(n), "device"))}
	p.id = store.DeviceID{0xe0, 0x0f, 0xce, 0x68, 11: n}
	p.moveTo(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, 0, n}), 5684))
	b.puppets = append(b.puppets, p)
	return p
}

func (b *bench) register(p *puppet, owner byte) {
	b.t.Helper()
	spki, err := x509.MarshalPKIXPublicKey(&p.key.PublicKey)
	if err != nil {
		b.t.Fatal(err)
	}
	d := &store.Device{ID: p.id, P256: spki, Owner: store.AccountID{owner}, Name: "puppet"}
	if err := b.store.Do(context.Background(), store.PutDevice(d)); err != nil {
		b.t.Fatal(err)
	}
}

func (p *puppet) moveTo(addr netip.AddrPort) {
	delete(p.b.peers, p.addr)
	p.addr = addr
	p.b.peers[addr] = p.receive
}

func (p *puppet) send(datagram []byte) {
	p.last = append([]byte(nil), datagram...)
	p.b.sendFrom(p.addr, p.last)
}

// sendFrom sends a datagram from any address.
func (b *bench) sendFrom(peer netip.AddrPort, datagram []byte) {
	b.carry(true, func() {
		b.node.Datagram(b.now, transport.Packet{Local: b.local, Peer: peer, Data: append([]byte(nil), datagram...)}, b.out)
	})
}

func (p *puppet) receive(packet transport.Packet) {
	if packet.Local != p.b.local {
		p.b.t.Errorf("the cloud answered from %v, was addressed at %v (R-41)", packet.Local, p.b.local)
	}
	p.raw = append(p.raw, append([]byte(nil), packet.Data...))
	if p.deaf {
		return
	}
	if p.link != nil {
		var out link.Out
		p.link.Receive(p.b.now, packet.Data, &out)
		p.linked(&out)
		return
	}
	var out dtls.Out
	p.client.Receive(p.b.now, packet.Data, &out)
	p.handle(&out)
}

func (p *puppet) handle(out *dtls.Out) {
	for _, d := range out.Datagrams {
		p.send(d)
	}
	for _, e := range out.Events {
		switch e.Kind {
		case dtls.EventEstablished:
			l := link.OverDTLS(e.Session, coap.NewExchange(&coap.DeviceUDP, 0, seed.Stream(1, "puppet"), nil))
			p.link = &l
		case dtls.EventFailed:
			p.failed = e.Err
		default:
		}
	}
}

func (p *puppet) linked(out *link.Out) {
	for _, d := range out.Packets {
		p.send(d)
	}
	for _, e := range out.Events {
		switch e.Kind {
		case link.Exchange:
			e.CoAP.Message.Payload = append([]byte(nil), e.CoAP.Message.Payload...)
			e.CoAP.Message.Token = append([]byte(nil), e.CoAP.Message.Token...)
			e.CoAP.Message.Options = append(coap.Options(nil), e.CoAP.Message.Options...)
			for i := range e.CoAP.Message.Options {
				e.CoAP.Message.Options[i].Value = append([]byte(nil), e.CoAP.Message.Options[i].Value...)
			}
			p.got = append(p.got, e.CoAP)
			if e.CoAP.Kind == coap.Received && e.CoAP.Message.Type == coap.Confirmable {
				p.reply(e.CoAP.Message, coap.Message{})
			}
		case link.Closed:
			p.ended = e.Err
		default:
		}
	}
}

func (p *puppet) reply(to, m coap.Message) {
	var out link.Out
	p.link.Reply(p.b.now, to, m, &out)
	p.linked(&out)
}

// handshake runs a full handshake.
func (p *puppet) handshake() {
	p.b.t.Helper()
	p.link, p.failed, p.ended = nil, nil, nil
	p.attempts++
	p.client = dtls.NewClient(&dtls.ClientConfig{
		Gen: p.gen, Key: p.key, ServerKey: &p.b.key.PublicKey, DeviceID: p.id, Faults: p.faults,
		Rand: seed.Bytes(uint64(p.b.now)+uint64(p.id[11])<<32+p.attempts<<48, "puppet"),
	})
	var out dtls.Out
	p.client.Start(p.b.now, &out)
	p.handle(&out)
	p.b.deliver()
}

// say sends a message and lets the node answer.
func (p *puppet) say(m coap.Message) (id uint16) {
	p.b.t.Helper()
	if p.link == nil {
		p.b.t.Fatalf("no session: %v", p.failed)
	}
	var out link.Out
	id = p.link.Send(p.b.now, m, 0, &out)
	p.linked(&out)
	p.b.deliver()
	return id
}

func (p *puppet) dialect() pdc.Dialect {
	if p.gen == dtls.GenF {
		return pdc.NewDialect(6200, pdc.Boron)
	}
	return pdc.NewDialect(2302, pdc.Electron)
}

func (p *puppet) hello() pdc.Hello {
	d := p.dialect()
	return pdc.Hello{
		ProductID: uint16(d.Platform), ProductVersion: 0xffff, Flags: d.HelloFlags(), Platform: d.Platform,
		DeviceID: p.id[:], System: d.System, MaxMessage: 1152, ChunkSize: 512,
	}
}

// connect runs a handshake and says Hello.
func (p *puppet) connect() {
	p.b.t.Helper()
	p.handshake()
	p.wantAck(p.say(p.hello().Message(p.dialect())))
}

// restart is a reset of the device: it keeps its session, and nothing else.
func (p *puppet) restart() {
	state := p.link.DTLS().Export()
	s := dtls.Import(state)
	s.Move()
	l := link.OverDTLS(s, coap.NewExchange(&coap.DeviceUDP, p.link.LastID(), seed.Stream(1, "puppet"), nil))
	p.link = &l
}

func (p *puppet) acked(id uint16) bool {
	for _, e := range p.got {
		if e.Kind == coap.Acknowledged && e.ID == id {
			return true
		}
	}
	return false
}

func (p *puppet) wantAck(id uint16) {
	p.b.t.Helper()
	if !p.acked(id) {
		p.b.t.Fatalf("message %d was not acknowledged", id)
	}
}

// requests returns the requests that the puppet received, of one kind.
func (p *puppet) requests(kind pdc.Kind) []coap.Message {
	var list []coap.Message
	for _, e := range p.got {
		if e.Kind == coap.Received && pdc.Classify(e.Message, false) == kind {
			list = append(list, e.Message)
		}
	}
	return list
}

func (p *puppet) ping() uint16 { return p.say(coap.Message{Type: coap.Confirmable}) }

func TestEveryGenerationConnects(t *testing.T) {
	for gen := dtls.GenA; gen <= dtls.GenF; gen++ {
		t.Run(gen.String(), func(t *testing.T) {
			b := newBench(t, nil)
			p := b.puppet(1, gen)
			b.register(p, 1)
			p.connect()
			if st, _ := b.node.Status(p.id); !st.Online || st.Transport != "udp" {
				t.Errorf("status %+v, want online over udp", st)
			}
			p.wantAck(p.ping())
		})
	}
}

func TestUnknownKeyIsRefused(t *testing.T) {
	b := newBench(t, nil)
	p := b.puppet(1, dtls.GenF)
	p.handshake()
	if p.link != nil {
		t.Fatal("a device that nobody registered got a session (R-32)")
	}
	if last := b.seen[len(b.seen)-1]; last.What != Refused {
		t.Errorf("observed %+v, want a refusal", last)
	}
}

func TestHelloOfAnotherDeviceEndsTheSession(t *testing.T) {
	b := newBench(t, nil)
	p := b.puppet(1, dtls.GenF)
	b.register(p, 1)
	p.handshake()
	hello := p.hello()
	hello.DeviceID = []byte("another id!!")
	if id := p.say(hello.Message(p.dialect())); p.acked(id) {
		t.Error("a Hello in another name was acknowledged (R-39)")
	}
	if p.ended == nil {
		t.Error("the session goes on")
	}
}

func TestSessionsSurviveARestart(t *testing.T) {
	for _, gen := range []dtls.Generation{dtls.GenD, dtls.GenF} {
		t.Run(gen.String(), func(t *testing.T) {
			b := newBench(t, nil)
			p := b.puppet(1, gen)
			b.register(p, 1)
			p.connect()
			highest := sequences(p.raw)
			b.now = b.now.Add(time.Minute)
			b.start(nil) // the process was killed: nothing was closed
			p.restart()
			p.moveTo(netip.MustParseAddrPort("127.9.9.9:4000"))
			p.raw, p.got = nil, nil
			p.wantAck(p.ping())
			if got := sequences(p.raw); got <= highest {
				t.Errorf("the send sequence went from %d to %d (R-63)", highest, got)
			}
			if st, _ := b.node.Status(p.id); st.Peer != "127.9.9.9:4000" || !st.Online {
				t.Errorf("status %+v, want online at the new address (R-64)", st)
			}
		})
	}
}

// sequences returns the highest sequence of the cloud's records in epoch 1.
func sequences(datagrams [][]byte) uint64 {
	highest := uint64(0)
	for _, d := range datagrams {
		for len(d) > 0 {
			h, err := dtls.PeekHeader(d)
			if err != nil {
				break
			}
			if h.Epoch == 1 {
				highest = max(highest, h.Sequence)
			}
			d = d[h.Size:]
		}
	}
	return highest
}

func TestEventsReachTheAccountOnly(t *testing.T) {
	b := newBench(t, nil)
	alice, alices, bob := b.puppet(1, dtls.GenF), b.puppet(2, dtls.GenD), b.puppet(3, dtls.GenF)
	b.register(alice, 1)
	b.register(alices, 1)
	b.register(bob, 2)
	for _, p := range []*puppet{alice, alices, bob} {
		p.connect()
		p.wantAck(p.say(pdc.Subscribe{Filter: "temp", Scope: pdc.ScopeMyDevices}.Message(p.dialect())))
	}
	p := alice.say(pdc.Publish{Private: true, Name: "temperature", Data: []byte("21.5")}.Message(alice.dialect()))
	alice.wantAck(p)
	for name, test := range map[string]struct {
		p    *puppet
		want int
	}{"publisher": {alice, 1}, "same account": {alices, 1}, "other account": {bob, 0}} {
		if got := test.p.requests(pdc.KindEventDelivery); len(got) != test.want {
			t.Errorf("%s: %d deliveries, want %d", name, len(got), test.want)
		}
	}
}

func TestFunctionCall(t *testing.T) {
	for gen := dtls.GenA; gen <= dtls.GenF; gen++ {
		for _, moved := range []bool{false, true} {
			for _, restarted := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v/moved=%t/restarted=%t", gen, moved, restarted), func(t *testing.T) {
					testFunctionCall(t, gen, moved, restarted)
				})
			}
		}
	}
}

// testFunctionCall calls a function, perhaps of a device that has resumed from another
// address, and perhaps when the cloud has restarted then, which the device has not
// noticed: it says nothing by itself.
func testFunctionCall(t *testing.T, gen dtls.Generation, moved, restarted bool) {
	b := newBench(t, nil)
	p := b.puppet(1, gen)
	b.register(p, 1)
	p.connect()
	describe := pdc.ApplicationDescribe{Functions: []string{"brew"}}
	p.wantAck(p.say(pdc.DescribePost{Token: []byte{1}, Flags: pdc.DescribeApplication, Payload: describe.Append(nil)}.Message(p.dialect())))
	if moved {
		p.restart()
		p.moveTo(netip.MustParseAddrPort("127.9.9.9:4000"))
		p.wantAck(p.ping())
		b.deliver()
	}
	if restarted {
		b.start(nil)
		if st, _ := b.node.Status(p.id); st.Online {
			t.Error("it counts as online, and was not heard yet")
		}
	}
	b.node.Command(p.id, func(now clock.Instant, d *app.Device, out *app.Out) { d.Call(now, 7, "brew", "strong", out) })
	b.node.Advance(b.now, b.out)
	b.deliver()
	calls := p.requests(pdc.KindFunctionCall)
	if len(calls) != 1 {
		t.Fatalf("%d calls, want 1", len(calls))
	}
	p.say(pdc.FunctionResult{Token: calls[0].Token, Value: 42}.Message(p.dialect()))
	last := b.seen[len(b.seen)-1]
	if result, ok := last.Effect.(app.Result); !ok || result.Ref != 7 || result.Int != 42 || result.Err != nil {
		t.Errorf("observed %+v, want result 42 of call 7", last)
	}
	if st, _ := b.node.Status(p.id); !st.Online {
		t.Error("it has answered, and does not count as online")
	}
}

// What a device answers late, when it is back from another node, meets no new call.
func TestTokensBeginElsewhereEachTime(t *testing.T) {
	n := &Node{c: Config{Seed: 7}}
	other := &Node{c: Config{Seed: 8}}
	if n.firstToken(0) == n.firstToken(clock.Instant(time.Second)) || n.firstToken(0) == other.firstToken(0) {
		t.Error("the same tokens again")
	}
}

func publish(p *puppet, name, data string) coap.Message {
	return pdc.Publish{Private: true, Name: name, Data: []byte(data)}.Message(p.dialect())
}
