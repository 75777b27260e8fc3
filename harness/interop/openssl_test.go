package interop

import (
	"bytes"
	"testing"

	"github.com/muster/muster/protocol/dtls"
)

// OpenSSL before 3.2 has no raw public keys, so both sides show certificates.
// Level 0 lets a suite with a tag of 64 bits in.
var opensslSuite = []string{
	"-dtls1_2", "-cipher", "ECDHE-ECDSA-AES128-CCM8@SECLEVEL=0", "-groups", "P-256", "-sigalgs", "ECDSA+SHA256",
}

// certified is our server with a certificate, which knows id's.
func certified(id *identity) *dtls.ServerConfig {
	cfg := serverConfig(id)
	cfg.Certificate, cfg.Verify, cfg.VerifyChain = ours.chain, nil, onlyChain(id)
	return cfg
}

func opensslClient(t *testing.T, port int, args ...string) *program {
	t.Helper()
	return run(t, "openssl", append(append([]string{
		"s_client", "-connect", loopback(port).String(), "-key", theirs.file(t, "sec1"), "-cert", theirs.file(t, "certificate"),
		"-CAfile", ours.file(t, "certificate"), "-verify_return_error", "-noservername",
	}, opensslSuite...), args...)...)
}

func TestOpenSSLClient(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		config func(*dtls.ServerConfig)
		lose   func(n int, datagram []byte) bool
	}{
		"plain":              {},
		"client fragments":   {args: []string{"-mtu", "256"}},
		"server fragments":   {config: func(c *dtls.ServerConfig) { c.MTU = 128 }},
		"no extended master": {config: func(c *dtls.ServerConfig) { c.NoExtendedMasterSecret = true }},
		"lost server flight": {lose: func(n int, _ []byte) bool { return n == 2 }},
		"lost last flight":   {lose: func(n int, _ []byte) bool { return n == 3 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait most of the time
			cfg := certified(theirs)
			if c.config != nil {
				c.config(cfg)
			}
			us := serve(t, cfg)
			us.lose = c.lose
			peer := opensslClient(t, us.port(), c.args...)
			peer.say("hello muster\n")
			talkToClient(t, us, peer, "hello muster")
		})
	}
}

func TestOpenSSLClientWithAnUnknownCertificate(t *testing.T) {
	us := serve(t, certified(another))
	peer := opensslClient(t, us.port())
	if alert := us.refusal(); !alert.Local || alert.Description != dtls.AccessDenied {
		t.Errorf("failed with %v, want our access_denied", alert)
	}
	peer.await("access denied")
}

func opensslServer(t *testing.T, args ...string) (*program, int) {
	t.Helper()
	port := freePort(t, 1)
	peer := run(t, "openssl", append(append([]string{
		"s_server", "-accept", loopback(port).String(), "-listen", "-key", theirs.file(t, "sec1"), "-cert", theirs.file(t, "certificate"),
		"-Verify", "1", "-verify_return_error", "-CAfile", ours.file(t, "certificate"),
	}, opensslSuite...), args...)...)
	peer.await("ACCEPT")
	return peer, port
}

// certifiedClient is our client with a certificate, which knows id's.
func certifiedClient(id *identity) *dtls.ClientConfig {
	cfg := clientConfig(id)
	cfg.Certificate, cfg.ServerKey = ours.chain, nil
	cfg.VerifyServer = func(_ []byte, chain [][]byte) error { return onlyChain(id)(chain) }
	return cfg
}

func TestOpenSSLServer(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		config func(*dtls.ClientConfig)
		lose   func(n int, datagram []byte) bool
	}{
		"plain":              {},
		"server fragments":   {args: []string{"-mtu", "256"}},
		"client fragments":   {config: func(c *dtls.ClientConfig) { c.MTU = 200 }},
		"no extended master": {config: func(c *dtls.ClientConfig) { c.NoExtendedMasterSecret = true }},
		"lost client flight": {lose: func(n int, _ []byte) bool { return n == 3 }},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := certifiedClient(theirs)
			if c.config != nil {
				c.config(cfg)
			}
			peer, port := opensslServer(t, c.args...)
			us := dialLossy(t, port, cfg, c.lose)
			e := us.until(dtls.EventEstablished)
			if len(e.PeerChain) != 1 || !bytes.Equal(e.PeerChain[0], theirs.chain[0]) || !bytes.Equal(e.PeerSPKI, theirs.spki) {
				t.Errorf("certificate of the server is %x", e.PeerChain)
			}
			us.send([]byte("hello openssl\n"))
			peer.await("hello openssl")
			peer.say("hello muster\n")
			if data := us.until(dtls.EventApplication).Data; string(data) != "hello muster\n" {
				t.Errorf("received %q", data)
			}
			us.close()
		})
	}
}

func TestOpenSSLServerWithAnotherCertificate(t *testing.T) {
	_, port := opensslServer(t)
	us := dial(t, port, certifiedClient(another))
	if alert := us.refusal(); !alert.Local {
		t.Errorf("failed with %v, want an alert of ours", alert)
	}
}

// A server that does not know our certificate ends the handshake.
func TestOpenSSLServerThatRefusesUs(t *testing.T) {
	_, port := opensslServer(t)
	cfg := certifiedClient(theirs)
	cfg.Key, cfg.Certificate = another.key, another.chain
	us := dial(t, port, cfg)
	if alert := us.refusal(); alert.Local || alert.Level != dtls.AlertFatal {
		t.Errorf("failed with %v, want a fatal alert of the server", alert)
	}
}

// The alert that refuses a ClientHello must not look like a replay of the
// HelloVerifyRequest before it (RFC 6347 Section 4.2.1).
func TestOpenSSLClientWithoutCommonSuite(t *testing.T) {
	us := serve(t, certified(theirs))
	peer := opensslClient(t, us.port(), "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256")
	if alert := us.refusal(); !alert.Local || alert.Description != dtls.HandshakeFailure {
		t.Errorf("failed with %v, want our handshake_failure", alert)
	}
	peer.await("handshake failure")
}

func TestOpenSSLClientOfDTLS10(t *testing.T) {
	us := serve(t, certified(theirs))
	peer := run(t, "openssl", "s_client", "-dtls1", "-connect", loopback(us.port()).String(), "-cipher", "ALL@SECLEVEL=0")
	us.step(us.clock.Now().Add(patience))
	if us.machine != nil {
		t.Error("a handshake began")
	}
	peer.await("protocol version")
}
