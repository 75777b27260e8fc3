package api_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"net"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/muster/muster/cloudref"
	"github.com/muster/muster/cloudref/api"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/link"
	"github.com/muster/muster/protocol/module"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
)

// patience bounds everything that a test waits for.
const patience = time.Minute

// A site is a cloud on real sockets with its API, an account and its token.
type site struct {
	t       testing.TB
	cloud   *cloudref.Cloud
	rest    *api.Server
	http    *httptest.Server
	url     string
	account store.AccountID
	token   string
	status  int // of the last answer
}

const (
	username = "alice@example.com"
	password = "correct horse"
)

func newSite(t testing.TB) *site {
	t.Helper()
	x := start(t, "")
	var err error
	if x.account, err = x.rest.CreateUser(t.Context(), username, password); err != nil {
		t.Fatal(err)
	}
	if x.token, err = x.rest.IssueToken(t.Context(), x.account, time.Hour); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.stop)
	return x
}

// start runs a cloud with the state of a directory, or with none.
func start(t testing.TB, dir string) *site {
	t.Helper()
	return startAt(t, dir, netip.MustParseAddrPort("127.0.0.1:0"))
}

func startAt(t testing.TB, dir string, udp netip.AddrPort) *site {
	t.Helper()
	cloud, err := cloudref.Start(t.Context(), cloudref.Options{
		Dir: dir,
		UDP: udp, ECKey: seed.P256(seed.Bytes(1, "cloud")), RSAKey: seed.RSA(seed.Bytes(1, "cloud"), 2048),
		Log: func(line string) { t.Log("cloud:", line) },
	})
	if err != nil {
		t.Fatal(err)
	}
	rest := cloud.API(api.Config{DeviceTimeout: patience, Log: func(line string) { t.Log("api:", line) }})
	h := httptest.NewServer(rest)
	return &site{t: t, cloud: cloud, rest: rest, http: h, url: h.URL}
}

func (x *site) stop() {
	x.rest.Close()
	x.http.Close()
	if err := x.cloud.Stop(); err != nil {
		x.t.Error(err)
	}
}

var dialect = pdc.NewDialect(6200, pdc.Boron)

// A puppet is a device that answers over real sockets. One goroutine drives it.
type puppet struct {
	x      *site
	id     store.DeviceID
	name   string
	key    *ecdsa.PrivateKey
	conn   *net.UDPConn
	client *dtls.Client
	link   *link.Link
	online chan bool // yields when the device is connected and has described itself
	heard  chan pdc.EventDelivery
	lit    chan bool // signals
	tasks  chan func()
	failed error

	greeting, describing uint16 // message ids
	image                map[uint32][]byte
	geometry             pdc.Geometry
	finishing            uint16 // message id of the answer to UpdateFinish
	updated              bool

	answers map[byte]chan coap.Message // to requests of the device, by token
	noticed chan pdc.LedgerCall

	roamAt  int            // after so many chunks it goes on from another address, at another node
	roamTo  netip.AddrPort // of that node
	arrived chan []byte
	ctx     context.Context //nolint:containedctx // of its goroutines

	product, version uint16 // of its firmware; zero: none
	becomes          uint16 // the version after an update
}

// puppet makes a device known to the cloud, and connects it.
func (x *site) puppet(n byte, name string, owner store.AccountID, edit ...func(*puppet)) *puppet {
	x.t.Helper()
	p := &puppet{
		x: x, name: name, key: seed.P256(seed.Bytes(uint64(n), "device")), id: store.DeviceID{0xe0, 0x0f, 0xce, 0x68, 11: n},
		online: make(chan bool, 8), heard: make(chan pdc.EventDelivery, 64), lit: make(chan bool, 8), tasks: make(chan func(), 8),
		answers: map[byte]chan coap.Message{}, noticed: make(chan pdc.LedgerCall, 8),
	}
	for _, f := range edit {
		f(p)
	}
	spki, err := x509.MarshalPKIXPublicKey(&p.key.PublicKey)
	if err != nil {
		x.t.Fatal(err)
	}
	if err := x.cloud.Register(x.t.Context(), cloudref.Registration{ID: p.id, Name: name, Owner: owner, P256: spki}); err != nil {
		x.t.Fatal(err)
	}
	if p.conn, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(x.cloud.UDP())); err != nil {
		x.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	p.ctx, p.arrived = ctx, make(chan []byte, 64)
	go p.read(ctx, p.conn, p.arrived)
	go func() { defer close(done); p.drive(ctx, p.arrived) }()
	x.t.Cleanup(func() { cancel(); <-done; _ = p.conn.Close() })
	p.wait(p.online)
	return p
}

