package interop

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
)

// onlyCCM8 is a configuration of GnuTLS in which TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8
// is the best suite left, because a libcoap server has no option for that.
const onlyCCM8 = `[overrides]
tls-disabled-cipher = AES-256-GCM
tls-disabled-cipher = AES-128-GCM
tls-disabled-cipher = AES-256-CCM
tls-disabled-cipher = AES-128-CCM
tls-disabled-cipher = AES-256-CBC
tls-disabled-cipher = AES-128-CBC
tls-disabled-cipher = CHACHA20-POLY1305
`

// libcoapClient asks us for /muster. It offers X.509 before raw keys.
func libcoapClient(t *testing.T, port int, args ...string) *program {
	t.Helper()
	return run(t, "coap-client-gnutls", append(append([]string{"-B", "15", "-v", "4", "-M", theirs.file(t, "sec1")}, args...),
		"coaps://127.0.0.1:"+text(port)+"/muster")...)
}

func TestLibcoapClient(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 50)
	for name, c := range map[string]struct {
		args    []string
		payload string // of the request
		answer  string
		config  func(*dtls.ServerConfig)
		lose    func(n int, datagram []byte) bool
	}{
		"get":                {answer: "what libcoap asked for"},
		"post":               {args: []string{"-m", "post", "-e", "from libcoap"}, payload: "from libcoap", answer: "taken"},
		"long":               {args: []string{"-m", "post", "-e", long, "-b", "1024"}, payload: long, answer: long},
		"no extended master": {answer: "yes", config: func(c *dtls.ServerConfig) { c.NoExtendedMasterSecret = true }},
		"fragments":          {answer: "yes", config: func(c *dtls.ServerConfig) { c.MTU = 150 }},
		"it loses its hello": {args: []string{"-l", "2"}, answer: "yes"},
		"it loses its key":   {args: []string{"-l", "4"}, answer: "yes"},
		"it loses its last":  {args: []string{"-l", "7"}, answer: "yes"},
		"we lose our flight": {answer: "yes", lose: func(n int, _ []byte) bool { return n == 2 }},
		"we lose our last":   {answer: "yes", lose: func(n int, _ []byte) bool { return n == 3 }},
		// Not reversed: when Finished overtakes ChangeCipherSpec, libcoap 4.3.1
		// completes the handshake and at once begins another.
		"single records": {answer: "yes", config: func(c *dtls.ServerConfig) { c.Faults.Packing = dtls.PackSingle }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait most of the time
			cfg := serverConfig(theirs)
			if c.config != nil {
				c.config(cfg)
			}
			us := serve(t, cfg)
			us.lose = c.lose
			peer := libcoapClient(t, us.port(), c.args...)
			if e := us.until(dtls.EventEstablished); !bytes.Equal(e.PeerSPKI, theirs.spki) {
				t.Errorf("key of the client is %x", e.PeerSPKI)
			}
			answer(us, c.payload, c.answer)
			peer.await(c.answer)
			us.until(dtls.EventClosed)
			if status := peer.exit(); status != 0 {
				t.Errorf("exit status %d, want 0", status)
			}
		})
	}
}

// answer takes a confirmable request for /muster and answers it with 2.05.
func answer(us *party, wantPayload, payload string) {
	us.t.Helper()
	request, err := coap.Parse(us.until(dtls.EventApplication).Data)
	if err != nil {
		us.t.Fatal(err)
	}
	if path := request.Path(); path != "muster" && path != "/muster" || string(request.Payload) != wantPayload {
		us.t.Errorf("request for %q with %q, want muster and %q", path, request.Payload, wantPayload)
	}
	us.send(gen.CoAP{
		Type: gen.Acknowledgement, Code: 0x45, ID: request.ID, Token: request.Token, Payload: []byte(payload),
	}.Bytes())
}

func TestLibcoapClientWithAnUnknownKey(t *testing.T) {
	us := serve(t, serverConfig(another))
	libcoapClient(t, us.port())
	if alert := us.refusal(); !alert.Local || alert.Description != dtls.AccessDenied {
		t.Errorf("failed with %v, want our access_denied", alert)
	}
}

func libcoapServer(t *testing.T) (port int) {
	t.Helper()
	config := filepath.Join(t.TempDir(), "ccm8.cfg")
	if err := os.WriteFile(config, []byte(onlyCCM8), 0o600); err != nil {
		t.Fatal(err)
	}
	port = freePort(t, 2)
	peer := runWith(t, []string{"GNUTLS_SYSTEM_PRIORITY_FILE=" + config}, "coap-server-gnutls",
		"-A", "127.0.0.1", "-p", text(port), "-d", "10", "-v", "7", "-M", theirs.file(t, "sec1"))
	peer.await("created DTLS endpoint 127.0.0.1:" + text(port+1))
	return port + 1
}

func TestLibcoapServer(t *testing.T) {
	for name, c := range map[string]struct {
		config func(*dtls.ClientConfig)
		lose   func(n int, datagram []byte) bool
	}{
		"plain":              {},
		"no extended master": {config: func(c *dtls.ClientConfig) { c.NoExtendedMasterSecret = true }},
		"lost client flight": {lose: func(n int, _ []byte) bool { return n == 3 }},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := clientConfig(theirs)
			if c.config != nil {
				c.config(cfg)
			}
			us := dialLossy(t, libcoapServer(t), cfg, c.lose)
			if e := us.until(dtls.EventEstablished); !bytes.Equal(e.PeerSPKI, theirs.spki) {
				t.Errorf("key of the server is %x", e.PeerSPKI)
			}
			ask(us, gen.CoAP{Code: 3, ID: 1, Token: []byte{1}, Options: gen.Path("new"), Payload: []byte("of ours")}, 0x41, "")
			ask(us, gen.CoAP{Code: 1, ID: 2, Token: []byte{2}, Options: gen.Path("new")}, 0x45, "of ours")
			us.close()
		})
	}
}

// ask sends a confirmable request and checks the piggybacked response.
func ask(us *party, request gen.CoAP, code coap.Code, payload string) {
	us.t.Helper()
	us.send(request.Bytes())
	response, err := coap.Parse(us.until(dtls.EventApplication).Data)
	if err != nil {
		us.t.Fatal(err)
	}
	if response.Type != coap.Acknowledgement || response.ID != request.ID || response.Code != code || string(response.Payload) != payload {
		us.t.Errorf("response is %+v, want %v with %q", response, code, payload)
	}
}

func TestLibcoapServerWithAnotherKey(t *testing.T) {
	us := dial(t, libcoapServer(t), clientConfig(another))
	if alert := us.refusal(); !alert.Local {
		t.Errorf("failed with %v, want an alert of ours", alert)
	}
}
