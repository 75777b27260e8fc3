package dtls

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"
	"unsafe"

	"github.com/muster/muster/protocol/clock"
)

var generations = []Generation{GenA, GenB, GenC, GenD, GenE, GenF}

// every generation establishes a session with our cloud, in
// the sizes of the protocol reference, and talks both ways.
func TestHandshakeOfEachGeneration(t *testing.T) {
	sizes := map[Generation][2]int{GenA: {107, 139}, GenB: {115, 147}, GenC: {111, 143}, GenD: {111, 143}, GenE: {111, 143}, GenF: {116, 148}}
	for _, gen := range generations {
		t.Run(gen.String(), func(t *testing.T) {
			d := newDuel(t, testClient(1, gen), testServer(1)).run().established()
			if len(d.sent[0]) != sizes[gen][0] || len(d.sent[2]) != sizes[gen][1] || len(d.sent[1]) != 60 {
				t.Errorf("ClientHellos of %d and %d bytes, HelloVerifyRequest of %d", len(d.sent[0]), len(d.sent[2]), len(d.sent[1]))
			}
			datagrams := 1 + 1 + 1 + 1 + 5 + 1
			if gen >= GenD {
				datagrams -= 4
			}
			if len(d.sent) != datagrams {
				t.Errorf("%d datagrams, want %d", len(d.sent), datagrams)
			}
			cid := d.cloud.ReadCID()
			if want := gen == GenF; want != (cid.Len() == CIDSize) {
				t.Errorf("connection id %v", cid)
			}
			wantBytes(t, "proven key", d.cloudEvent.PeerSPKI, SPKI(&testDeviceKey.PublicKey))
			wantBytes(t, "pinned key", d.deviceEvent.PeerSPKI, SPKI(&testCloudKey.PublicKey))
			d.cloud.SetDeviceID(testDeviceID)
			d.talk()
			d.device.Move()
			d.talk()
		})
	}
}

// talk sends a message each way.
func (d *duel) talk() {
	d.t.Helper()
	n, m := len(d.cloudData), len(d.deviceData)
	up, err := d.device.Seal(nil, TypeApplication, []byte("from the device"))
	if err != nil {
		d.t.Fatal(err)
	}
	down, err := d.cloud.Seal(nil, TypeApplication, []byte("from the cloud"))
	if err != nil {
		d.t.Fatal(err)
	}
	d.toCloud, d.toHome = append(d.toCloud, up), append(d.toHome, down)
	d.deliver()
	if len(d.cloudData) != n+1 || string(d.cloudData[n]) != "from the device" || len(d.deviceData) != m+1 || string(d.deviceData[m]) != "from the cloud" {
		d.t.Errorf("got %q up and %q down", d.cloudData[n:], d.deviceData[m:])
	}
}

// The whole is a function of the seed.
func TestHandshakeIsDeterministic(t *testing.T) {
	for _, gen := range generations {
		one := newDuel(t, testClient(7, gen), testServer(7)).run().established()
		two := newDuel(t, testClient(7, gen), testServer(7)).run().established()
		other := newDuel(t, testClient(8, gen), testServer(8)).run().established()
		wantDatagrams(t, gen.String(), two.sent, one.sent)
		if bytes.Equal(one.sent[0], other.sent[0]) {
			t.Errorf("%v: another seed gave the same ClientHello", gen)
		}
	}
}

