package dtls

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/muster/muster/fixtures"
)

// A comparison says how the datagrams of our Server are compared with those
// of the recorded cloud.
type comparison uint8

const (
	exact   comparison = iota // the same datagrams in the same order
	records                   // the same records, byte for byte, in other datagrams or another order
	shape                     // everything but the signed ECDHE key, which was not recorded
)

// A variant is what the lab cloud did in a scenario, as our configuration.
type variant struct {
	change func(*ServerConfig, Generation)
	gate   GateFaults // besides the cookie
	how    comparison
	why    string // when it is not exact
	// prepare is for what the lab cloud did that no configuration does.
	prepare func(*serverReplay)
}

// variants are by scenario; one that is not here is an ordinary handshake.
var variants = map[string]variant{
	"hs-final-reversed": {
		change: func(c *ServerConfig, _ Generation) {},
		how:    records,
		why:    "the lab cloud packs its first flight and reverses the last; the order is the network's business",
	},
	"hs-lostfinal": {
		prepare: func(r *serverReplay) { r.lostFinal = true },
		why:     "the lab cloud did not number the ChangeCipherSpec that it did not send, and sent the repeated flight twice",
	},
	"hs-lostflight": {
		change:  func(c *ServerConfig, _ Generation) { c.Faults.FirstSequence = 1 },
		prepare: func(r *serverReplay) { r.skipHellos = 1 },
		why:     "the lab cloud made its flight only for the repeated ClientHello, and numbers from 1",
	},
	"hs-minimal": {change: func(c *ServerConfig, g Generation) {
		c.Faults.Extensions = []uint16{extDeviceOSCID, extClientType}
		if g < GenF {
			c.Faults.Extensions = c.Faults.Extensions[1:]
		}
	}},
	"hs-mtu200": {
		change: func(c *ServerConfig, _ Generation) { c.MTU, c.Faults.Packing = 200, PackSingle },
		how:    records,
		why:    "the lab cloud packs its last flight",
	},
	"hs-mtu60-reversed": {
		change: func(c *ServerConfig, _ Generation) { c.Faults.FragmentSize, c.Faults.Packing = 35, PackReversed },
		how:    records,
		why:    "the lab cloud packs its last flight and does not reverse it",
	},
	"hs-no-ext19": {change: func(c *ServerConfig, g Generation) {
		c.Faults.AcceptEmptyCertificate = true
		c.Faults.Extensions = []uint16{extRenegotiated, extDeviceOSCID, extPointFormats, extServerType}
		if g < GenF {
			c.Faults.Extensions = []uint16{extRenegotiated, extPointFormats, extServerType}
		}
	}},
	"hs-nocertreq": {change: func(c *ServerConfig, _ Generation) { c.Faults.OmitCertificateRequest = true }},
	"hs-nocid": {change: func(c *ServerConfig, _ Generation) {
		c.Faults.Extensions = []uint16{extRenegotiated, extPointFormats, extClientType, extServerType}
	}},
	"hs-nohvr":     {gate: GateFaults{Admit: true}},
	"hs-sessionid": {change: func(c *ServerConfig, _ Generation) { c.SessionIDSize = 32 }},
	"hs-shuffled": {
		change: func(c *ServerConfig, _ Generation) { c.Faults.Packing = PackSingle },
		how:    records,
		why:    "the order is the network's business; the lab cloud packs its last flight",
	},
	"hs-ske-sha384": {
		change: func(c *ServerConfig, _ Generation) { c.Faults.SignatureHash = hashSHA384 },
		how:    shape, why: "no secrets were recorded of the failed handshake",
	},
	"hs-with-certificate": {
		change: func(c *ServerConfig, _ Generation) { c.Faults.SendCertificate = true },
		how:    shape, why: "no secrets were recorded of the failed handshake",
	},
	"hs-cid9": {
		change: func(c *ServerConfig, _ Generation) { c.Faults.CIDLength = 9 },
		how:    shape, why: "no secrets were recorded of the failed handshake",
	},
	"session-mbedtls": {
		gate: GateFaults{Version12: true},
		change: func(c *ServerConfig, _ Generation) {
			c.SessionIDSize = 32
			c.Faults.Packing = PackSingle
		},
		how: shape, why: "the ECDHE scalar of the mbedTLS cloud was not recorded",
	},
}

