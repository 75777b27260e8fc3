package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"testing"

	pion "github.com/pion/dtls/v3"

	"github.com/muster/muster/protocol/dtls"
)

// pion runs in this process, so its tests are never skipped. It has no raw
// public keys, but connection ids (RFC 9146), which no program has.

const pionCIDSize = 6

// pionOptions are those of both roles: the certificate of theirs, and ours
// pinned.
func pionOptions(more ...pion.Option) []pion.Option {
	certificate := tls.Certificate{Certificate: theirs.chain, PrivateKey: theirs.key}
	return append([]pion.Option{
		pion.WithCertificates(certificate),
		pion.WithCipherSuites(pion.TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8),
		pion.WithInsecureSkipVerify(true), // of the name; the pin follows
		pion.WithVerifyPeerCertificate(func(chain [][]byte, _ [][]*x509.Certificate) error { return onlyChain(ours)(chain) }),
	}, more...)
}

// A pionRun is a pion in another goroutine.
type pionRun struct {
	t     *testing.T
	ended chan error
}

// start completes the handshake and then does what talk says.
func start(t *testing.T, conn *pion.Conn, err error, talk func(*pion.Conn) error) *pionRun {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	r := &pionRun{t: t, ended: make(chan error, 1)}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	go func() {
		err := conn.HandshakeContext(ctx)
		if err == nil {
			err = talk(conn)
		}
		r.ended <- errors.Join(err, conn.Close())
	}()
	t.Cleanup(cancel)
	return r
}

// echo sends one message and wants it back.
func echo(conn *pion.Conn) error {
	message := []byte("hello muster")
	if _, err := conn.Write(message); err != nil {
		return err
	}
	b := make([]byte, 100)
	n, err := conn.Read(b)
	if err == nil && !bytes.Equal(b[:n], message) {
		err = errors.New("the echo is " + string(b[:n]))
	}
	return err
}

// repeat sends back what comes, once.
func repeat(conn *pion.Conn) error {
	b := make([]byte, 100)
	n, err := conn.Read(b)
	if err == nil {
		_, err = conn.Write(b[:n])
	}
	return err
}

// A pionCase is one variant of a handshake with pion, in either role.
type pionCase struct {
	options []pion.Option
	server  func(*dtls.ServerConfig) // changes our server
	client  func(*dtls.ClientConfig) // changes our client
	lose    func(n int, datagram []byte) bool

	toUs, toPion int // sizes of the connection ids that the session must have
}

func pionCases() map[string]pionCase {
	cid := pion.WithConnectionIDGenerator(pion.RandomCIDGenerator(pionCIDSize))
	sendOnly := pion.WithConnectionIDGenerator(pion.OnlySendCIDGenerator())
	offer := func(c *dtls.ClientConfig) { c.CID = []byte{1, 2, 3, 4, 5, 6, 7, 8} }
	return map[string]pionCase{
		"plain":             {},
		"CIDs in both ways": {options: []pion.Option{cid}, client: offer, toUs: 8, toPion: pionCIDSize},
		"CID to us":         {options: []pion.Option{sendOnly}, client: offer, toUs: 8},
		"CID to pion": {
			options: []pion.Option{cid}, toPion: pionCIDSize,
			client: func(c *dtls.ClientConfig) { c.CID = []byte{} },
			server: func(c *dtls.ServerConfig) { c.CIDSize = -1 },
		},
		"CID of pion declined": {options: []pion.Option{cid}, server: func(c *dtls.ServerConfig) { c.NoCID = true }},
		"CID of ours declined": {client: offer},
		"padded inside the CID": {
			options: []pion.Option{cid, pion.WithPaddingLengthGenerator(func(uint) uint { return 13 })},
			client:  offer, toUs: 8, toPion: pionCIDSize,
		},
		"small datagrams": {
			options: []pion.Option{pion.WithMTU(150)},
			client:  func(c *dtls.ClientConfig) { c.MTU = 150 }, server: func(c *dtls.ServerConfig) { c.MTU = 150 },
		},
		"no extended master": {
			options: []pion.Option{pion.WithExtendedMasterSecret(pion.DisableExtendedMasterSecret)},
			client:  func(c *dtls.ClientConfig) { c.NoExtendedMasterSecret = true },
			server:  func(c *dtls.ServerConfig) { c.NoExtendedMasterSecret = true },
		},
		"extended master":    {options: []pion.Option{pion.WithExtendedMasterSecret(pion.RequireExtendedMasterSecret)}},
		"we lose our second": {lose: func(n int, _ []byte) bool { return n == 2 }},
		"we lose our third":  {lose: func(n int, _ []byte) bool { return n == 3 }},
		// Not with a CID: pion 3.1 repeats a Finished under the sequence that it
		// already had, which is a replay.
		"reversed": {
			client: func(c *dtls.ClientConfig) { c.Faults.Packing = dtls.PackReversed },
			server: func(c *dtls.ServerConfig) { c.Faults.Packing = dtls.PackReversed },
		},
	}
}