// What a cloud refuses, and how.
func TestServerRefuses(t *testing.T) {
	strange := []byte{0, 0, 0}
	for _, test := range []struct {
		name   string
		client func(*ClientConfig)
		server func(*ServerConfig)
		want   AlertDescription
	}{
		{name: "bad CertificateVerify", client: func(c *ClientConfig) { c.Faults.BadCertificateVerify = true }, want: DecryptError},
		{name: "no CertificateVerify", client: func(c *ClientConfig) { c.Faults.OmitCertificateVerify = true }, want: UnexpectedMessage},
		{name: "empty certificate", client: func(c *ClientConfig) { c.Faults.Certificate = strange }, want: HandshakeFailure},
		{name: "empty X.509 list", client: func(c *ClientConfig) { c.Faults.Certificate = []byte{0, 0, 3, 0, 0, 0} }, want: HandshakeFailure},
		{name: "no key at all", client: func(c *ClientConfig) { c.Faults.Certificate = bytes.Repeat([]byte{1}, 94) }, want: BadCertificate},
		{name: "unknown key", client: func(c *ClientConfig) { c.Key = testCloudKey }, want: AccessDenied},
		{
			name: "verdict of the caller", client: func(c *ClientConfig) { c.Key = testCloudKey },
			server: func(c *ServerConfig) {
				c.Verify = func([]byte) error { return &AlertError{Description: BadCertificate} }
			}, want: BadCertificate,
		},
		{name: "bad Finished", client: func(c *ClientConfig) { c.Faults.BadFinished = true }, want: DecryptError},
		{name: "no common suite", client: func(c *ClientConfig) { c.Faults.CipherSuites = []uint16{0xc02b, 0x00ff} }, want: HandshakeFailure},
		{name: "no common curve", client: func(c *ClientConfig) { c.Faults.Groups = []uint16{29} }, want: HandshakeFailure},
		{name: "no curves", client: func(c *ClientConfig) { c.Faults.Extensions = []uint16{13, 11, 19, 20} }, want: HandshakeFailure},
		{name: "no raw keys", client: func(c *ClientConfig) { c.Faults.Extensions = []uint16{13, 10, 11, 20} }, want: HandshakeFailure},
		{name: "no SHA-256", client: func(c *ClientConfig) { c.SignatureAlgorithms = []uint16{0x0303} }, want: HandshakeFailure},
		{name: "DTLS 1.0", client: func(c *ClientConfig) { c.Faults.Version = version10 }, want: ProtocolVersion},
	} {
		t.Run(test.name, func(t *testing.T) {
			change := func(*ServerConfig) {}
			if test.server != nil {
				change = test.server
			}
			d := newDuel(t, testClient(1, GenF, test.client), testServer(1, change)).run()
			if d.cloud != nil || d.device != nil {
				t.Fatal("established")
			}
			var alert *AlertError
			if !errors.As(d.deviceEvent.Err, &alert) || alert.Local || alert.Description != test.want {
				t.Errorf("device: %v, want a peer alert %v", d.deviceEvent.Err, test.want)
			}
			if d.server == nil {
				return // refused by the gate
			}
			if !errors.As(d.cloudEvent.Err, &alert) || !alert.Local || alert.Description != test.want {
				t.Errorf("cloud: %v, want a local alert %v", d.cloudEvent.Err, test.want)
			}
		})
	}
}

// Each fault that lets a cloud accept too much does (the mutants).
func TestServerFaultsAccept(t *testing.T) {
	for _, test := range []struct {
		name   string
		client func(*ClientConfig)
		server func(*ServerConfig)
	}{
		{"bad CertificateVerify", func(c *ClientConfig) { c.Faults.BadCertificateVerify = true }, func(c *ServerConfig) { c.Faults.AcceptBadCertificateVerify = true }},
		{"empty certificate", func(c *ClientConfig) { c.Faults.Certificate = []byte{0, 0, 0} }, func(c *ServerConfig) { c.Faults.AcceptEmptyCertificate = true }},
		{"empty certificate without a proof", func(c *ClientConfig) {
			c.Faults.Certificate, c.Faults.OmitCertificateVerify = []byte{0, 0, 0}, true
		}, func(c *ServerConfig) { c.Faults.AcceptEmptyCertificate = true }},
		{"no CertificateRequest", func(c *ClientConfig) {}, func(c *ServerConfig) { c.Faults.OmitCertificateRequest = true }},
		{"bad Finished", func(c *ClientConfig) { c.Faults.BadFinished = true }, func(c *ServerConfig) { c.Faults.AcceptBadFinished = true }},
		{"no common curve", func(c *ClientConfig) { c.Faults.Groups = []uint16{29} }, func(c *ServerConfig) { c.Faults.AcceptAnyHello = true }},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDuel(t, testClient(1, GenE, test.client), testServer(1, test.server)).run()
			if d.cloud == nil {
				t.Fatalf("not established: %v", d.cloudEvent.Err)
			}
		})
	}
}

