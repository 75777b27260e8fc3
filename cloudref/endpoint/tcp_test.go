package endpoint

import (
	"bytes"
	"crypto/rsa"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/link"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/transport"
)

// Keys of RSA take a while to make.
var (
	cloudRSA  = sync.OnceValue(func() *rsa.PrivateKey { return lightssl.GenerateCloudKey(seed.Bytes(1, "cloud/rsa")) })
	photonRSA = sync.OnceValue(func() *rsa.PrivateKey { return lightssl.GenerateDeviceKey(seed.Bytes(1, "photon/rsa")) })
	otherRSA  = sync.OnceValue(func() *rsa.PrivateKey { return lightssl.GenerateDeviceKey(seed.Bytes(2, "photon/rsa")) })
)

// A photon is a device over TCP that does what the test says.
type photon struct {
	b      *bench
	id     store.DeviceID
	dia    pdc.Dialect
	stream transport.StreamID
	client *lightssl.Client
	link   *link.Link
	got    []coap.Event
	raw    [][]byte // what the cloud wrote, as it wrote it
	closed bool
	split  int // bytes of each piece that is sent, 0: all at once
}

// photons are the open streams of a bench.
var photons = map[*bench]map[transport.StreamID]*photon{}

func (b *bench) photon(key *rsa.PrivateKey) *photon {
	return &photon{b: b, id: store.DeviceID{0x53, 11: 9}, dia: pdc.NewDialect(2302, pdc.Photon)}
}

func (b *bench) registerRSA(p *photon, owner byte) {
	b.t.Helper()
	d := &store.Device{ID: p.id, RSA: lightssl.AppendDeviceSPKI(nil, &photonRSA().PublicKey), Owner: store.AccountID{owner}}
	if err := b.store.Do(b.t.Context(), store.PutDevice(d)); err != nil {
		b.t.Fatal(err)
	}
}

// streamed carries out what the node did to streams.
func (b *bench) streamed(actions []transport.Action) {
	for _, a := range actions {
		p := photons[b][a.ID]
		if p == nil {
			continue
		}
		switch a.Kind {
		case transport.WriteStream:
			p.raw = append(p.raw, a.Data)
			p.receive(a.Data)
		case transport.CloseStream, transport.AbortStream:
			p.closed = true
			delete(photons[b], a.ID)
		default:
			b.t.Errorf("the cloud dials: %v", a)
		}
	}
}

// open opens a connection, with a client on it unless raw.
func (p *photon) open(key *rsa.PrivateKey, raw bool) {
	p.b.t.Helper()
	p.stream, p.closed, p.link, p.client, p.raw, p.got = p.b.ids.Next(), false, nil, nil, nil, nil
	if photons[p.b] == nil {
		photons[p.b] = map[transport.StreamID]*photon{}
	}
	photons[p.b][p.stream] = p
	if !raw {
		p.client = lightssl.NewClient(&lightssl.ClientConfig{
			ID: lightssl.DeviceID(p.id), Key: key, ServerKey: &p.b.rsa.PublicKey, Rand: seed.Bytes(uint64(p.stream), "photon"),
		})
		p.client.Start(p.b.now, &lightssl.Out{})
	}
	local, peer := netip.MustParseAddrPort("127.0.0.1:5683"), netip.MustParseAddrPort("127.2.0.1:40000")
	p.b.node.StreamOpened(p.b.now, transport.Stream{ID: p.stream, Local: local, Peer: peer, Accepted: true}, p.b.out)
	p.b.deliver()
}

// write sends bytes to the cloud.
func (p *photon) write(b []byte) {
	size := p.split
	if size == 0 {
		size = max(len(b), 1)
	}
	for len(b) > 0 && !p.closed {
		n := min(size, len(b))
		p.b.node.StreamData(p.b.now, p.stream, append([]byte(nil), b[:n]...), p.b.out)
		b = b[n:]
	}
}

func (p *photon) receive(b []byte) {
	if p.link != nil {
		var out link.Out
		p.link.Receive(p.b.now, append([]byte(nil), b...), &out)
		p.linked(&out)
		return
	}
	if p.client == nil {
		return
	}
	var out lightssl.Out
	p.client.Receive(p.b.now, b, &out)
	for _, c := range out.Chunks {
		p.write(c)
	}
	for _, e := range out.Events {
		if e.Kind == lightssl.EventEstablished {
			l := link.OverLightSSL(e.Session, coap.NewExchange(&coap.DeviceTCP, 0, nil, nil))
			p.link = &l
		}
	}
}

func (p *photon) linked(out *link.Out) {
	for _, packet := range out.Packets {
		p.write(packet)
	}
	for _, e := range out.Events {
		if e.Kind == link.Exchange {
			m := e.CoAP.Message
			m.Payload, m.Token = bytes.Clone(m.Payload), bytes.Clone(m.Token)
			m.Options = append(coap.Options(nil), m.Options...)
			e.CoAP.Message = m
			p.got = append(p.got, e.CoAP)
			if e.CoAP.Kind == coap.Received && m.Type == coap.Confirmable {
				var reply link.Out
				p.link.Reply(p.b.now, m, coap.Message{}, &reply)
				p.linked(&reply)
			}
		}
	}
}