func (p *puppet) wait(c <-chan bool) bool {
	p.x.t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		p.x.t.Fatalf("nothing came: %v", p.failed)
		return false
	}
}

// roam lets the device go on from another address, to another node, as if the network
// had chosen so: it notices nothing, but pings, as devices do now and then.
func (p *puppet) roam(to netip.AddrPort) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		p.failed = err
		return
	}
	_ = p.conn.Close()
	p.conn = conn
	go p.read(p.ctx, conn, p.arrived)
	p.say(coap.Message{Type: coap.Confirmable}) // a ping, again and again until it arrives
}

func (p *puppet) read(ctx context.Context, conn *net.UDPConn, arrived chan<- []byte) {
	for {
		b := make([]byte, 2048)
		n, err := conn.Read(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		select {
		case arrived <- b[:max(n, 0)]:
		case <-ctx.Done():
			return
		}
	}
}

func (p *puppet) now() clock.Instant { return p.x.cloud.Clock().Now() }

func (p *puppet) drive(ctx context.Context, arrived <-chan []byte) {
	p.connect()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		due := p.client.Deadline()
		if p.link != nil {
			due = p.link.Deadline()
		}
		timer.Reset(min(time.Minute, max(0, p.x.cloud.Clock().Until(due))))
		var secure dtls.Out
		var out link.Out
		select {
		case b := <-arrived:
			if p.link == nil {
				p.client.Receive(p.now(), b, &secure)
			} else {
				p.link.Receive(p.now(), b, &out)
			}
		case <-timer.C:
			if p.link == nil {
				p.client.Advance(p.now(), &secure)
			} else {
				p.link.Advance(p.now(), &out)
			}
		case task := <-p.tasks:
			task()
		case <-ctx.Done():
			return
		}
		p.secured(&secure)
		p.linked(&out)
	}
}

// connect begins a handshake, as after a reset.
func (p *puppet) connect() {
	p.link = nil
	p.client = dtls.NewClient(&dtls.ClientConfig{
		Gen: dtls.GenF, Key: p.key, ServerKey: &seed.P256(seed.Bytes(1, "cloud")).PublicKey, DeviceID: p.id, Rand: rand.Reader,
	})
	var out dtls.Out
	p.client.Start(p.now(), &out)
	p.secured(&out)
}

func (p *puppet) send(datagram []byte) {
	if _, err := p.conn.Write(datagram); err != nil && !errors.Is(err, net.ErrClosed) {
		p.failed = err
	}
}

func (p *puppet) secured(out *dtls.Out) {
	for _, d := range out.Datagrams {
		p.send(d)
	}
	for _, e := range out.Events {
		switch e.Kind {
		case dtls.EventEstablished:
			l := link.OverDTLS(e.Session, coap.NewExchange(&coap.DeviceUDP, 0, seed.Stream(1, "puppet"), nil))
			p.link = &l
			p.greeting = p.say(p.hello())
		case dtls.EventFailed:
			p.failed = e.Err
		default:
		}
	}
}

func (p *puppet) hello() coap.Message {
	flags := dialect.HelloFlags()
	if p.updated {
		flags |= pdc.HelloUpdated
	}
	product, version := uint16(dialect.Platform), uint16(0xffff)
	if p.product != 0 {
		product, version = p.product, p.version
	}
	return pdc.Hello{
		ProductID: product, ProductVersion: version, Flags: flags, Platform: dialect.Platform,
		DeviceID: p.id[:], System: dialect.System, MaxMessage: 1152, ChunkSize: 512,
	}.Message(dialect)
}

