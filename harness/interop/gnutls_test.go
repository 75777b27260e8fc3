package interop

import (
	"bytes"
	"testing"

	"github.com/muster/muster/protocol/dtls"
)

const (
	// strict offers what both sides must speak, and nothing else.
	strict = "NONE:+VERS-DTLS1.2:+ECDHE-ECDSA:+AES-128-CCM-8:+AEAD:+SIGN-ECDSA-SHA256:+GROUP-SECP256R1:+COMP-NULL:+CTYPE-CLI-RAWPK:+CTYPE-SRV-RAWPK"
	// wide offers many suites, groups, signatures and extensions beside them.
	wide = "NORMAL:-VERS-ALL:+VERS-DTLS1.2:+AES-128-CCM-8:+CTYPE-CLI-RAWPK:+CTYPE-SRV-RAWPK"
)

func gnutlsClient(t *testing.T, port int, priority string, more ...string) *program {
	t.Helper()
	return run(t, "gnutls-cli", append(append([]string{
		"--udp", "-p", text(port), "--insecure", "--priority", priority,
		"--rawpkkeyfile", theirs.file(t, "pkcs8"), "--rawpkfile", theirs.file(t, "public"),
	}, more...), "127.0.0.1")...)
}

func TestGnuTLSClient(t *testing.T) {
	for name, c := range map[string]struct {
		priority string
		args     []string
		config   func(*dtls.ServerConfig)
		lose     func(n int, datagram []byte) bool
	}{
		"strict":              {priority: strict},
		"wide":                {priority: wide},
		"client fragments":    {priority: wide, args: []string{"--mtu", "100"}},
		"server fragments":    {priority: strict, config: func(c *dtls.ServerConfig) { c.MTU = 100 }},
		"no extended master":  {priority: strict, config: func(c *dtls.ServerConfig) { c.NoExtendedMasterSecret = true }},
		"session id":          {priority: strict, config: func(c *dtls.ServerConfig) { c.SessionIDSize = 32 }},
		"single records":      {priority: strict, config: func(c *dtls.ServerConfig) { c.Faults.Packing = dtls.PackSingle }},
		"reversed records":    {priority: strict, config: func(c *dtls.ServerConfig) { c.Faults.Packing = dtls.PackReversed }},
		"everything twice":    {priority: strict, config: func(c *dtls.ServerConfig) { c.Faults.Packing = dtls.PackTwice }},
		"lost verify request": {priority: strict, lose: func(n int, _ []byte) bool { return n == 1 }},
		"lost server flight":  {priority: strict, lose: func(n int, _ []byte) bool { return n == 2 }},
		"lost last flight":    {priority: strict, lose: func(n int, _ []byte) bool { return n == 3 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait most of the time
			cfg := serverConfig(theirs)
			if c.config != nil {
				c.config(cfg)
			}
			us := serve(t, cfg)
			us.lose = c.lose
			peer := gnutlsClient(t, us.port(), c.priority, c.args...)
			peer.say("hello muster\n")
			talkToClient(t, us, peer, "hello muster")
			if status := peer.exit(); status != 0 {
				t.Errorf("exit status %d, want 0", status)
			}
		})
	}
}

// talkToClient accepts a client with the raw key of theirs, echoes one
// message, and sees it go when its standard input ends.
func talkToClient(t *testing.T, us *party, peer *program, message string) {
	t.Helper()
	if e := us.until(dtls.EventEstablished); !bytes.Equal(e.PeerSPKI, theirs.spki) {
		t.Errorf("key of the client is %x", e.PeerSPKI)
	}
	data := us.until(dtls.EventApplication).Data
	if got := string(bytes.TrimRight(data, "\n")); got != message {
		t.Errorf("received %q, want %q", data, message)
	}
	us.send([]byte("echo of " + string(data)))
	peer.await("echo of " + message)
	_ = peer.stdin.Close()
	us.until(dtls.EventClosed)
}

