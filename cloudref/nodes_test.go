package cloudref

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/cluster"
	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/hooks"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/fixtures/natstest"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
)

// startNodes starts a cloud of several nodes, whose data directories have the same
// keys.
func startNodes(t *testing.T, n int, url string, edit ...func(*endpoint.Config)) []*Cloud {
	t.Helper()
	var all []*Cloud
	first := t.TempDir()
	for i := range n {
		dir := first
		if i > 0 {
			dir = t.TempDir()
			copyKeys(t, first, dir)
		}
		all = append(all, startCloud(t, Options{Dir: dir, NATS: url, TCP: anyPort, Adjust: func(c *endpoint.Config) {
			for _, f := range edit {
				f(c)
			}
		}}))
	}
	eventually(t, "all nodes know one another", func() bool {
		for _, c := range all {
			if c.Nodes() != n {
				return false
			}
		}
		return true
	})
	return all
}

func copyKeys(t *testing.T, from, to string) {
	t.Helper()
	for _, file := range []string{fileECKey, fileRSAKey, "session.key"} {
		if err := writeSecret(filepath.Join(to, file), must(os.ReadFile(filepath.Join(from, file)))); err != nil {
			t.Fatal(err)
		}
	}
}

// eventually waits for something that other processes and goroutines bring about.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !is(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// Nodes that are asked for an account of one name at once have one account.
func TestOneNameOneAccount(t *testing.T) {
	nats := natstest.Start(t)
	nodes := startNodes(t, 2, nats.ClientURL())
	for i := range 30 {
		var ids [2]store.AccountID
		var errs [2]error
		var wg sync.WaitGroup
		for n := range nodes {
			wg.Go(func() { ids[n], errs[n] = nodes[n].Account(t.Context(), fmt.Sprint("user", i)) })
		}
		wg.Wait()
		if ids[0] != ids[1] || errors.Join(errs[:]...) != nil {
			t.Errorf("accounts %v, %v", ids, errs)
		}
	}
}

