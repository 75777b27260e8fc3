package lightssl

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"math/big"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/seed"
)

const (
	vectorKeys   = "appendix-a-1-keys"
	vectorC1     = "appendix-a-2-c1"
	vectorAnswer = "appendix-a-3-answer"
	vectorFrames = "appendix-a-4-frames"
)

func vector(file, name string) []byte { return fixtures.Vector(file, name) }

// key builds an RSA key of the vectors from its primes.
func key(name string) *rsa.PrivateKey {
	p := new(big.Int).SetBytes(vector(vectorKeys, name+"-p"))
	q := new(big.Int).SetBytes(vector(vectorKeys, name+"-q"))
	one := big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	k := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537},
		D:         new(big.Int).ModInverse(big.NewInt(65537), phi),
		Primes:    []*big.Int{p, q},
	}
	k.Precompute()
	return k
}

var (
	vectorCloud  = key("cloud")
	vectorDevice = key("device")
	vectorID     = DeviceID(vector(vectorKeys, "device-id"))
)

// otherCloud is another cloud's key.
var otherCloud = sync.OnceValue(func() *rsa.PrivateKey { return GenerateCloudKey(seed.Bytes(2, "another cloud")) })

// counting returns 1, 2, 3 … n, the padding of the vectors.
func counting(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i + 1)
	}
	return b
}

// script is a reader of random bytes that yields exactly these.
func script(parts ...[]byte) *bytes.Reader { return bytes.NewReader(slices.Concat(parts...)) }

// pkcs1 reads a private key with the standard library.
func pkcs1(t *testing.T, der []byte) *rsa.PrivateKey {
	t.Helper()
	k, err := x509.ParsePKCS1PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A handshakeTest is a cloud and a device with the keys of the vectors, joined by
// a stream that the test cuts as it likes. Time stands still unless told.
type handshakeTest struct {
	t        *testing.T
	now      clock.Instant
	cloud    ServerConfig
	device   ClientConfig
	server   *Server
	client   *Client
	toDevice []byte // what the cloud has sent
	toCloud  []byte // what the device has sent
	events   struct{ cloud, device []Event }
	lookups  int
	segment  int // size of the pieces delivered; 0 means all at once
}

func newHandshakeTest(t *testing.T) *handshakeTest {
	t.Helper()
	h := &handshakeTest{t: t}
	h.cloud = ServerConfig{
		Key:    vectorCloud,
		Rand:   seed.Bytes(1, "cloud"),
		Inline: true,
		Lookup: func(id DeviceID) []byte {
			h.lookups++
			if id == vectorID {
				return vector(vectorKeys, "device-spki")
			}
			return nil
		},
	}
	h.device = ClientConfig{
		ID: vectorID, Key: vectorDevice, ServerKey: &vectorCloud.PublicKey, Rand: seed.Bytes(1, "device"),
	}
	return h
}

func (h *handshakeTest) start() {
	h.t.Helper()
	h.server, h.client = NewServer(&h.cloud), NewClient(&h.device)
	var out Out
	h.client.Start(h.now, &out)
	h.take(&out, false)
	out.Reset()
	h.server.Start(h.now, &out)
	h.take(&out, true)
}

// take moves what an Out holds to the other side.
func (h *handshakeTest) take(out *Out, cloud bool) {
	stream, events := &h.toCloud, &h.events.device
	if cloud {
		stream, events = &h.toDevice, &h.events.cloud
	}
	for _, c := range out.Chunks {
		*stream = append(*stream, c...)
	}
	*events = append(*events, out.Events...)
}

// deliver passes what was sent in both directions, once.
func (h *handshakeTest) deliver() {
	up, down := h.toCloud, h.toDevice
	h.toCloud, h.toDevice = nil, nil
	h.send(up, true)
	h.send(down, false)
}

// send gives bytes to one side.
func (h *handshakeTest) send(b []byte, cloud bool) {
	size := h.segment
	if size == 0 {
		size = max(len(b), 1)
	}
	for piece := range slices.Chunk(slices.Clone(b), size) {
		var out Out
		if cloud {
			h.server.Receive(h.now, piece, &out)
		} else {
			h.client.Receive(h.now, piece, &out)
		}
		h.take(&out, cloud)
	}
}

// run starts and delivers until nothing moves.
func (h *handshakeTest) run() {
	h.t.Helper()
	h.start()
	for len(h.toCloud)+len(h.toDevice) > 0 {
		h.deliver()
	}
}

// wait lets time pass on both sides.
func (h *handshakeTest) wait(d time.Duration) {
	h.now = h.now.Add(d)
	var out Out
	if h.server != nil {
		h.server.Advance(h.now, &out)
		h.take(&out, true)
	}
	if h.client != nil {
		out.Reset()
		h.client.Advance(h.now, &out)
		h.take(&out, false)
	}
}

// wantDevice checks the only event of the device: EventEstablished for a nil err,
// else EventFailed.
func (h *handshakeTest) wantDevice(err error) *Event {
	h.t.Helper()
	return only(h.t, "device", h.events.device, err)
}

func (h *handshakeTest) wantCloud(err error) *Event {
	h.t.Helper()
	return only(h.t, "cloud", h.events.cloud, err)
}

// wantNoEvent checks that both sides still wait.
func (h *handshakeTest) wantNoEvent() {
	h.t.Helper()
	if len(h.events.cloud)+len(h.events.device) > 0 {
		h.t.Fatalf("events %+v, want none", h.events)
	}
}

// number returns the number that a device logs for err.
func number(err error) uint8 {
	e, _ := errors.AsType[Error](err)
	return e.Number()
}

func only(t *testing.T, who string, events []Event, err error) *Event {
	t.Helper()
	if len(events) != 1 {
		t.Fatalf("%s has %d events, want one: %+v", who, len(events), events)
	}
	e := &events[0]
	if !errors.Is(e.Err, err) || (e.Kind == EventEstablished) != (err == nil) || err != nil && e.Kind != EventFailed {
		t.Fatalf("%s: %v with %v, want %v", who, e.Kind, e.Err, err)
	}
	return e
}

// messages receives a stream and returns copies of its messages.
func messages(t *testing.T, s *Session, stream []byte) [][]byte {
	t.Helper()
	var all [][]byte
	err := s.Receive(0, slices.Clone(stream), func(m []byte) { all = append(all, bytes.Clone(m)) })
	if err != nil {
		t.Fatalf("receiving: %v", err)
	}
	return all
}