// How each generation reacts to a cloud that misbehaves.
func TestClientRefuses(t *testing.T) {
	for _, test := range []struct {
		name    string
		server  func(*ServerConfig)
		want    AlertDescription
		only    Generation // if not 0
		timeout bool       // A and B say nothing and time out
	}{
		{name: "wrong signature", server: func(c *ServerConfig) { c.Faults.WrongSignature = true }, want: DecryptError},
		{name: "another key", server: func(c *ServerConfig) { c.Key = testDeviceKey }, want: DecryptError},
		{name: "SHA-384", server: func(c *ServerConfig) { c.Faults.SignatureHash = hashSHA384 }, want: IllegalParameter},
		{name: "Certificate", server: func(c *ServerConfig) { c.Faults.SendCertificate = true }, want: UnexpectedMessage, timeout: true},
		{name: "bad Finished", server: func(c *ServerConfig) { c.Faults.BadFinished = true }, want: DecodeError},
		{name: "9-byte CID", server: func(c *ServerConfig) { c.Faults.CIDLength = 9 }, want: HandshakeFailure, only: GenF},
	} {
		for _, gen := range generations {
			if test.only != 0 && test.only != gen {
				continue
			}
			t.Run(test.name+"/"+gen.String(), func(t *testing.T) {
				d := newDuel(t, testClient(1, gen), testServer(1, test.server)).run()
				if d.device != nil {
					t.Fatal("established")
				}
				last := d.sent[len(d.sent)-1]
				alerted := ContentType(last[0]) == TypeAlert || ContentType(last[0]) == TypeCID && len(last) == 53
				if alerted != (gen >= GenC) {
					t.Errorf("last datagram %x", last)
				}
				if test.timeout && gen <= GenB {
					d.silence(9*time.Second, nil)
					if !errors.Is(d.deviceEvent.Err, ErrTimeout) {
						t.Errorf("failed by %v, want a timeout", d.deviceEvent.Err)
					}
					return
				}
				var alert *AlertError
				if !errors.As(d.deviceEvent.Err, &alert) || !alert.Local || alert.Description != test.want {
					t.Errorf("failed by %v, want %v", d.deviceEvent.Err, test.want)
				}
			})
		}
	}
}

// Which hashes of the server's signature each generation takes (transport
// reference, Section 2.4).
func TestSignatureHashes(t *testing.T) {
	for hash := byte(hashSHA1); hash <= hashSHA512; hash++ {
		for _, gen := range generations {
			d := newDuel(t, testClient(1, gen), testServer(1, func(c *ServerConfig) { c.Faults.SignatureHash = hash })).run()
			want := hash == hashSHA256 || hash == hashSHA224 || hash == hashSHA1 && gen == GenB
			if got := d.device != nil; got != want {
				t.Errorf("hash %d, generation %v: established %v", hash, gen, got)
			}
		}
	}
}

// A driver finds the half-open handshake by the connection id that the device's
// Finished carries.
func TestServerCID(t *testing.T) {
	d := newDuel(t, testClient(1, GenF, func(c *ClientConfig) { c.Faults.Packing = PackSingle }), testServer(1)).run().established()
	finished := d.sent[len(d.sent)-2]
	h, err := PeekHeader(finished)
	if err != nil || h.Type != TypeCID || h.CID != d.server.CID() || h.CID != d.device.WriteCID() || NewServer(testServer(1)).CID() != (CID{}) {
		t.Errorf("%+v, %v, want %v", h, err, d.server.CID())
	}
	if c, err := PeekHeaderCID(finished, CIDSize); err != nil || c != h {
		t.Errorf("%+v, %v", c, err)
	}
	if p, err := PeekProtected(d.sent[4]); err == nil && p.Epoch == 0 {
		t.Errorf("PeekProtected found epoch 0: %+v", p)
	}
	if !d.cloud.Server() || d.device.Server() || d.cloud.Forgeries() != 0 || d.device.DeviceID() != testDeviceID || h.CID.String() == "" {
		t.Error("accessors")
	}
}

