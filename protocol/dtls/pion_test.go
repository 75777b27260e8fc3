package dtls

import (
	"bytes"
	"crypto/aes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/seed"
	piondtls "github.com/pion/dtls/v2"
	pionccm "github.com/pion/dtls/v2/pkg/crypto/ccm"
	pionprf "github.com/pion/dtls/v2/pkg/crypto/prf"
)

// pion/dtls is an implementation of other people's hands. It knows neither raw
// keys nor Device OS, so it judges the profile Standard with X.509, the record
// protection and the PRF.

// Our CCM and pion's agree on random input.
func TestCCMAgreesWithPion(t *testing.T) {
	rng := seed.Stream(1, "ccm")
	for i := range 2000 {
		var key [keySize]byte
		aad, text := make([]byte, 1+rng.IntN(maxAAD)), make([]byte, rng.IntN(70))
		for _, b := range [][]byte{key[:], aad, text} {
			for j := range b {
				b[j] = byte(rng.Uint32())
			}
		}
		aad = aad[:min(len(aad), maxAAD)]
		c := &ccm{block: expand(&key)}
		for j := range c.nonce {
			c.nonce[j] = byte(rng.Uint32())
		}
		c.aadSize = copy(c.aad[:], aad)
		block, err := aes.NewCipher(key[:])
		if err != nil {
			t.Fatal(err)
		}
		oracle, err := pionccm.NewCCM(block, tagSize, nonceSize)
		if err != nil {
			t.Fatal(err)
		}
		want := oracle.Seal(nil, c.nonce[:], text, aad)
		got := c.seal(bytes.Clone(text), 0)
		if !bytes.Equal(got, want) {
			t.Fatalf("%d: text of %d bytes, additional data of %d:\n got %x\nwant %x", i, len(text), len(aad), got, want)
		}
		if plaintext, ok := c.open(bytes.Clone(got), false); !ok || !bytes.Equal(plaintext, text) {
			t.Fatalf("%d: does not open", i)
		}
		got[rng.IntN(len(got))] ^= 1 << rng.IntN(8)
		forged := bytes.Clone(got)
		if _, ok := c.open(forged, false); ok || !bytes.Equal(forged, got) {
			t.Fatalf("%d: a forged record opens, or is changed", i)
		}
	}
}

// Our PRF and pion's agree.
func TestPRFAgreesWithPion(t *testing.T) {
	rng := seed.Bytes(1, "prf")
	for range 100 {
		var client, server [randomSize]byte
		secret := make([]byte, 32)
		for _, b := range [][]byte{client[:], server[:], secret} {
			draw(rng, b)
		}
		m := master(secret, &client, &server, nil)
		want, err := pionprf.MasterSecret(secret, client[:], server[:], sha256.New)
		if err != nil {
			t.Fatal(err)
		}
		wantBytes(t, "master secret", m[:], want)
		extended := master(secret, &client, &server, client[:])
		if want, err = pionprf.ExtendedMasterSecret(secret, client[:], sha256.New); err != nil {
			t.Fatal(err)
		}
		wantBytes(t, "extended master secret", extended[:], want)
		keys, err := pionprf.GenerateEncryptionKeys(m[:], client[:], server[:], 0, keySize, saltSize, sha256.New)
		if err != nil {
			t.Fatal(err)
		}
		block := newPRF(m[:]).keyBlock(&client, &server)
		ours := KeysFromBlock(&block, nil, nil)
		wantBytes(t, "client key", ours.ClientKey[:], keys.ClientWriteKey)
		wantBytes(t, "server key", ours.ServerKey[:], keys.ServerWriteKey)
		wantBytes(t, "client salt", ours.ClientSalt[:], keys.ClientWriteIV)
		wantBytes(t, "server salt", ours.ServerSalt[:], keys.ServerWriteIV)
		transcript := sha256.Sum256(secret)
		verify := newPRF(m[:]).verifyData(labelClient, transcript[:])
		if want, err = pionprf.VerifyDataClient(m[:], secret, sha256.New); err != nil {
			t.Fatal(err)
		}
		wantBytes(t, "verify_data", verify[:], want)
	}
}

// selfSigned returns a certificate of a key.
func selfSigned(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "muster test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// pionConfig is for either role: one suite, mutual X.509, keys pinned.
func pionConfig(t *testing.T, key *ecdsa.PrivateKey, peer *ecdsa.PublicKey) *piondtls.Config {
	return &piondtls.Config{
		Certificates:         []tls.Certificate{{Certificate: [][]byte{selfSigned(t, key)}, PrivateKey: key}},
		CipherSuites:         []piondtls.CipherSuiteID{piondtls.TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8},
		ClientAuth:           piondtls.RequireAnyClientCert,
		ExtendedMasterSecret: piondtls.RequireExtendedMasterSecret,
		InsecureSkipVerify:   true, // no authority: the key is pinned below
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			spki, ok := certificateSPKI(raw[0])
			if !ok || !bytes.Equal(spki, SPKI(peer)) {
				return errors.New("another key")
			}
			return nil
		},
	}
}

// A machine is what Client and Server have in common for a driver.
type machine interface {
	Receive(clock.Instant, []byte, *Out)
	Advance(clock.Instant, *Out)
	Deadline() clock.Instant
	Over() bool
}