// Our Gate and Server, fed with the datagrams of the recorded devices and the
// recorded secrets of the cloud, say what the recorded cloud said.
func TestCaptureServer(t *testing.T) {
	compared := map[comparison]int{}
	for _, c := range udpCaptures() {
		for i, a := range attempts(c) {
			t.Run(fmt.Sprintf("%s/%d", c.Name, i+1), func(t *testing.T) {
				r := newServerReplay(t, a)
				if r == nil {
					t.Skip("the cloud does not answer")
				}
				r.run()
				compared[r.v.how]++
			})
		}
	}
	t.Logf("handshakes: %d exact, %d by records, %d by shape", compared[exact], compared[records], compared[shape])
	if compared[exact] < 100 {
		t.Errorf("only %d handshakes compared byte for byte", compared[exact])
	}
}

// A serverReplay is our cloud living through a recorded handshake.
type serverReplay struct {
	t          *testing.T
	a          *attempt
	v          variant
	gate       *Gate
	cfg        *ServerConfig
	server     *Server
	session    *Session
	skipHellos int // ClientHellos with a cookie that the lab cloud did not answer
	lostFinal  bool

	got, want [][]byte
}

func newServerReplay(t *testing.T, a *attempt) *serverReplay {
	r := &serverReplay{t: t, a: a, v: variants[a.capture.Scenario]}
	hello := r.recordedHello()
	if hello == nil {
		return nil
	}
	r.cfg = &ServerConfig{
		Key: derKey(t, a.capture.ServerKey),
		Verify: func(spki []byte) error {
			wantBytes(t, "device key", spki, a.capture.DeviceSPKI)
			return nil
		},
	}
	if r.v.change != nil {
		r.v.change(r.cfg, generation(a.capture))
	}
	if r.v.prepare != nil {
		r.v.prepare(r)
	}
	faults := r.v.gate
	faults.Cookie = r.recordedCookie()
	r.gate = NewGate(script(t, make([]byte, 64)), 0, faults)
	cid := hello.deviceOSCID
	if a.session != nil && a.session.CID != nil {
		cid = a.session.CID
	}
	scalar := bytes.Repeat([]byte{1}, 32) // when the real one is unknown
	if a.session != nil && a.session.ServerECDHEPrivate != nil {
		scalar = a.session.ServerECDHEPrivate
	} else {
		r.v.how = shape
	}
	r.cfg.Rand = script(t, hello.random[:], hello.sessionID, cid, scalar)
	return r
}

// recordedHello returns the ServerHello of the recorded cloud, nil without one.
func (r *serverReplay) recordedHello() *serverHello {
	parts := reassembly{max: 4096}
	for _, item := range r.a.items {
		if item.Op != fixtures.OpDown {
			continue
		}
		for _, f := range fragments(item.Data) {
			if f.typ == typeServerHello {
				parts.skipToFirst(f.seq)
				parts.add(0, &f)
				if m, ok := parts.take(); ok {
					h, ok := parseServerHello(m.body)
					if !ok {
						r.t.Fatalf("recorded ServerHello: %x", m.body)
					}
					return &h
				}
			}
		}
	}
	return nil
}

func (r *reassembly) skipToFirst(seq uint16) {
	if !r.begun() {
		r.skipTo(seq)
	}
}

// fragments returns the handshake fragments of the records of epoch 0.
func fragments(datagram []byte) (all []fragment) {
	for len(datagram) > 0 {
		rec, rest, why := splitRecord(datagram, CIDSize)
		if why != DropNone {
			return all
		}
		for body := rec.body; rec.typ == TypeHandshake && rec.epoch() == 0 && len(body) > 0; {
			f, next, why := splitFragment(body)
			if why != DropNone {
				return all
			}
			all, body = append(all, f), next
		}
		datagram = rest
	}
	return all
}

func (r *serverReplay) recordedCookie() []byte {
	for _, item := range r.a.items {
		if item.Op != fixtures.OpDown {
			continue
		}
		for _, f := range fragments(item.Data) {
			if f.typ == typeHelloVerifyRequest {
				cookie, _ := parseHelloVerifyRequest(f.body)
				return cookie
			}
		}
	}
	return nil
}