// silence lets time pass for the client, and wants it to transmit at exactly
// these times. It fails at the end.
func (d *duel) silence(until time.Duration, transmissions []time.Duration) {
	d.t.Helper()
	var at []time.Duration
	for !d.client.Over() {
		now := d.client.Deadline()
		if now == clock.Never {
			d.t.Fatal("waits for ever")
		}
		var out Out
		d.client.Advance(now, &out)
		if len(out.Datagrams) > 0 {
			at = append(at, now.Sub(0))
		}
		d.fromDevice(&out)
		d.now = now
	}
	if fmt.Sprint(at) != fmt.Sprint(transmissions) || d.now.Sub(0) != until {
		d.t.Errorf("transmits at %v and gives up at %v, want %v and %v", at, d.now, transmissions, until)
	}
}

// the retransmission of ClientHello, and of the flight after it.
func TestClientTimers(t *testing.T) {
	seconds := func(s ...int) (d []time.Duration) {
		for _, s := range s {
			d = append(d, time.Duration(s)*time.Second)
		}
		return d
	}
	for _, gen := range generations {
		for _, change := range []func(*ClientConfig){func(*ClientConfig) {}, func(c *ClientConfig) { c.Timers = EarlyDeviceTimers }} {
			cfg := testClient(1, gen, change)
			d := newDuel(t, cfg, testServer(1))
			var out Out
			d.client.Start(0, &out)
			if gen <= GenC || cfg.Timers == EarlyDeviceTimers {
				d.silence(9*time.Second, seconds(3))
			} else {
				d.silence(45*time.Second, seconds(3, 9, 21))
			}
			if !errors.Is(d.deviceEvent.Err, ErrTimeout) {
				t.Errorf("%v: failed by %v", gen, d.deviceEvent.Err)
			}
		}
	}
}

// a generation that needs a connection id goes through the handshake
// without one, and fails then.
func TestClientWithoutCID(t *testing.T) {
	for _, n := range []int{-1, 1, 7} {
		d := newDuel(t, testClient(1, GenF), testServer(1, func(c *ServerConfig) { c.Faults.CIDLength = n })).run()
		if !errors.Is(d.deviceEvent.Err, ErrNoCID) || d.cloud == nil {
			t.Errorf("length %d: device %v, cloud %v", n, d.deviceEvent.Err, d.cloudEvent.Err)
		}
		d = newDuel(t, testClient(1, GenF, func(c *ClientConfig) { c.Faults.AcceptAnyCID = true }),
			testServer(1, func(c *ServerConfig) { c.Faults.CIDLength = n })).run()
		if d.device == nil {
			t.Errorf("length %d: %v in spite of the fault", n, d.deviceEvent.Err)
		}
	}
	d := newDuel(t, testClient(1, GenF), testServer(1, func(c *ServerConfig) {
		c.Faults.Extensions = []uint16{extRenegotiated, extCID, extClientType}
	})).run()
	if !errors.Is(d.deviceEvent.Err, ErrNoCID) {
		t.Errorf("id in extension 54: %v", d.deviceEvent.Err)
	}
}

// flights in any packing, fragmented and overlapping.
func TestPackings(t *testing.T) {
	for packing := PackDefault; packing <= PackTwice; packing++ {
		for _, fragment := range []int{0, 1, 40} {
			for _, overlap := range []int{0, 7} {
				for _, mtu := range []int{0, 64, 200} {
					d := newDuel(t, testClient(1, GenF, func(c *ClientConfig) {
						c.Faults.Packing, c.Faults.FragmentSize, c.Faults.OverlapFragments, c.MTU = packing, fragment, overlap, mtu
					}), testServer(1, func(c *ServerConfig) {
						c.Faults.Packing, c.Faults.FragmentSize, c.MTU = packing, fragment, mtu
					})).run()
					if d.device == nil || d.cloud == nil {
						if mtu == 64 {
							continue // the gate does not see the cookie at once
						}
						if packing == PackReversed && fragment == 1 {
							continue // twelve pieces of Finished before their time
						}
						t.Errorf("packing %d, fragment %d, overlap %d, mtu %d: device %v, cloud %v", packing, fragment, overlap, mtu, d.deviceEvent.Err, d.cloudEvent.Err)
					}
				}
			}
		}
	}
}

