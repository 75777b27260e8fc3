package rigs

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	mrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster/muster/cloudref"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/keyblob"
	"github.com/muster/muster/protocol/link"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/rigs/dfu"
	"github.com/muster/muster/rigs/fake"
	"github.com/muster/muster/rigs/rigtest"
)

// modem is what runs in a board: each time that it boots it connects to the cloud
// that its memory names, with the key that is in its memory, and says Hello.
type modem struct {
	t    *testing.T
	id   [12]byte
	wg   sync.WaitGroup
	stop context.CancelFunc

	mu       sync.Mutex
	connects int
}

func (m *modem) PowerOn(memory fake.Memory) {
	regions, err := dfu.KeysOf(pdc.Boron, keyblob.UDP)
	if err != nil {
		m.t.Error(err)
		return
	}
	blob, err := keyblob.Parse(memory.Read(regions.Server.Alt, regions.Server.Address, regions.Server.Size))
	if err != nil || blob.Address.IPv4 == [4]byte{} {
		return // its own cloud is not to be reached from here
	}
	const size = 121 // of a key in SEC1
	own, err1 := x509.ParseECPrivateKey(memory.Read(regions.Device.Alt, regions.Device.Address, size))
	cloud, err2 := x509.ParsePKIXPublicKey(blob.Key)
	server, isEC := cloud.(*ecdsa.PublicKey)
	if err1 != nil || err2 != nil || !isEC {
		m.t.Error(err1, err2)
		return
	}
	conn, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: blob.Address.IPv4[:], Port: int(blob.Address.Port)})
	if err != nil {
		m.t.Error(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	m.wg.Go(func() {
		defer conn.Close() //nolint:errcheck // the test ends
		m.connect(ctx, conn, own, server)
	})
}

// connect shakes hands and says Hello, until it is acknowledged.
func (m *modem) connect(ctx context.Context, conn *net.UDPConn, own *ecdsa.PrivateKey, server *ecdsa.PublicKey) {
	began := time.Now()
	now := func() clock.Instant { return clock.Instant(time.Since(began)) }
	buffer := make([]byte, 2048)
	receive := func() []byte {
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		n, err := conn.Read(buffer)
		if err != nil {
			return nil
		}
		return bytes.Clone(buffer[:n])
	}
	client := dtls.NewClient(&dtls.ClientConfig{Gen: dtls.GenF, Key: own, ServerKey: server, DeviceID: m.id, Rand: rand.Reader})
	var out dtls.Out
	client.Start(now(), &out)
	var session *link.Link
	for session == nil && ctx.Err() == nil {
		for _, d := range out.Datagrams {
			_, _ = conn.Write(d)
		}
		for _, e := range out.Events {
			switch e.Kind {
			case dtls.EventEstablished:
				l := link.OverDTLS(e.Session, coap.NewExchange(&coap.DeviceUDP, 0, mrand.New(mrand.NewPCG(1, 2)), nil))
				session = &l
			case dtls.EventFailed:
				return // an unknown key, which the test will notice
			default:
			}
		}
		out.Reset()
		if d := receive(); d != nil {
			client.Receive(now(), d, &out)
		} else if client.Deadline() <= now() {
			client.Advance(now(), &out)
		}
	}
	if session == nil {
		return
	}
	dialect := pdc.NewDialect(6200, pdc.Boron)
	hello := pdc.Hello{
		ProductID: 13, ProductVersion: 0xffff, Flags: dialect.HelloFlags(), Platform: pdc.Boron, DeviceID: m.id[:],
		System: 6200, MaxMessage: 1152, ChunkSize: 512,
	}
	var sent link.Out
	session.Send(now(), hello.Message(dialect), 0, &sent)
	m.mu.Lock()
	m.connects++
	m.mu.Unlock()
	for ctx.Err() == nil {
		for _, p := range sent.Packets {
			_, _ = conn.Write(p)
		}
		sent.Reset()
		if d := receive(); d != nil {
			session.Receive(now(), d, &sent)
		} else if session.Deadline() <= now() {
			session.Advance(now(), &sent)
		}
	}
}

func (m *modem) Reset() { m.PowerOff() }

func (m *modem) PowerOff() {
	if m.stop != nil {
		m.stop()
	}
}

// log is what a cloud prints.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// startCloud runs "muster cloud", as a person does, with the data folder that the
// rig looks for, and returns where it listens.
func startCloud(t *testing.T) (udp, http string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := cloudref.Command()
	var out logBuffer
	cmd.SetArgs([]string{"--data", cloudData(), "--udp", "127.0.0.1:0", "--tcp", "", "--http", "127.0.0.1:0", "--host", "127.0.0.1", "-v"})
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	done := make(chan error, 1)
	go func() { done <- cmd.ExecuteContext(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the cloud ended with %v", err)
		}
		if t.Failed() {
			t.Log(out.String())
		}
	})
	for range 12000 {
		if strings.Contains(out.String(), "the cloud is up") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	find := func(key string) string {
		_, address, _ := strings.Cut(out.String(), " "+key+"=")
		address, _, _ = strings.Cut(address, " ")
		return strings.TrimSpace(strings.Split(address, "\n")[0])
	}
	udp, http = find("udp"), find("http")
	if udp == "" || http == "" {
		t.Fatalf("the cloud does not say where it listens:\n%s", out.String())
	}
	return udp, "http://" + http
}

// TestProvisionToTheReferenceCloud: the whole way, as a person goes it: a board is
// pointed at "muster cloud", connects with its own key, and gets back what it had.
func TestProvisionToTheReferenceCloud(t *testing.T) {
	if _, err := os.Stat("/dev/ptmx"); err != nil {
		t.Skip(err)
	}
	t.Setenv("MUSTER_LOCK_DIR", t.TempDir())
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	t.Setenv("MUSTER_TOKEN", "")
	udp, api := startCloud(t)

	bench, err := rigtest.New()
	if err != nil {
		t.Skipf("no bench here: %v", err)
	}
	m := &modem{t: t}
	if _, err := hex.Decode(m.id[:], []byte(id)); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := bench.Close(); err != nil {
			t.Error(err)
		}
		m.wg.Wait()
	}()
	board, err := bench.Plug(fake.Spec{Serial: id, Platform: fake.Boron, Path: "1-1", Device: func(*fake.Board) (fake.Device, error) { return m, nil }}, nil)
	if err != nil {
		t.Fatal(err)
	}
	regions, err := dfu.KeysOf(pdc.Boron, keyblob.UDP)
	if err != nil {
		t.Fatal(err)
	}
	own, err := x509.MarshalECPrivateKey(seed.P256(seed.Bytes(5, "device")))
	if err != nil {
		t.Fatal(err)
	}
	board.Memory().Write(1, regions.Device.Address, own)
	board.Memory().Write(1, regions.Server.Address, []byte("the server key of before"))
	before := board.Memory().Read(1, regions.Server.Address, regions.Server.Size)

	d := &desktop{bench, board}
	out, err := d.run("provision", id, "--cloud", udp, "--api", api, "--within", "60s")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	has(t, out, "registering the device key", "is connected to "+udp)
	m.mu.Lock()
	if m.connects != 1 {
		t.Errorf("%d connects", m.connects)
	}
	m.mu.Unlock()
	// A second time, while the cloud may still take it for connected.
	if out, err = d.run("provision", id, "--cloud", udp, "--api", api, "--within", "60s"); err != nil {
		t.Fatalf("again: %v\n%s", err, out)
	}
	m.mu.Lock()
	if m.connects != 2 {
		t.Errorf("the second time: %d connects", m.connects)
	}
	m.mu.Unlock()
	if out, err = d.run("provision", "--restore"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !bytes.Equal(board.Memory().Read(1, regions.Server.Address, regions.Server.Size), before) {
		t.Error("the old server key is not back")
	}
	if left, _ := filepath.Glob(filepath.Join(os.Getenv("XDG_STATE_HOME"), "muster", "rig", "provision", "*.json")); len(left) != 0 {
		t.Errorf("still owed: %v", left)
	}
}
