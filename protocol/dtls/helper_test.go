package dtls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"fmt"
	"io"
	"testing"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/seed"
)

// script yields the given bytes, and fails the test when more are asked for.
func script(t testing.TB, parts ...[]byte) io.Reader {
	return &scripted{t: t, b: bytes.Join(parts, nil)}
}

type scripted struct {
	t testing.TB
	b []byte
}

func (s *scripted) Read(p []byte) (int, error) {
	if len(s.b) < len(p) {
		s.t.Helper()
		s.t.Fatalf("randomness: %d bytes asked for, %d left in the script", len(p), len(s.b))
	}
	n := copy(p, s.b)
	s.b = s.b[n:]
	return n, nil
}

// rawKey returns the P-256 key of a scalar.
func rawKey(t testing.TB, scalar []byte) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// derKey returns the key of a SEC1 structure.
func derKey(t testing.TB, der []byte) *ecdsa.PrivateKey {
	t.Helper()
	key, err := x509.ParseECPrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func wantBytes(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n got %x\nwant %x", what, got, want)
	}
}

func wantDatagrams(t testing.TB, what string, got, want [][]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d datagrams, want %d\n got %x\nwant %x", what, len(got), len(want), got, want)
		return
	}
	for i := range got {
		wantBytes(t, fmt.Sprintf("%s, datagram %d", what, i), got[i], want[i])
	}
}

// event returns the first event of a kind, and fails the test when there is
// none.
func event(t testing.TB, out *Out, kind EventKind) Event {
	t.Helper()
	for _, e := range out.Events {
		if e.Kind == kind {
			return e
		}
	}
	t.Fatalf("no event %q among %s", kind, describe(out))
	return Event{}
}

// describe prints the events of out.
func describe(out *Out) string {
	var b bytes.Buffer
	for _, e := range out.Events {
		fmt.Fprintf(&b, "[%s", e.Kind)
		if e.Kind == EventDropped {
			fmt.Fprintf(&b, ": %s", e.Reason)
		}
		if e.Err != nil {
			fmt.Fprintf(&b, ": %v", e.Err)
		}
		if e.Data != nil {
			fmt.Fprintf(&b, ": %x", e.Data)
		}
		b.WriteString("]")
	}
	if b.Len() == 0 {
		return "no events"
	}
	return b.String()
}

// application returns the application data of out.
func application(out *Out) (data [][]byte) {
	for _, e := range out.Events {
		if e.Kind == EventApplication {
			data = append(data, bytes.Clone(e.Data))
		}
	}
	return data
}

func vector(file, name string) []byte { return fixtures.Vector("appendix-b-"+file, name) }

// Keys for tests that need no particular ones.
var (
	testDeviceKey = seed.P256(seed.Bytes(1, "device"))
	testCloudKey  = seed.P256(seed.Bytes(1, "cloud"))
	testDeviceID  = [DeviceIDSize]byte{0xe0, 0x0f, 0xce, 0x68, 1, 2, 3, 4, 5, 6, 7, 8}
)

// testClient and testServer return working configurations; change edits them.
func testClient(run uint64, gen Generation, change ...func(*ClientConfig)) *ClientConfig {
	cfg := &ClientConfig{
		Gen: gen, Key: testDeviceKey, ServerKey: &testCloudKey.PublicKey, DeviceID: testDeviceID,
		Rand: seed.Bytes(run, "device/rand"), KeepSecrets: true,
	}
	for _, f := range change {
		f(cfg)
	}
	return cfg
}

func testServer(run uint64, change ...func(*ServerConfig)) *ServerConfig {
	known := SPKI(&testDeviceKey.PublicKey)
	cfg := &ServerConfig{
		Key: testCloudKey, Rand: seed.Bytes(run, "cloud/rand"), KeepSecrets: true,
		Verify: func(spki []byte) error {
			if !bytes.Equal(spki, known) {
				return ErrUnknownKey
			}
			return nil
		},
	}
	for _, f := range change {
		f(cfg)
	}
	return cfg
}