func (p *photon) say(m coap.Message) uint16 {
	p.b.t.Helper()
	if p.link == nil {
		p.b.t.Fatal("no session")
	}
	var out link.Out
	id := p.link.Send(p.b.now, m, 0, &out)
	p.linked(&out)
	p.b.deliver()
	return id
}

func (p *photon) hello() coap.Message {
	return pdc.Hello{ProductID: 6, ProductVersion: 0xffff, Flags: p.dia.HelloFlags(), Platform: pdc.Photon}.Message(p.dia)
}

func (p *photon) connect() {
	p.b.t.Helper()
	p.open(photonRSA(), false)
	if p.link == nil {
		p.b.t.Fatal("no handshake")
	}
	p.say(p.hello())
	if len(p.requests(pdc.KindServerHello)) != 1 {
		p.b.t.Fatal("the Hello was not answered (R-12)")
	}
}

func (p *photon) requests(kind pdc.Kind) (list []coap.Message) {
	for _, e := range p.got {
		if e.Kind == coap.Received && pdc.Classify(e.Message, false) == kind {
			list = append(list, e.Message)
		}
	}
	return list
}

// 40 random bytes, unasked.
func TestNonce(t *testing.T) {
	b := newBench(t, nil)
	p, q := b.photon(nil), b.photon(nil)
	p.open(nil, true)
	q.open(nil, true)
	for _, p := range []*photon{p, q} {
		if len(p.raw) != 1 || len(p.raw[0]) != 40 {
			t.Fatalf("wrote %x", p.raw)
		}
	}
	if bytes.Equal(p.raw[0], q.raw[0]) {
		t.Error("one nonce for two connections")
	}
}

// and C-2: any segmentation, and whole frames in one write.
func TestPhotonConnects(t *testing.T) {
	for _, split := range []int{0, 1, 7, 255} {
		t.Run(fmt.Sprint(split), func(t *testing.T) {
			b := newBench(t, nil)
			p := b.photon(photonRSA())
			p.split = split
			b.registerRSA(p, 1)
			p.connect()
			p.say(coap.Message{Type: coap.Confirmable})
			if last := p.got[len(p.got)-1]; last.Kind != coap.Acknowledged {
				t.Errorf("the ping was answered %+v", last)
			}
			for i, chunk := range p.raw[2:] {
				if len(chunk) < 18 || len(chunk) != 2+int(chunk[0])<<8+int(chunk[1]) {
					t.Errorf("write %d is not one whole frame: %d bytes (R-9)", i, len(chunk))
				}
			}
			if st, _ := b.node.Status(p.id); !st.Online || st.Transport != "tcp" {
				t.Errorf("status %+v", st)
			}
		})
	}
}

// refusals say nothing, and change nothing.
func TestPhotonRefused(t *testing.T) {
	for name, test := range map[string]struct {
		register bool
		key      func() *rsa.PrivateKey
		break_   bool
	}{
		"unknown id":  {false, photonRSA, false},
		"another key": {true, otherRSA, false},
		"garbage":     {true, photonRSA, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			p := b.photon(nil)
			if test.register {
				b.registerRSA(p, 1)
			}
			p.open(test.key(), test.break_)
			if test.break_ {
				p.write(bytes.Repeat([]byte{1}, 256))
				b.deliver()
			}
			if !p.closed || len(p.raw) != 1 {
				t.Errorf("closed %v after %d writes, want a close and the nonce only", p.closed, len(p.raw))
			}
			if d, err := b.store.Device(t.Context(), p.id); err == nil && !bytes.Equal(d.RSA, lightssl.AppendDeviceSPKI(nil, &photonRSA().PublicKey)) {
				t.Error("the registered key changed (R-6)")
			}
			if b.node.streams.len() != 0 {
				t.Error("the connection is still there")
			}
		})
	}
}

// hostile frames close the connection.
func TestHostileFrames(t *testing.T) {
	for name, frame := range map[string][]byte{
		"length 0":             {0, 0},
		"not a multiple of 16": {0, 17, 16: 0, 18: 0},
		"above the limit":      {0xff, 0xf0},
		"bad padding":          append([]byte{0, 16}, make([]byte, 16)...),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			p := b.photon(nil)
			b.registerRSA(p, 1)
			p.connect()
			p.write(frame)
			b.deliver()
			if !p.closed {
				t.Error("the connection is open")
			}
			if st, _ := b.node.Status(p.id); st.Online {
				t.Error("the device is online")
			}
		})
	}
}

// the first message is a Hello or the end.
func TestPhotonWithoutHello(t *testing.T) {
	for name, m := range map[string]coap.Message{
		"ping":  {Type: coap.Confirmable},
		"event": pdc.Publish{Name: "x"}.Message(pdc.NewDialect(2302, pdc.Photon)),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			p := b.photon(nil)
			b.registerRSA(p, 1)
			p.open(photonRSA(), false)
			p.say(m)
			b.wait(31 * time.Second)
			if !p.closed {
				t.Error("the connection is open")
			}
		})
	}
}