func TestGnuTLSClientWithAnUnknownKey(t *testing.T) {
	us := serve(t, serverConfig(another))
	peer := gnutlsClient(t, us.port(), strict)
	if alert := us.refusal(); !alert.Local || alert.Description != dtls.AccessDenied {
		t.Errorf("failed with %v, want our access_denied", alert)
	}
	peer.await("Access was denied")
	if status := peer.exit(); status == 0 {
		t.Error("exit status 0, want an error")
	}
}

func TestGnuTLSClientWithoutCommonSuite(t *testing.T) {
	us := serve(t, serverConfig(theirs))
	gnutlsClient(t, us.port(), "NORMAL:-VERS-ALL:+VERS-DTLS1.2:-AES-128-CCM-8:+CTYPE-CLI-RAWPK:+CTYPE-SRV-RAWPK")
	if alert := us.refusal(); !alert.Local || alert.Description != dtls.HandshakeFailure {
		t.Errorf("failed with %v, want our handshake_failure", alert)
	}
}

// A client that asks to resume by session id gets a whole handshake.
func TestGnuTLSClientThatResumes(t *testing.T) {
	cfg := serverConfig(theirs)
	cfg.SessionIDSize = 32
	us := serve(t, cfg)
	peer := gnutlsClient(t, us.port(), strict, "--resume")
	us.until(dtls.EventEstablished)
	us.until(dtls.EventClosed)
	us.until(dtls.EventEstablished)
	peer.say("hello again\n")
	if data := us.until(dtls.EventApplication).Data; string(data) != "hello again\n" {
		t.Errorf("received %q", data)
	}
	_ = peer.stdin.Close()
	us.until(dtls.EventClosed)
}

func gnutlsServer(t *testing.T, more ...string) int {
	t.Helper()
	port := freePort(t, 1)
	peer := run(t, "gnutls-serv", append([]string{
		"--udp", "-p", text(port), "--echo", "--noticket", "--require-client-cert", "--priority", strict,
		"--rawpkkeyfile", theirs.file(t, "pkcs8"), "--rawpkfile", theirs.file(t, "public"),
	}, more...)...)
	peer.await("listening on IPv4 0.0.0.0 port " + text(port) + "...done")
	return port
}

func TestGnuTLSServer(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for name, c := range map[string]struct {
		args   []string
		config func(*dtls.ClientConfig)
		lose   func(n int, datagram []byte) bool
	}{
		"plain":            {},
		"server fragments": {args: []string{"--mtu", "120"}},
		"client fragments": {config: func(c *dtls.ClientConfig) { c.MTU = 100 }},
		// The first fragment must hold the cookie, or gnutls-serv does not see it.
		"overlapping":        {config: func(c *dtls.ClientConfig) { c.Faults.FragmentSize, c.Faults.OverlapFragments = 60, 7 }},
		"no extended master": {config: func(c *dtls.ClientConfig) { c.NoExtendedMasterSecret = true }},
		"offers a CID":       {config: func(c *dtls.ClientConfig) { c.CID = []byte{1, 2, 3, 4} }},
		"single records":     {config: func(c *dtls.ClientConfig) { c.Faults.Packing = dtls.PackSingle }},
		"no cookie":          {args: []string{"--nocookie"}},
		"lost hello":         {lose: func(n int, _ []byte) bool { return n == 1 }},
		"lost client flight": {lose: func(n int, _ []byte) bool { return n == 3 }},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := clientConfig(theirs)
			if c.config != nil {
				c.config(cfg)
			}
			us := dialLossy(t, gnutlsServer(t, c.args...), cfg, c.lose)
			if e := us.until(dtls.EventEstablished); !bytes.Equal(e.PeerSPKI, theirs.spki) {
				t.Errorf("key of the server is %x", e.PeerSPKI)
			}
			us.send([]byte("hello muster\n"))
			if data := us.until(dtls.EventApplication).Data; string(data) != "hello muster\n" {
				t.Errorf("received %q", data)
			}
			us.close()
		})
	}
}

func TestGnuTLSServerWithAnotherKey(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	us := dial(t, gnutlsServer(t), clientConfig(another))
	if alert := us.refusal(); !alert.Local {
		t.Errorf("failed with %v, want an alert of ours", alert)
	}
}