// describe tells modules, functions and variables, and subscribes to one prefix.
func (p *puppet) describe() {
	system := pdc.SystemDescribe{
		Platform: dialect.Platform, HasPlatform: true, IMEI: "353500000000001", ICCID: "89000000000000000001",
		Modules: []pdc.ModuleInfo{
			{Function: pdc.ModuleBootloader, Version: 1100, Checked: 0x3e, Passed: 0x3e, MaxSize: 48 << 10},
			{Function: pdc.ModuleSystemPart, Index: 1, Version: uint32(dialect.System), Checked: 0x3e, Passed: 0x3e, MaxSize: 640 << 10},
			{Function: pdc.ModuleUserPart, Index: 1, Version: 6, Checked: 0x3e, Passed: 0x3e, MaxSize: 128 << 10, Hash: make([]byte, 32)},
		},
	}
	p.say(pdc.DescribePost{Token: []byte{1}, Flags: pdc.DescribeSystem, Protobuf: true, Payload: system.AppendProto(nil)}.Message(dialect))
	application := pdc.ApplicationDescribe{
		Functions: []string{"brew"},
		Variables: []pdc.VariableInfo{{Name: "temp", Type: pdc.VariableDouble}, {Name: "state", Type: pdc.VariableString}},
	}
	p.say(pdc.Subscribe{Filter: "orders", Scope: pdc.ScopeMyDevices}.Message(dialect))
	p.describing = p.say(pdc.DescribePost{Token: []byte{2}, Flags: pdc.DescribeApplication, Payload: application.Append(nil)}.Message(dialect))
}

func (p *puppet) say(m coap.Message) uint16 {
	var out link.Out
	id := p.link.Send(p.now(), m, 0, &out)
	p.linked(&out)
	return id
}

func (p *puppet) reply(to, m coap.Message) {
	if to.Type != coap.Confirmable {
		return
	}
	var out link.Out
	p.link.Reply(p.now(), to, m, &out)
	p.linked(&out)
}

func (p *puppet) linked(out *link.Out) {
	for _, d := range out.Packets {
		p.send(d)
	}
	for _, e := range out.Events {
		switch {
		case e.Kind == link.Closed:
			p.failed = e.Err
		case e.Kind != link.Exchange:
		case e.CoAP.Kind == coap.Received:
			p.receive(e.CoAP.Message)
		case e.CoAP.Kind == coap.Acknowledged:
			p.acknowledged(e.CoAP.ID)
			p.answered(e.CoAP.Message)
		}
	}
}

func (p *puppet) acknowledged(id uint16) {
	switch id {
	case p.greeting:
		p.describe()
	case p.describing:
		p.online <- true
	case p.finishing:
		p.finishing, p.updated, p.version = 0, true, p.becomes
		p.connect()
	}
}

// answered gives an answer to whom it is for.
func (p *puppet) answered(m coap.Message) {
	if len(m.Token) != 1 || m.Code == coap.Empty {
		return
	}
	if c := p.answers[m.Token[0]]; c != nil {
		delete(p.answers, m.Token[0])
		m.Payload = append([]byte(nil), m.Payload...)
		m.Options = append(m.Options[:0:0], m.Options...)
		for i := range m.Options {
			m.Options[i].Value = append([]byte(nil), m.Options[i].Value...)
		}
		c <- m
	}
}

// ask sends a request with a token and waits for the answer.
func (p *puppet) ask(token byte, m coap.Message) coap.Message {
	p.x.t.Helper()
	c := make(chan coap.Message, 1)
	p.tasks <- func() { p.answers[token] = c; p.say(m) }
	select {
	case answer := <-c:
		return answer
	case <-time.After(patience):
		p.x.t.Fatalf("no answer: %v", p.failed)
		panic("unreachable")
	}
}