// each step has its time, and then resources are free.
func TestPhotonStalls(t *testing.T) {
	for name, stall := range map[string]func(p *photon){
		"before C1":    func(p *photon) { p.open(nil, true) },
		"in C1":        func(p *photon) { p.open(nil, true); p.write(make([]byte, 100)) },
		"before Hello": func(p *photon) { p.open(photonRSA(), false) },
		"after Hello":  func(p *photon) { p.connect() },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			p := b.photon(nil)
			b.registerRSA(p, 1)
			stall(p)
			b.wait(29 * time.Second)
			if p.closed {
				t.Fatal("closed before its time")
			}
			b.wait(12 * time.Second)
			if !p.closed || b.node.streams.len() != 0 {
				t.Errorf("closed %v, %d streams", p.closed, b.node.streams.len())
			}
		})
	}
}

// A photon that is back replaces its old connection, which is closed.
func TestPhotonReconnects(t *testing.T) {
	b := newBench(t, nil)
	p := b.photon(nil)
	b.registerRSA(p, 1)
	p.connect()
	q := b.photon(nil)
	q.connect()
	if !p.closed || b.node.streams.len() != 1 {
		t.Errorf("closed %v, %d streams", p.closed, b.node.streams.len())
	}
	b.node.StreamClosed(b.now, q.stream, transport.ClosedByPeer, b.out)
	b.deliver()
	if st, _ := b.node.Status(p.id); st.Online || b.node.streams.len() != 0 {
		t.Errorf("status %+v", st)
	}
}

// S9: a photon and a boron of one account hear each other.
func TestEventsBetweenTransports(t *testing.T) {
	b := newBench(t, nil)
	p, q := b.photon(nil), b.puppet(1, 5)
	b.registerRSA(p, 1)
	b.register(q, 1)
	p.connect()
	q.connect()
	p.say(pdc.Subscribe{Filter: "temp"}.Message(p.dia))
	q.wantAck(q.say(pdc.Subscribe{Filter: "temp"}.Message(q.dialect())))
	p.say(pdc.Publish{Name: "temp", Data: []byte("1")}.Message(p.dia))
	q.wantAck(q.say(pdc.Publish{Private: true, Name: "temp", Data: []byte("2")}.Message(q.dialect())))
	if got := p.requests(pdc.KindEventDelivery); len(got) != 2 || got[0].Type != coap.NonConfirmable {
		t.Errorf("the photon got %v (C-55)", got)
	}
	if got := q.requests(pdc.KindEventDelivery); len(got) != 2 {
		t.Errorf("the boron got %v", got)
	}
}

// A function over TCP, with the ACK and the result of that transport.
// A board answers a ping over TCP with an ID of its own; what waits behind the
// ping goes on.
func TestPingOverTCP(t *testing.T) {
	b := newBench(t, nil)
	p := b.photon(nil)
	b.registerRSA(p, 1)
	p.connect()
	b.command(p.id, func(now clock.Instant, d *app.Device, out *app.Out) { d.Ping(now, 7, out) })
	b.command(p.id, func(now clock.Instant, d *app.Device, out *app.Out) { d.Ping(now, 8, out) })
	for _, ref := range []uint64{7, 8} {
		if r := b.result(ref); r.Err != nil {
			t.Errorf("ping %d: %v", ref, r.Err)
		}
	}
}

func TestCallOverTCP(t *testing.T) {
	b := newBench(t, nil)
	p := b.photon(nil)
	b.registerRSA(p, 1)
	p.connect()
	describe := pdc.ApplicationDescribe{Functions: []string{"brew"}}
	p.say(pdc.DescribePost{Token: []byte{1}, Flags: pdc.DescribeApplication, Payload: describe.Append(nil)}.Message(p.dia))
	b.command(p.id, func(now clock.Instant, d *app.Device, out *app.Out) { d.Call(now, 7, "brew", "", out) })
	calls := p.requests(pdc.KindFunctionCall)
	if len(calls) != 1 {
		t.Fatalf("%d calls", len(calls))
	}
	p.say(pdc.FunctionResult{Token: calls[0].Token, Value: 42}.Message(p.dia))
	if r := b.result(7); r.Err != nil || r.Int != 42 {
		t.Errorf("got %+v", r)
	}
}

// command gives a device a command, and lets it happen.
func (b *bench) command(id store.DeviceID, f func(clock.Instant, *app.Device, *app.Out)) {
	b.node.Command(id, f)
	b.node.Advance(b.now, b.out)
	b.deliver()
}

// result returns what became of a command.
func (b *bench) result(ref uint64) app.Result {
	b.t.Helper()
	for _, o := range b.seen {
		if r, ok := o.Effect.(app.Result); ok && r.Ref == ref {
			return r
		}
	}
	b.t.Fatalf("no result of command %d", ref)
	return app.Result{}
}