// A duel is a Client and a cloud that talk without loss, and what became of
// them.
type duel struct {
	t       testing.TB
	now     clock.Instant
	client  *Client
	gate    *Gate
	cfg     *ServerConfig
	server  *Server
	toCloud [][]byte // on the way
	toHome  [][]byte
	sent    [][]byte // everything, in order
	damage  func([]byte) []byte
	damaged int // number of the datagram that damage changes

	device, cloud         *Session
	deviceEvent           Event // Established or Failed
	cloudEvent            Event
	deviceData, cloudData [][]byte
}

func newDuel(t testing.TB, client *ClientConfig, server *ServerConfig) *duel {
	return &duel{t: t, client: NewClient(client), cfg: server, gate: NewGate(seed.Bytes(1, "gate"), 0, GateFaults{})}
}

// run starts the client and delivers datagrams until nobody has anything to
// say.
func (d *duel) run() *duel {
	var out Out
	d.client.Start(d.now, &out)
	d.fromDevice(&out)
	d.deliver()
	return d
}

func (d *duel) deliver() {
	for len(d.toCloud)+len(d.toHome) > 0 {
		var out Out
		if len(d.toCloud) > 0 {
			datagram := d.toCloud[0]
			d.toCloud = d.toCloud[1:]
			d.cloudReceives(datagram, &out)
			continue
		}
		datagram := d.toHome[0]
		d.toHome = d.toHome[1:]
		if d.device != nil {
			d.device.Receive(datagram, &out)
		} else {
			d.client.Receive(d.now, datagram, &out)
		}
		d.fromDevice(&out)
	}
}

func (d *duel) cloudReceives(datagram []byte, out *Out) {
	h, err := PeekHeader(datagram)
	switch {
	case d.server == nil && err == nil && h.ClientHello:
		if d.gate.Receive(d.now, []byte("peer"), datagram, out) == Admitted {
			d.server = NewServer(d.cfg)
			d.server.Receive(d.now, datagram, out)
		}
	case d.cloud != nil:
		d.cloud.Receive(datagram, out)
	case d.server != nil:
		d.server.Receive(d.now, datagram, out)
	}
	d.fromCloud(out)
}

// onTheWay notes a datagram, and damages it if it is its turn.
func (d *duel) onTheWay(datagram []byte) []byte {
	d.sent = append(d.sent, bytes.Clone(datagram))
	datagram = bytes.Clone(datagram)
	if d.damage != nil && len(d.sent)-1 == d.damaged {
		datagram = d.damage(datagram)
	}
	return datagram
}

func (d *duel) fromDevice(out *Out) {
	for _, datagram := range out.Datagrams {
		d.toCloud = append(d.toCloud, d.onTheWay(datagram))
	}
	for _, e := range out.Events {
		switch e.Kind {
		case EventEstablished:
			d.device, d.deviceEvent = e.Session, e
		case EventFailed:
			d.deviceEvent = e
		default: // application reads the rest
		}
	}
	d.deviceData = append(d.deviceData, application(out)...)
}

func (d *duel) fromCloud(out *Out) {
	for _, datagram := range out.Datagrams {
		d.toHome = append(d.toHome, d.onTheWay(datagram))
	}
	for _, e := range out.Events {
		switch e.Kind {
		case EventEstablished:
			d.cloud, d.cloudEvent = e.Session, e
		case EventFailed:
			d.cloudEvent = e
		default: // application reads the rest
		}
	}
	d.cloudData = append(d.cloudData, application(out)...)
}

// established fails the test unless both sides have a session with the same
// keys.
func (d *duel) established() *duel {
	d.t.Helper()
	if d.device == nil || d.cloud == nil {
		d.t.Fatalf("not established: device %v, cloud %v", d.deviceEvent.Err, d.cloudEvent.Err)
	}
	if d.device.Secrets() != d.cloud.Secrets() {
		d.t.Fatal("the two sides have different keys")
	}
	return d
}