// A driver runs a machine over a connection that keeps datagrams apart.
type driver struct {
	t       *testing.T
	conn    net.Conn
	start   time.Time
	arrived chan []byte
	out     Out
}

func newDriver(t *testing.T, conn net.Conn) *driver {
	d := &driver{t: t, conn: conn, start: time.Now(), arrived: make(chan []byte, 100)}
	go func() {
		defer close(d.arrived)
		for {
			buf := make([]byte, 4096)
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			d.arrived <- buf[:n]
		}
	}()
	return d
}

func (d *driver) now() clock.Instant { return clock.Instant(time.Since(d.start)) }

func (d *driver) flush() {
	for _, datagram := range d.out.Datagrams {
		if _, err := d.conn.Write(datagram); err != nil {
			d.t.Errorf("write: %v", err)
		}
	}
}

// handshake runs m until it has ended.
func (d *driver) handshake(m machine) Event {
	d.t.Helper()
	for {
		d.flush()
		for _, e := range d.out.Events {
			if e.Kind == EventEstablished {
				d.out.Reset()
				return e
			}
			if e.Kind == EventFailed {
				d.t.Fatal(e.Err)
			}
		}
		d.out.Reset()
		var wake <-chan time.Time
		if deadline := m.Deadline(); deadline != clock.Never {
			wake = time.After(deadline.Sub(d.now()))
		}
		select {
		case datagram, ok := <-d.arrived:
			if !ok {
				d.t.Fatal("connection closed")
			}
			m.Receive(d.now(), datagram, &d.out)
		case <-wake:
			m.Advance(d.now(), &d.out)
		}
	}
}

// echo lets s say text and wants it back, twice; then s closes.
func (d *driver) echo(s *Session) {
	d.t.Helper()
	for _, text := range []string{"first", "and second"} {
		sealed, err := s.Seal(nil, TypeApplication, []byte(text))
		if err != nil {
			d.t.Fatal(err)
		}
		d.out.Datagrams = append(d.out.Datagrams, sealed)
		for len(application(&d.out)) == 0 {
			d.flush()
			d.out.Reset()
			s.Receive(<-d.arrived, &d.out)
		}
		if got := application(&d.out); string(got[0]) != text {
			d.t.Errorf("got %q back, want %q", got, text)
		}
		d.out.Reset()
	}
	closing, err := s.Close(nil)
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := d.conn.Write(closing); err != nil {
		d.t.Error(err)
	}
}

// pionEcho returns what it reads until the connection closes.
func pionEcho(conn net.Conn, err error) error {
	if err != nil {
		return err
	}
	buf := make([]byte, 2048)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil // by our close_notify
		}
		if _, err := conn.Write(buf[:n]); err != nil {
			return err
		}
	}
}

// Our Client and pion's server.
func TestClientWithPionServer(t *testing.T) {
	ours, theirs := net.Pipe()
	done := make(chan error, 1)
	go func() {
		conn, err := piondtls.Server(theirs, pionConfig(t, testCloudKey, &testDeviceKey.PublicKey))
		done <- pionEcho(conn, err)
	}()
	client := NewClient(testClient(5, GenF, standardClient, func(c *ClientConfig) {
		c.Certificate = [][]byte{selfSigned(t, testDeviceKey)}
	}))
	d := newDriver(t, ours)
	client.Start(d.now(), &d.out)
	e := d.handshake(client)
	if len(e.PeerChain) != 1 || !client.masterSecret {
		t.Errorf("chain of %d, extended master secret %v", len(e.PeerChain), client.masterSecret)
	}
	d.echo(e.Session)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// pion's client and our Gate and Server.
func TestServerWithPionClient(t *testing.T) {
	ours, theirs := net.Pipe()
	done := make(chan error, 1)
	go func() {
		conn, err := piondtls.Client(theirs, pionConfig(t, testDeviceKey, &testCloudKey.PublicKey))
		done <- pionEcho(conn, err)
	}()
	d := newDriver(t, ours)
	gate := NewGate(seed.Bytes(5, "gate"), 0, GateFaults{})
	server := NewServer(testServer(5, standardServer, func(c *ServerConfig) {
		c.Certificate = [][]byte{selfSigned(t, testCloudKey)}
		c.VerifyChain = func(chain [][]byte) error {
			if spki, ok := certificateSPKI(chain[0]); !ok || !bytes.Equal(spki, SPKI(&testDeviceKey.PublicKey)) {
				return ErrUnknownKey
			}
			return nil
		}
	}))
	for admitted := false; !admitted; {
		datagram := <-d.arrived
		switch v := gate.Receive(d.now(), []byte("pion"), datagram, &d.out); v {
		case Admitted:
			admitted = true
			server.Receive(d.now(), datagram, &d.out)
		case Challenged:
			d.flush()
			d.out.Reset()
		default:
			t.Fatalf("verdict %d, %s", v, describe(&d.out))
		}
	}
	e := d.handshake(server)
	if len(e.PeerChain) != 1 {
		t.Errorf("chain of %d", len(e.PeerChain))
	}
	d.echo(e.Session)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