func (r *serverReplay) run() {
	answered := false
	for _, item := range r.a.items {
		switch {
		case item.Op == fixtures.OpDown:
			r.want = append(r.want, item.Data)
		case item.Op == fixtures.OpUp:
			if answered && r.server == nil || r.session != nil && !r.lostFinal {
				r.compare()
			}
			if r.session != nil && !plain(item.Data) {
				// The recorded session goes on; TestCaptureSessionsReplay has it.
				r.compare()
				return
			}
			r.feed(bytes.Clone(item.Data))
			answered = true
		case strings.HasPrefix(item.Text, "device source port changed") && r.session != nil:
			return
		}
	}
	r.compare()
}

// feed gives one datagram of the device to our cloud.
func (r *serverReplay) feed(datagram []byte) {
	var out Out
	h, err := PeekHeader(datagram)
	if err != nil {
		r.t.Fatal(err)
	}
	switch {
	case r.session != nil:
		r.session.Receive(datagram, &out)
		if r.lostFinal {
			r.session.repeatFinal(&out) // the lab cloud's second copy
		}
	case r.server == nil && h.ClientHello:
		hello, _, _ := peekHello(datagram)
		if len(hello.cookie) == 0 && !r.v.gate.Admit {
			if v := r.gate.Receive(0, nil, datagram, &out); v != Challenged {
				r.t.Fatalf("verdict %d, want Challenged", v)
			}
			break
		}
		if r.skipHellos > 0 {
			r.skipHellos--
			break
		}
		r.server = NewServer(r.cfg)
		fallthrough
	default:
		r.server.Receive(0, datagram, &out)
	}
	for _, e := range out.Events {
		switch e.Kind {
		case EventEstablished:
			r.session = e.Session
			if r.lostFinal {
				r.session.plainNext--
				out.Reset()
				return
			}
		case EventFailed, EventDropped:
			r.failed(e)
		case EventApplication, EventClosed:
			// A handshake has neither.
		}
	}
	r.got = append(r.got, slices.Clone(out.Datagrams)...)
}

// failed checks that only handshakes fail that the device ended, or that our
// keys differ in.
func (r *serverReplay) failed(e Event) {
	if r.v.how != shape && !(r.lostFinal && e.Reason == DropPlaintext) {
		r.t.Errorf("%s: %v %v", e.Kind, e.Reason, e.Err)
	}
	if alert, ok := errors.AsType[*AlertError](e.Err); ok && !alert.Local {
		want := map[string]AlertDescription{"hs-ske-sha384": IllegalParameter, "hs-with-certificate": UnexpectedMessage, "hs-cid9": HandshakeFailure}
		if alert.Description != want[r.a.capture.Scenario] {
			r.t.Errorf("%v", alert)
		}
	}
}

// compare compares what was said since the last time.
func (r *serverReplay) compare() {
	r.t.Helper()
	switch r.v.how {
	case exact:
		wantDatagrams(r.t, "cloud", r.got, r.want)
	case records:
		got, want := sortedRecords(r.t, r.got), sortedRecords(r.t, r.want)
		if !slices.Equal(got, want) {
			r.t.Errorf("records:\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
		}
	case shape:
		if len(r.got) > 0 {
			wantDatagrams(r.t, "cloud", blank(r.t, r.got), blank(r.t, r.want))
		}
	}
	r.got, r.want = nil, nil
}

// blank returns the handshake messages of datagrams, without what depends on
// the ECDHE key: the body of ServerKeyExchange but for its algorithms, and all
// of epoch 1. The content of CertificateRequest is free, too.
func blank(t testing.TB, datagrams [][]byte) (all [][]byte) {
	for _, datagram := range datagrams {
		for _, f := range fragments(datagram) {
			body := bytes.Clone(f.body)
			if f.typ == typeServerKeyExchange {
				k, ok := parseServerKeyExchange(body)
				if !ok {
					t.Fatalf("ServerKeyExchange %x", body)
				}
				body = []byte{k.hash, k.algorithm}
			}
			if f.typ == typeCertificateRequest {
				body = nil // any content will do
			}
			all = append(all, appendMessage(nil, f.typ, f.seq, body))
		}
	}
	return all
}
