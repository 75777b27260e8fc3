package store

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/muster/muster/fixtures/natstest"
)

// keyFileTest makes a key for sessions.
func keyFileTest(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "key")
	if err := NewKeyFile(name); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestExternalServer(t *testing.T) {
	dir := t.TempDir()
	nats := natstest.StartWith(t, server.Options{JetStream: true, StoreDir: dir})
	c := Config{URL: nats.ClientURL(), KeyFile: keyFileTest(t)}
	x := openTest(t, c)
	x.want(nil, x.Do(x.ctx, PutDevice(device(1))))
	x.want(nil, x.Do(x.ctx, PutSession(session(1))))

	// Another node with another key must not start: to it the sessions of the
	// first are noise.
	other := c
	other.KeyFile = keyFileTest(t)
	if why := openFails(t, other, ErrWrongKey); strings.Contains(why, "lost") || !strings.Contains(why, "copy it from the data directory of a node that runs") {
		t.Error(why)
	}

	// A second node adopts the session; the first then finds that it lost it.
	second := mustOpen(t, c)
	defer second.Close()
	adopted, err := second.Session(x.ctx, deviceID(1))
	x.want(nil, err)
	x.want(nil, second.Do(x.ctx, PutSession(adopted).If(adopted.Revision)))
	x.want(ErrConflict, x.Do(x.ctx, PutSession(session(1)).If(adopted.Revision)))

	// Who was not told that a write was done finds it done, and goes on; others do not.
	x.want(nil, x.Do(x.ctx, PutDevice(device(3))))
	x.want(nil, x.Do(x.ctx, PutSession(session(3)).If(0).By("n.1")))
	for err = ErrUnknownDevice; errors.Is(err, ErrUnknownDevice); {
		_, err = second.Session(x.ctx, deviceID(3)) // until it has heard of the device
	}
	x.want(nil, err)
	for range 2 {
		again := []Op{PutSession(session(3)).If(0).By("n.1")}
		x.want(nil, x.Do(x.ctx, again...))
		read, err := second.Session(x.ctx, deviceID(3))
		x.want(nil, err)
		if read.Revision != again[0].Revision || again[0].Revision == 0 {
			t.Errorf("revision %d, and it is told %d", read.Revision, again[0].Revision)
		}
	}
	x.want(ErrConflict, second.Do(x.ctx, PutSession(session(3)).If(0).By("n.2")))
	x.want(ErrConflict, second.Do(x.ctx, PutSession(session(3)).If(0)))
	x.want(nil, second.Do(x.ctx, DropSession(deviceID(3))))
	x.want(nil, second.Do(x.ctx, PutSession(session(3)).If(0).By("n.2")))
	x.want(ErrConflict, x.Do(x.ctx, PutSession(session(3)).If(1).By("n.1")))
	x.want(nil, x.Do(x.ctx, DropSession(deviceID(3))))
	x.want(ErrConflict, x.Do(x.ctx, PutSession(session(3)).If(1).By("n.1")))

	// The server goes away and comes back.
	port := nats.Addr().(*net.TCPAddr).Port
	nats.Shutdown()
	nats.WaitForShutdown()
	x.want(ErrUnavailable, x.Do(x.ctx, PutDevice(device(2))))
	natstest.StartWith(t, server.Options{JetStream: true, Port: port, StoreDir: dir})
	for err = ErrUnavailable; errors.Is(err, ErrUnavailable); {
		err = x.Do(x.ctx, PutDevice(device(2))) // fails at once until connected
	}
	x.want(nil, err)
	x.restart()
	if len(x.sessions()) != 1 || x.Report().Devices != 3 {
		t.Errorf("got %+v", x.Report())
	}
}

func TestNoServer(t *testing.T) {
	c := Config{URL: "nats://user:sesame@127.0.0.1:1", KeyFile: keyFileTest(t)}
	s, err := Open(t.Context(), c)
	if err == nil {
		s.Close()
		t.Fatal("opened")
	}
	if strings.Contains(err.Error(), "sesame") || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("got %q", err)
	}
	t.Log(err)
}