// receive answers what the cloud asks for.
func (p *puppet) receive(m coap.Message) {
	if coap.IsResponse(m.Code) {
		p.answered(m)
		p.reply(m, coap.Message{})
		return
	}
	switch pdc.Classify(m, false) {
	case pdc.KindLedgerNotify:
		n, err := pdc.ParseLedgerNotify(m)
		if err != nil {
			p.failed = err
			return
		}
		call, err := pdc.ParseLedgerCall(append([]byte(nil), n.Payload...))
		p.reply(m, coap.Message{})
		p.say(pdc.LedgerNotifyResponse{Token: n.Token, OK: err == nil}.Message(dialect))
		p.noticed <- call
	case pdc.KindFunctionCall:
		if call, err := pdc.ParseFunctionCall(m); err == nil {
			p.reply(m, coap.Message{})
			p.say(pdc.FunctionResult{Token: call.Token, Value: int32(len(call.Argument))}.Message(dialect))
		}
	case pdc.KindVariableRequest:
		if r, err := pdc.ParseVariableRequest(m); err == nil {
			value := pdc.Value{Type: pdc.VariableDouble, Double: 93.5}
			if r.Name == "state" {
				value = pdc.Value{Type: pdc.VariableString, String: "idle"}
			}
			p.reply(m, coap.Message{})
			p.say(pdc.VariableValue{Token: r.Token, Code: coap.Content, Payload: value.Append(nil)}.Message(dialect))
		}
	case pdc.KindDescribeRequest:
		r, err := pdc.ParseDescribeRequest(m)
		if p.reply(m, coap.Message{}); err == nil && r.Flags == pdc.DescribeMetrics {
			p.say(pdc.DescribeResponse{Token: r.Token, Payload: pdc.AppendMetrics(nil, []pdc.Metric{
				{ID: pdc.MetricUptime, Value: 12345},
				{ID: pdc.MetricUsedRAM, Value: 76000},
				{ID: pdc.MetricRSSI, Value: -210, Failed: true},
				{ID: pdc.MetricSignalStrength, Value: 84*256 + 128},
				{ID: pdc.MetricCloudStatus, Value: 2},
				{ID: pdc.MetricRoundTrip, Value: 80},
				{ID: 40000, Value: 7},
			})}.Message(dialect))
		}
	case pdc.KindEventDelivery:
		if e, err := pdc.ParseEventDelivery(m); err == nil {
			e.Data = append([]byte(nil), e.Data...)
			p.heard <- e
		}
		p.reply(m, coap.Message{})
	case pdc.KindSignal:
		if s, err := pdc.ParseSignal(m); err == nil {
			p.lit <- s.On
			p.reply(m, pdc.SignalResponse{Token: s.Token}.Message(dialect))
		}
	case pdc.KindUpdateStart, pdc.KindUpdateChunk, pdc.KindUpdateFinish:
		p.update(m)
	default:
		p.reply(m, coap.Message{})
	}
}

// update takes an image by OTA protocol v3.
func (p *puppet) update(m coap.Message) {
	switch pdc.Classify(m, false) {
	case pdc.KindUpdateStart:
		u, err := pdc.ParseUpdateStart(m)
		if err != nil {
			p.failed = err
			return
		}
		p.geometry, p.image = pdc.Geometry{FileSize: u.FileSize, ChunkSize: u.ChunkSize}, map[uint32][]byte{}
		p.reply(m, coap.Message{})
		p.say(pdc.UpdateStartResponse{Token: u.Token, Window: pdc.WindowFor(u.ChunkSize)}.Message(dialect))
	case pdc.KindUpdateChunk:
		c, err := pdc.ParseUpdateChunk(m)
		if err != nil {
			p.failed = err
			return
		}
		p.image[c.Index] = append([]byte(nil), c.Data...)
		if p.roamAt > 0 && len(p.image) == p.roamAt {
			p.roamAt = 0
			p.roam(p.roamTo)
		}
		has := func(index uint32) bool { return p.image[index] != nil }
		p.say(pdc.NewUpdateAck(p.geometry.Count(), has).Message(dialect))
	default:
		f, err := pdc.ParseUpdateFinish(m)
		if err != nil {
			p.failed = err
			return
		}
		p.reply(m, coap.Message{})
		p.finishing = p.say(pdc.UpdateFinishResponse{Token: f.Token}.Message(dialect))
	}
}

// flashed returns the image that arrived.
func (p *puppet) flashed() []byte {
	got := make(chan []byte, 1)
	p.tasks <- func() {
		var b []byte
		for i := range p.geometry.Count() {
			b = append(b, p.image[i+1]...)
		}
		got <- b
	}
	return <-got
}

// publish publishes an event of the device.
func (p *puppet) publish(name, data string) {
	p.tasks <- func() {
		p.say(pdc.Publish{Private: true, Name: name, Data: []byte(data)}.Message(dialect))
	}
}

// binary is an application that suits the puppet.
func binary(size int) []byte {
	m := module.Module{Prefix: module.Prefix{
		Start: 0xd4000, Version: 7, Platform: dialect.Platform, Function: pdc.ModuleUserPart, Index: 1,
		Dependencies: [2]module.Dependency{{Function: pdc.ModuleSystemPart, Index: 1, Version: dialect.System}},
	}}
	m.Fill(size, seed.Bytes(1, "image"))
	return m.Append(nil)
}