// A device moves between two nodes: nothing of it is lost, and both are one cloud
// to those who use it.
func TestTwoNodes(t *testing.T) {
	t.Parallel() // it waits most of the time
	nats := natstest.Start(t)
	nodes := startNodes(t, 2, nats.ClientURL())
	a, b := nodes[0], nodes[1]
	owner := must(a.Account(t.Context(), "alice"))
	if other := must(b.Account(t.Context(), "alice")); other != owner {
		t.Fatalf("one name, two accounts: %v and %v", owner, other)
	}
	p, q := newPuppet(1, &a.o.ECKey.PublicKey), newPuppet(2, &a.o.ECKey.PublicKey)
	p.tape = new(tape)
	register(t, a, owner, p)
	register(t, b, owner, q)
	eventually(t, "each node knows what the other registered", func() bool {
		_, one := a.store.Identity(q.id)
		_, two := b.store.Identity(p.id)
		return one && two
	})
	streams := []*Stream{a.Subscribe(owner, ""), b.Subscribe(owner, "")}
	for i, x := range []*puppet{p, q} {
		if err := x.dial(nodes[i].UDP()); err != nil {
			t.Fatal(err)
		}
		if err := x.connect(); err != nil {
			t.Fatal(err)
		}
	}
	// Events, stored and not, are seen at both nodes, once.
	for _, s := range streams {
		wantEvent(t, s, "spark/status", "online")
		wantEvent(t, s, "spark/status", "online")
	}
	if !p.say(p.publish("news", "1"), patience) {
		t.Fatal("no acknowledgement")
	}
	if err := b.Publish(t.Context(), owner, app.Event{Name: "news", Data: []byte("2")}); err != nil {
		t.Fatal(err)
	}
	for _, s := range streams {
		got := map[string]int{}
		for range 2 {
			e := nextEvent(t, s)
			got[e.Name+string(e.Data)]++
		}
		if len(got) != 2 {
			t.Errorf("heard %v", got)
		}
	}
	if !q.run(patience, func() bool { return len(q.deliveries("news")) == 2 }) {
		t.Errorf("the device at the other node heard %v", q.deliveries("news"))
	}
	// A command finds its device at the other node.
	stop := inBackground(p)
	got, err := b.Call(t.Context(), p.id, "double", "12345")
	if err != nil || got != 10 {
		t.Errorf("called from the other node: %d, %v", got, err)
	}
	var failure *app.Failure
	if _, err := b.Call(t.Context(), p.id, "tea", ""); !errors.As(err, &failure) || failure.Reason != app.NoSuchName {
		t.Errorf("got %v", err)
	}
	eventually(t, "the other node says what it is", func() bool {
		st := b.Status(p.id)
		return st.Online && st.Transport == "udp" && st.Peer != "" && st.Describe != nil && len(st.Describe.Application.Functions) == 1 && st.Hello.System == 6200
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	if _, err := b.Call(ctx, p.id, "never", ""); err == nil {
		t.Error("a call without a function")
	}
	cancel()
	stop()

	// What somebody recorded of it moves nothing, and is not taken again.
	if !p.say(p.publish("once", "1"), patience) {
		t.Fatal("no acknowledgement")
	}
	replay := func() {
		t.Helper()
		for _, c := range nodes {
			if answers, err := p.tape.play(c.UDP()); err != nil || len(answers) > 0 {
				t.Errorf("records of before were answered with %d, %v", len(answers), err)
			}
		}
	}
	replay()

	// The device moves: no handshake, no sequence twice, its state is there.
	for round, to := range []*Cloud{b, a, b} {
		if err := p.resume(to.UDP()); err != nil {
			t.Fatal(err)
		}
		if !p.say(p.publish("news", fmt.Sprint("moved", round)), patience) {
			t.Fatalf("round %d: no acknowledgement: %v", round, p.ended)
		}
		from := a
		if to == a {
			from = b
		}
		eventually(t, "the node that it left knows", func() bool {
			return !from.node.Holds(p.id) && from.Status(p.id).Online
		})
		stop := inBackground(p)
		for _, c := range nodes {
			if got, err := c.Call(t.Context(), p.id, "double", "123"); err != nil || got != 6 {
				t.Errorf("round %d: %d, %v", round, got, err)
			}
		}
		stop()
		// When this is acknowledged, the store knows of everything that came before.
		if !p.say(p.publish("noted", "1"), patience) {
			t.Fatalf("round %d: no acknowledgement: %v", round, p.ended)
		}
		replay()
	}
	if p.shakes != 1 || p.back != 0 {
		t.Errorf("%d handshakes, %d sequences that were used before", p.shakes, p.back)
	}
	if !p.run(patience, func() bool { return len(p.deliveries("news")) >= 2 }) {
		t.Error("its subscription is lost")
	}
	if n := storedEvents(t, b)[p.id.String()+" once"]; n != 1 {
		t.Errorf("an event was stored %d times", n)
	}
	// What one node removes is removed at the other.
	if err := a.store.RemoveDevice(t.Context(), p.id); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its session ends at the other node", func() bool { return !b.node.Holds(p.id) })
	if adopted := a.node.Counts().Adopted.Load() + b.node.Counts().Adopted.Load(); adopted != 3 {
		t.Errorf("%d sessions were adopted", adopted)
	}
}

// A device over TCP is found at its node, and at the next one when it connects there.
// It and one over UDP at the other node hear each other.
func TestPhotonAtTwoNodes(t *testing.T) {
	t.Parallel() // it waits most of the time
	nats := natstest.Start(t)
	nodes := startNodes(t, 2, nats.ClientURL())
	a, b := nodes[0], nodes[1]
	owner := must(a.Account(t.Context(), "alice"))
	id := store.DeviceID{0x53, 11: 1}
	key := lightssl.GenerateDeviceKey(seed.Bytes(1, "photon"))
	if err := a.Register(t.Context(), Registration{ID: id, Owner: owner, RSA: lightssl.AppendDeviceSPKI(nil, &key.PublicKey)}); err != nil {
		t.Fatal(err)
	}
	q := newPuppet(2, &a.o.ECKey.PublicKey)
	register(t, a, owner, q)
	eventually(t, "the other node knows both", func() bool {
		_, one := b.store.Identity(id)
		_, two := b.store.Identity(q.id)
		return one && two
	})
	if err := q.dial(b.UDP()); err != nil {
		t.Fatal(err)
	}
	if err := q.connect(); err != nil {
		t.Fatal(err)
	}
	dia := pdc.NewDialect(2302, pdc.Photon)
	want := func(m coap.Message, err error) coap.Message {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for round, at := range []*Cloud{a, b, a} {
		say, await, err := photonConnect(at, id, 1)
		if err != nil {
			t.Fatal(err)
		}
		must1(t, say(pdc.Hello{ProductID: 6, ProductVersion: 0xffff, Flags: dia.HelloFlags(), Platform: pdc.Photon}.Message(dia)))
		want(await(pdc.KindServerHello))
		describe := pdc.ApplicationDescribe{Functions: []string{"brew"}}
		must1(t, say(pdc.DescribePost{Token: []byte{1}, Flags: pdc.DescribeApplication, Payload: describe.Append(nil)}.Message(dia)))
		must1(t, say(pdc.Subscribe{Filter: "news", Reliability: pdc.Confirmed}.Message(dia)))
		must1(t, say(pdc.Publish{Private: true, Name: fmt.Sprint("news/", round)}.Message(dia)))
		want(await(pdc.KindEventDelivery)) // its own: it has subscribed
		name := fmt.Sprint("news/", round)
		if !q.run(patience, func() bool { return len(q.deliveries(name)) == 1 }) {
			t.Fatalf("round %d: the device over UDP heard nothing", round)
		}
		if !q.say(q.publish("news", fmt.Sprint(round)), patience) {
			t.Fatal("no acknowledgement")
		}
		if e, err := pdc.ParseEventDelivery(want(await(pdc.KindEventDelivery))); err != nil || string(e.Data) != fmt.Sprint(round) {
			t.Errorf("round %d: the device over TCP heard %+v, %v", round, e, err)
		}
		other := a
		if at == a {
			other = b
		}
		eventually(t, "the other node knows where it is", func() bool {
			st := other.Status(id)
			return st.Online && st.Transport == "tcp" && at.node.Holds(id) && !other.node.Holds(id)
		})
		answer := make(chan error, 1)
		go func() {
			got, err := other.Call(t.Context(), id, "brew", "tea")
			if err == nil && got != 7 {
				err = fmt.Errorf("it returned %d", got)
			}
			answer <- err
		}()
		call, err := pdc.ParseFunctionCall(want(await(pdc.KindFunctionCall)))
		if err != nil {
			t.Fatal(err)
		}
		must1(t, say(pdc.FunctionResult{Token: call.Token, Value: 7}.Message(dia)))
		if err := <-answer; err != nil {
			t.Errorf("round %d: called from the other node: %v", round, err)
		}
		// What the other node says of an earlier time does not end the connection.
		marker := store.DeviceID{9, 11: byte(round)}
		other.nodes.Load().cluster.Announce(
			cluster.Presence{Device: id, Online: true, Transport: "tcp", At: a.o.Clock.Start()},
			cluster.Presence{Device: marker, Online: true, Transport: "tcp", At: a.o.Clock.Start()})
		eventually(t, "late news has come", func() bool { _, known := at.nodes.Load().cluster.Find(marker); return known })
		must1(t, say(pdc.Publish{Private: true, Name: "news/late"}.Message(dia)))
		want(await(pdc.KindEventDelivery))
	}
}

func must1(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A forged record with the right connection id moves nothing.
func TestForgedRecordMovesNoSession(t *testing.T) {
	nats := natstest.Start(t)
	nodes := startNodes(t, 2, nats.ClientURL())
	owner := must(nodes[0].Account(t.Context(), "alice"))
	p := connected(t, nodes[0], owner)
	forger := newPuppet(2, nil)
	if err := forger.dial(nodes[1].UDP()); err != nil {
		t.Fatal(err)
	}
	cid := p.link.DTLS().Export().WriteCID
	record := append([]byte{25, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0x7f, 0}, cid.Bytes()...)
	record = append(record, 0, 32)
	forger.send([][]byte{append(record, make([]byte, 32)...)})
	eventually(t, "it has arrived", func() bool { return nodes[1].node.Counts().Datagrams.Load() > 0 })
	if !p.say(p.publish("temp", "1"), patience) || !nodes[0].node.Holds(p.id) || nodes[1].node.Holds(p.id) {
		t.Error("a forged record moved the session")
	}
}

// What a device had sent to its old node, and the network delivers only when the
// device has gone on, does not move the session back.
func TestLateRecordMovesNoSession(t *testing.T) {
	nats := natstest.Start(t)
	nodes := startNodes(t, 2, nats.ClientURL(), func(c *endpoint.Config) { c.WindowsPerSecond = -1 })
	a, b := nodes[0], nodes[1]
	owner := must(a.Account(t.Context(), "alice"))
	p := connected(t, a, owner)
	late := p.withhold(p.publish("late", "1"))
	if err := p.resume(b.UDP()); err != nil {
		t.Fatal(err)
	}
	if !p.say(coap.Message{Type: coap.Confirmable}, patience) {
		t.Fatalf("no acknowledgement: %v", p.ended)
	}
	eventually(t, "the node that it left knows", func() bool { return !a.node.Holds(p.id) })
	network := newPuppet(2, nil)
	if err := network.dial(a.UDP()); err != nil {
		t.Fatal(err)
	}
	network.send(late)
	eventually(t, "the late record was looked at", func() bool {
		c := a.node.Counts()
		return c.Unmoved.Load()+c.Adopted.Load() > 0
	})
	if a.node.Holds(p.id) || !b.node.Holds(p.id) {
		t.Error("a late record moved the session back")
	}
}

// A node whose connection to NATS breaks when a write was done, and before it is
// told, takes its own write for its own: the session stays.
func TestWriteOfUnknownFate(t *testing.T) {
	t.Parallel() // it waits most of the time
	nats := natstest.Start(t)
	w := natstest.NewWire(t, nats.Addr().String())
	dir, other := t.TempDir(), t.TempDir()
	a := startCloud(t, Options{Dir: dir, NATS: w.URL()})
	copyKeys(t, dir, other)
	b := startCloud(t, Options{Dir: other, NATS: nats.ClientURL()})
	owner := must(a.Account(t.Context(), "alice"))
	p := connected(t, a, owner)
	eventually(t, "the other node knows the device", func() bool { _, known := b.store.Identity(p.id); return known })
	top := must(b.store.Session(t.Context(), p.id)).Top
	w.Deafen()
	id := p.post(p.publish("temp", "1"))
	eventually(t, "the progress is stored", func() bool { return must(b.store.Session(t.Context(), p.id)).Top > top })
	w.Cut()
	if !p.run(patience, func() bool { return p.acked[id] }) {
		t.Fatalf("no acknowledgement: %v", p.ended)
	}
	if n := storedEvents(t, b)[p.id.String()+" temp"]; n != 1 || p.shakes != 1 || !a.node.Holds(p.id) {
		t.Errorf("stored %d times; %d handshakes", n, p.shakes)
	}
}

// A node that began to take a session, and died before it was its own, leaves it to
// whom the device talks to.
func TestSessionThatIsHalfTaken(t *testing.T) {
	t.Parallel() // it waits most of the time
	nats := natstest.Start(t)
	nodes := startNodes(t, 2, nats.ClientURL())
	a, b := nodes[0], nodes[1]
	owner := must(a.Account(t.Context(), "alice"))
	p := connected(t, a, owner)
	eventually(t, "the other node knows the device", func() bool { _, known := b.store.Identity(p.id); return known })
	s := must(b.store.Session(t.Context(), p.id))
	begun := store.Progress{Device: p.id, CID: s.CID, Reserved: s.Reserved + 1000, Top: s.Top, Window: s.Window}
	must1(t, b.store.Do(t.Context(), store.Reserve(begun).By("another")))
	if !p.say(p.publish("temp", "1"), patience) {
		t.Fatalf("no acknowledgement: %v", p.ended)
	}
	if n := storedEvents(t, b)[p.id.String()+" temp"]; n != 1 || p.shakes != 1 || p.back != 0 || !a.node.Holds(p.id) {
		t.Errorf("stored %d times; %d handshakes, %d sequences that were used before", n, p.shakes, p.back)
	}
}

// What is wrong with NATS, or with the keys, is told with what to do.
func TestNATSMessages(t *testing.T) {
	plain := natstest.StartWith(t, server.Options{})
	closed := natstest.StartWith(t, server.Options{JetStream: true, Username: "muster", Password: "sesame"})
	open := natstest.Start(t)
	first := startNodes(t, 1, open.ClientURL())[0]
	otherKeys := t.TempDir()
	if err := writeSecret(filepath.Join(otherKeys, "session.key"), must(os.ReadFile(filepath.Join(first.o.Dir, "session.key")))); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ dir, url, want string }{
		"nobody there":     {t.TempDir(), "nats://127.0.0.1:1", "no NATS server answers there"},
		"no JetStream":     {t.TempDir(), plain.ClientURL(), "nats-server -js"},
		"no password":      {t.TempDir(), closed.ClientURL(), "put user and password"},
		"no URL":           {t.TempDir(), "nats://127.0.0.1:port", "correct the URL"},
		"other session":    {t.TempDir(), open.ClientURL(), "copy it from the data directory of a node"},
		"other cloud keys": {otherKeys, open.ClientURL(), "copy cloud-udp.pem, cloud-tcp.pem and session.key"},
	} {
		c, err := Start(t.Context(), Options{Dir: test.dir, NATS: test.url, UDP: anyPort})
		if err == nil {
			_ = c.Stop()
		}
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// A node whose NATS servers go away says so, takes nothing meanwhile, and goes on when
// they are back.
func TestNATSGoesAway(t *testing.T) {
	t.Parallel() // it waits most of the time
	o := server.Options{JetStream: true, StoreDir: t.TempDir(), Port: freePorts(t, 1)[0]}
	nats := natstest.StartWith(t, o)
	var log syncBuffer
	c, err := Start(t.Context(), Options{Dir: t.TempDir(), NATS: nats.ClientURL(), UDP: anyPort, Log: func(line string) { fmt.Fprintln(&log, line) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { must1(t, c.Stop()) }() // before the second server
	owner := must(c.Account(t.Context(), "alice"))
	p := connected(t, c, owner)
	nats.Shutdown()
	nats.WaitForShutdown()
	eventually(t, "the node says so", func() bool {
		return strings.Contains(log.String(), "is in reach: nothing is acknowledged until one is")
	})
	id := p.post(p.publish("temp", "1"))
	if p.run(500*time.Millisecond, func() bool { return p.acked[id] }) {
		t.Error("acknowledged what is not stored")
	}
	natstest.StartWith(t, o)
	eventually(t, "the node says that it is back", func() bool { return strings.Contains(log.String(), "in reach again") })
	if !p.run(patience, func() bool { return p.acked[id] }) {
		t.Errorf("no acknowledgement: %v", p.ended)
	}
	if p.shakes != 1 || p.back != 0 {
		t.Errorf("%d handshakes, %d sequences went back", p.shakes, p.back)
	}
}

// A webhook that one node calls does not reach what another node serves.
func TestWebhooksDoNotReachOtherNodes(t *testing.T) {
	nats := natstest.Start(t)
	nodes := startNodes(t, 2, nats.ClientURL())
	own := netip.MustParseAddrPort("127.0.0.1:1")
	nodes[1].Own(own)
	eventually(t, "the first node knows of it", func() bool {
		return errors.Is(nodes[0].hooks.Guard.Check(own), hooks.ErrDenied)
	})
	if err := nodes[0].hooks.Guard.Check(netip.MustParseAddrPort("127.0.0.1:2")); err != nil {
		t.Error(err)
	}
}

// movedBy gives the puppet's socket another address of the cloud to hear and to speak
// to, as when an address moves from a machine to the next. The puppet itself moves not.
func (p *puppet) movedBy(t *testing.T, addr netip.AddrPort) {
	t.Helper()
	local := p.conn.LocalAddr().(*net.UDPAddr)
	must1(t, p.conn.Close())
	conn, err := net.DialUDP("udp4", local, net.UDPAddrFromAddrPort(addr))
	must1(t, err)
	p.conn = conn
}

// A device whose node is gone can be called through the others before it says anything.
func TestADeviceOfANodeThatIsGone(t *testing.T) {
	t.Parallel()
	nats := natstest.Start(t)
	nodes := startNodes(t, 2, nats.ClientURL())
	b, c := nodes[0], nodes[1]
	dir := t.TempDir()
	copyKeys(t, b.o.Dir, dir)
	a, err := Start(t.Context(), Options{Dir: dir, NATS: nats.ClientURL(), UDP: anyPort, TCP: anyPort})
	must1(t, err)
	owner := must(a.Account(t.Context(), "alice"))
	p := connected(t, a, owner)
	eventually(t, "the others know where it is", func() bool { return b.Status(p.id).Online && c.Status(p.id).Online })
	must1(t, a.Stop())
	p.movedBy(t, b.UDP())
	stop := inBackground(p)
	var got int32
	eventually(t, "the device is called", func() bool {
		got, err = b.Call(t.Context(), p.id, "double", "12345")
		return err == nil || !errors.Is(err, context.Canceled) && b.node.Holds(p.id)
	})
	if err != nil || got != 10 {
		t.Fatalf("called when its node was gone: %d, %v", got, err)
	}
	eventually(t, "the third node knows that it is there", func() bool { return c.Status(p.id).Online })
	if got, err := c.Call(t.Context(), p.id, "double", "123"); err != nil || got != 6 {
		t.Errorf("called from the third node: %d, %v", got, err)
	}
	stop()
	if p.shakes != 1 || p.back != 0 {
		t.Errorf("%d handshakes, %d sequences that were used before", p.shakes, p.back)
	}
}

// A node that is taken for gone although it is there loses the session, and no sequence
// is used twice, whoever speaks.
func TestANodeThatIsTakenForGone(t *testing.T) {
	t.Parallel()
	nats := natstest.Start(t)
	nodes := startNodes(t, 2, nats.ClientURL())
	a, b := nodes[0], nodes[1]
	owner := must(a.Account(t.Context(), "alice"))
	p := connected(t, a, owner)
	eventually(t, "the other knows where it is", func() bool { return b.Status(p.id).Online })
	claim := func(c *Cloud, gone bool) {
		done := make(chan struct{})
		c.node.Reclaim(p.id, &endpoint.Claim{Gone: func(store.NodeID) bool { return gone }, Local: c.speaksFrom}, func() { close(done) })
		<-done
	}
	claim(b, false)
	if b.node.Holds(p.id) || !a.node.Holds(p.id) {
		t.Fatal("a session was taken from a node that lives")
	}
	for round, x := range [][2]*Cloud{{b, a}, {a, b}, {b, a}} {
		to, from := x[0], x[1]
		eventually(t, "the session is taken", func() bool { // when the node has heard of it
			claim(to, true)
			return to.node.Holds(p.id)
		})
		eventually(t, "the node that had it has lost it", func() bool { return !from.node.Holds(p.id) })
		p.movedBy(t, to.UDP())
		stop := inBackground(p)
		if got, err := to.Call(t.Context(), p.id, "double", "1234"); err != nil || got != 8 {
			t.Fatalf("round %d: %d, %v", round, got, err)
		}
		stop()
	}
	// The device speaks to the one that has it not: it goes there, as ever.
	p.movedBy(t, a.UDP())
	if !p.say(p.publish("back", "1"), patience) {
		t.Fatalf("no acknowledgement: %v", p.ended)
	}
	if p.shakes != 1 || p.back != 0 {
		t.Errorf("%d handshakes, %d sequences that were used before", p.shakes, p.back)
	}
}