// established checks identity and connection ids of a new session.
func (c *pionCase) established(us *party) {
	us.t.Helper()
	e := us.until(dtls.EventEstablished)
	if len(e.PeerChain) != 1 || !bytes.Equal(e.PeerChain[0], theirs.chain[0]) || !bytes.Equal(e.PeerSPKI, theirs.spki) {
		us.t.Errorf("certificate of the peer is %x", e.PeerChain)
	}
	read, write := e.Session.ReadCID(), e.Session.WriteCID()
	if read.Len() != c.toUs || write.Len() != c.toPion {
		us.t.Errorf("connection ids of %d bytes to us and %d to pion, want %d and %d", read.Len(), write.Len(), c.toUs, c.toPion)
	}
}

func TestPionClient(t *testing.T) {
	for name, c := range pionCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait most of the time
			cfg := certified(theirs)
			if c.server != nil {
				c.server(cfg)
			}
			us := serve(t, cfg)
			us.lose = c.lose
			var options []pion.ClientOption
			for _, o := range pionOptions(c.options...) {
				options = append(options, o)
			}
			conn, err := pion.ClientWithOptions(listen(t), us.conn.LocalAddr(), options...)
			peer := start(t, conn, err, echo)
			c.established(us)
			us.send(us.until(dtls.EventApplication).Data)
			us.until(dtls.EventClosed)
			if err := <-peer.ended; err != nil {
				t.Errorf("pion: %v", err)
			}
		})
	}
}

func TestPionServer(t *testing.T) {
	for name, c := range pionCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait most of the time
			cfg := certifiedClient(theirs)
			if c.client != nil {
				c.client(cfg)
			}
			us, peer := dialPion(t, cfg, c.lose, repeat, c.options...)
			c.established(us)
			us.send([]byte("hello pion"))
			if data := us.until(dtls.EventApplication).Data; string(data) != "hello pion" {
				t.Errorf("received %q", data)
			}
			us.until(dtls.EventClosed)
			if err := <-peer.ended; err != nil {
				t.Errorf("pion: %v", err)
			}
		})
	}
}

func dialPion(t *testing.T, cfg *dtls.ClientConfig, lose func(int, []byte) bool, talk func(*pion.Conn) error, more ...pion.Option) (*party, *pionRun) {
	t.Helper()
	theirConn := listen(t)
	us := dialLossy(t, theirConn.LocalAddr().(*net.UDPAddr).Port, cfg, lose)
	options := []pion.ServerOption{pion.WithClientAuth(pion.RequireAnyClientCert)}
	for _, o := range pionOptions(more...) {
		options = append(options, o)
	}
	conn, err := pion.ServerWithOptions(theirConn, us.conn.LocalAddr(), options...)
	return us, start(t, conn, err, talk)
}

func TestPionClientWithAnUnknownCertificate(t *testing.T) {
	us := serve(t, certified(another))
	var options []pion.ClientOption
	for _, o := range pionOptions() {
		options = append(options, o)
	}
	conn, err := pion.ClientWithOptions(listen(t), us.conn.LocalAddr(), options...)
	peer := start(t, conn, err, echo)
	if alert := us.refusal(); !alert.Local || alert.Description != dtls.AccessDenied {
		t.Errorf("failed with %v, want our access_denied", alert)
	}
	if err := <-peer.ended; err == nil {
		t.Error("pion believes in the session")
	}
}

func TestPionServerWithAnotherCertificate(t *testing.T) {
	us, peer := dialPion(t, certifiedClient(another), nil, repeat)
	if alert := us.refusal(); !alert.Local {
		t.Errorf("failed with %v, want an alert of ours", alert)
	}
	if err := <-peer.ended; err == nil {
		t.Error("pion believes in the session")
	}
}

func TestPionServerThatRefusesUs(t *testing.T) {
	cfg := certifiedClient(theirs)
	cfg.Key, cfg.Certificate = another.key, another.chain
	us, peer := dialPion(t, cfg, nil, repeat)
	if alert := us.refusal(); alert.Local || alert.Level != dtls.AlertFatal {
		t.Errorf("failed with %v, want a fatal alert of pion", alert)
	}
	if err := <-peer.ended; err == nil {
		t.Error("pion believes in the session")
	}
}