// TestCluster stores on a quorum of three servers and loses one of them.
func TestCluster(t *testing.T) {
	t.Parallel() // it waits most of the time
	if testing.Short() {
		t.Skip("takes seconds: elections")
	}
	var ports [3]int
	var routes []*url.URL
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ports[i] = l.Addr().(*net.TCPAddr).Port
		l.Close()
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprint("127.0.0.1:", ports[i])})
	}
	var servers []*server.Server
	var urls []string
	for i, port := range ports {
		s := natstest.StartWith(t, server.Options{
			ServerName: fmt.Sprint("n", i), JetStream: true, Routes: routes,
			Cluster: server.ClusterOpts{Name: "muster", Host: "127.0.0.1", Port: port},
		})
		servers, urls = append(servers, s), append(urls, s.ClientURL())
	}
	waitForLeader(t, servers)

	c := Config{URL: strings.Join(urls, ","), KeyFile: keyFileTest(t)}
	x := openTest(t, c)
	info, err := x.backend.(*jet).js.Stream(x.ctx, bucketStream+bucketSessions.String())
	x.want(nil, err)
	if n := info.CachedInfo().Config.Replicas; n != 3 {
		t.Errorf("got %d replicas, want 3", n)
	}
	for i := range 50 {
		x.want(nil, x.Do(x.ctx, PutDevice(device(i))))
		x.want(nil, x.Do(x.ctx, PutSession(session(i)), Reserve(Progress{Device: deviceID(i), CID: cidOf(i), Reserved: 1000})))
	}
	servers[0].Shutdown()
	servers[0].WaitForShutdown()
	waitForLeader(t, servers[1:])
	retry := func(op Op) {
		t.Helper()
		for try := 0; ; try++ {
			err := x.Do(x.ctx, op)
			if err == nil {
				return
			}
			if try == 1e5 || !errors.Is(err, ErrUnavailable) {
				t.Fatal(err)
			}
		}
	}
	retry(PutDevice(device(50)))
	retry(PutSession(session(50)))
	retry(Reserve(Progress{Device: deviceID(50), CID: cidOf(50), Reserved: 1000}))
	all := x.sessions()
	for i := range 51 {
		if s := all[deviceID(i)]; s == nil || s.Reserved != 1000 {
			t.Errorf("session %d: got %+v", i, s)
		}
	}
}

// waitForLeader polls, as the server has no other way to tell.
func waitForLeader(t *testing.T, servers []*server.Server) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 6000 {
		<-tick.C
		for _, s := range servers {
			if s.JetStreamIsLeader() && len(s.JetStreamClusterPeers()) >= len(servers) {
				return
			}
		}
	}
	t.Fatal("no leader was elected")
}

// Whose the tokens and clients are is known at every node, whichever made or removed
// them, and in one that starts later.
func TestOwnedRecordsAtTwoNodes(t *testing.T) {
	nats := natstest.StartWith(t, server.Options{JetStream: true, StoreDir: t.TempDir()})
	c := Config{URL: nats.ClientURL(), KeyFile: keyFileTest(t)}
	x := openTest(t, c)
	second := mustOpen(t, c)
	defer second.Close()
	now := time.Now()
	x.want(nil, x.AddTokens(x.ctx, now, &Token{Hash: HashToken("a"), Account: alice, Kind: AccessToken}, &Token{Hash: HashToken("r"), Account: alice, Kind: RefreshToken}))
	x.want(nil, second.AddTokens(x.ctx, now, &Token{Hash: HashToken("b"), Account: alice, Kind: AccessToken}))
	x.want(nil, x.AddClient(x.ctx, &Client{ID: "one", Account: alice}))
	third := mustOpen(t, c)
	defer third.Close()
	count := func(tokens, clients int) {
		t.Helper()
		for i, s := range []*Store{x.Store, second, third} {
			for {
				held, err := s.Tokens(x.ctx, alice)
				x.want(nil, err)
				made, err := s.Clients(x.ctx, alice)
				x.want(nil, err)
				if len(held) == tokens && len(made) == clients && len(s.tokens.of(alice)) == tokens && len(s.clients.of(alice)) == clients {
					break
				}
				select {
				case <-x.ctx.Done():
					t.Fatalf("node %d knows of %d tokens and %d clients, want %d and %d", i, len(held), len(made), tokens, clients)
				case <-time.After(time.Millisecond):
				}
			}
		}
	}
	count(3, 1)
	x.want(nil, second.RemoveToken(x.ctx, HashToken("a")))
	x.want(nil, third.RemoveClient(x.ctx, "one"))
	count(2, 0)
}