// the last flight is repeated with new sequences until the device speaks.
func TestLastFlightIsRepeated(t *testing.T) {
	for _, gen := range generations {
		d := newDuel(t, testClient(1, gen), testServer(1))
		var out Out
		d.client.Start(0, &out)
		d.fromDevice(&out)
		for d.cloud == nil { // keep the last flight from the device
			d.deliverOne()
		}
		lost := d.toHome
		d.toHome = nil
		now := d.client.Deadline()
		out.Reset()
		d.client.Advance(now, &out)
		d.fromDevice(&out)
		d.deliver()
		d.established()
		if first, again := lost[len(lost)-1], d.sent[len(d.sent)-1]; bytes.Equal(first, again) || len(first) != len(again) {
			t.Errorf("%v: first %x, again %x", gen, first, again)
		}
		d.talk()
		if d.cloud.finalPending {
			t.Errorf("%v: the cloud would still repeat its last flight", gen)
		}
	}
}

// deliverOne delivers one datagram, those to the cloud first.
func (d *duel) deliverOne() {
	up, home := d.toCloud, d.toHome
	if len(up) > 0 {
		d.toCloud, d.toHome = up[:1], nil
	} else {
		d.toCloud, d.toHome = nil, home[:1]
	}
	one := len(d.toCloud) > 0
	var out Out
	if one {
		datagram := d.toCloud[0]
		d.toCloud, d.toHome = up[1:], home
		d.cloudReceives(datagram, &out)
		return
	}
	datagram := d.toHome[0]
	d.toCloud, d.toHome = up, home[1:]
	d.client.Receive(d.now, datagram, &out)
	d.fromDevice(&out)
}

// halfOpen returns a duel in which the server has sent its first flight.
func halfOpen(t *testing.T) *duel {
	d := newDuel(t, testClient(1, GenF), testServer(1))
	var out Out
	d.client.Start(0, &out)
	d.fromDevice(&out)
	for d.server == nil {
		d.deliverOne()
	}
	return d
}

// A cloud's half-open handshake retransmits at 3, 9 and 21 s and ends at 60 s
//
func TestServerTimers(t *testing.T) {
	d := halfOpen(t)
	var out Out
	var at []time.Duration
	for !d.server.Over() {
		now := d.server.Deadline()
		out.Reset()
		d.server.Advance(now, &out)
		if len(out.Datagrams) > 0 {
			at = append(at, now.Sub(0))
		}
		d.now = now
	}
	if want := []time.Duration{3 * time.Second, 9 * time.Second, 21 * time.Second}; fmt.Sprint(at) != fmt.Sprint(want) || d.now.Sub(0) != DefaultHalfOpenLife {
		t.Errorf("transmits at %v and ends at %v", at, d.now)
	}
	if e := event(t, &out, EventFailed); !errors.Is(e.Err, ErrTimeout) {
		t.Errorf("failed by %v", e.Err)
	}
}

// A repeated ClientHello gets the flight again, and is told from a new one.
func TestServerAnswersRepeatedHello(t *testing.T) {
	d := halfOpen(t)
	var out Out
	flight := d.toHome[0]
	out.Reset()
	d.client.Advance(d.client.Deadline(), &out)
	hello := bytes.Clone(out.Datagrams[0])
	if !d.server.SameHello(hello) {
		t.Error("a repeated ClientHello is taken for a new one")
	}
	out.Reset()
	d.server.Receive(0, bytes.Clone(hello), &out)
	if len(out.Datagrams) != 1 || len(out.Datagrams[0]) != len(flight) || bytes.Equal(out.Datagrams[0], flight) {
		t.Errorf("repeated flight %x", out.Datagrams)
	}
	out.Reset()
	d.server.Receive(0, bytes.Clone(hello), &out) // doubled by the network
	if e := event(t, &out, EventDropped); e.Reason != DropReplay || len(out.Datagrams) > 0 {
		t.Errorf("a doubled datagram: %s", describe(&out))
	}
	hello[headerSize+fragmentHeaderSize+2] ^= 1
	if d.server.SameHello(hello) {
		t.Error("a new ClientHello is taken for a repeated one")
	}
}

func TestSessionIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Session{}); n > 256 {
		t.Errorf("a Session has %d bytes", n)
	} else {
		t.Logf("a Session has %d bytes", n)
	}
}
