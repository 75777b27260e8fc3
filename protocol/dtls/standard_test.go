package dtls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/muster/muster/fixtures"
)

// A transcriptReader collects the handshake of a recorded file of another stack.
type transcriptReader struct {
	t             *testing.T
	file          *fixtures.VectorFile
	opener        *Opener
	messages      []message // whole ones in the order of the transcript
	clientRandom  [randomSize]byte
	serverRandom  [randomSize]byte
	extended      bool
	finishedCount int
}

func optional(f *fixtures.VectorFile, name string) []byte {
	for _, v := range f.Values {
		if v.Name == name {
			return v.Data
		}
	}
	return nil
}

// The recorded handshakes of GnuTLS, libcoap and Californium: their records
// decrypt, their signatures and Finished messages verify, and the extended master
// secret was bound to the transcript that we compute.
func TestStandardVectors(t *testing.T) {
	for _, file := range fixtures.Vectors("standard") {
		t.Run(file.Name, func(t *testing.T) {
			r := &transcriptReader{t: t, file: file}
			keys := KeysFromBlock((*[keyBlockSize]byte)(file.Value("key-block")),
				optional(file, "client-to-server-cid"), optional(file, "server-to-client-cid"))
			r.opener = NewOpener(Standard, keys)
			for _, d := range file.Datagrams {
				r.datagram(d)
			}
			if r.finishedCount != 2 {
				t.Errorf("%d Finished messages", r.finishedCount)
			}
		})
	}
}

func (r *transcriptReader) datagram(d fixtures.Datagram) {
	cid := r.opener.CID(d.FromClient)
	raws, _, err := SplitRecords(d.Data, cid.Len())
	if err != nil {
		r.t.Fatal(err)
	}
	plaintexts := d.Plaintexts
	for _, raw := range raws {
		rec, _, _ := splitRecord(raw, cid.Len())
		typ, content := rec.typ, rec.body
		if rec.epoch() == 1 {
			if typ, content, err = r.opener.Open(d.FromClient, raw); err != nil {
				r.t.Fatalf("%x: %v", raw, err)
			}
			wantBytes(r.t, "plaintext", content, plaintexts[0].Data)
			if byte(typ) != plaintexts[0].Type {
				r.t.Errorf("type %v, want %d", typ, plaintexts[0].Type)
			}
			plaintexts = plaintexts[1:]
		}
		if typ == TypeHandshake {
			f, rest, why := splitFragment(content)
			if why != DropNone || len(rest) > 0 || !f.whole() {
				r.t.Fatalf("handshake record %x", content)
			}
			r.message(d.FromClient, &message{typ: f.typ, seq: f.seq, body: f.body})
		}
	}
}

func (r *transcriptReader) message(fromClient bool, m *message) {
	ok := true
	switch m.typ {
	case typeClientHello:
		var h clientHello
		h, ok = parseClientHello(m.body)
		r.clientRandom, r.messages = h.random, nil
		wantBytes(r.t, "ClientHello again", h.append(nil), m.body)
	case typeHelloVerifyRequest:
		if _, ok = parseHelloVerifyRequest(m.body); !ok {
			r.t.Fatalf("%v: %x", m.typ, m.body)
		}
		r.messages = nil
		return
	case typeServerHello:
		var h serverHello
		h, ok = parseServerHello(m.body)
		r.serverRandom, r.extended = h.random, h.masterSecret
		wantBytes(r.t, "ServerHello again", h.append(nil), m.body)
	case typeCertificate:
		want := r.file.Value("server-spki")
		if fromClient {
			want = r.file.Value("client-spki")
		}
		var spki []byte
		spki, ok = parseRawKey(m.body)
		wantBytes(r.t, "raw key", spki, want)
	case typeServerKeyExchange:
		var k serverKeyExchange
		k, ok = parseServerKeyExchange(m.body)
		d, _ := digest(k.hash, signedParams(&r.clientRandom, &r.serverRandom, k.params))
		r.verify("ServerKeyExchange", "server-spki", d, k.signature)
	case typeCertificateRequest:
		ok = parseCertificateRequest(m.body)
	case typeClientKeyExchange:
		_, ok = parseClientKeyExchange(m.body)
	case typeCertificateVerify:
		var v certificateVerify
		v, ok = parseCertificateVerify(m.body)
		r.verify("CertificateVerify", "client-spki", r.sum(), v.signature)
	case typeFinished:
		r.finished(fromClient, m)
	default: // ServerHelloDone is empty
	}
	if !ok {
		r.t.Fatalf("%v: %x", m.typ, m.body)
	}
	r.messages = append(r.messages, *m)
	if m.typ == typeClientKeyExchange {
		r.keys()
	}
}

func (r *transcriptReader) sum() []byte {
	sum := sha256.New()
	for _, m := range r.messages {
		sum.Write(appendMessage(nil, m.typ, m.seq, m.body))
	}
	return sum.Sum(nil)
}

func (r *transcriptReader) verify(what, key string, digest, signature []byte) {
	r.t.Helper()
	public, ok := ParseSPKI(r.file.Value(key))
	if !ok || !ecdsa.VerifyASN1(public, digest, signature) {
		r.t.Errorf("%s does not verify", what)
	}
}

// keys checks what can be computed without the premaster secret.
func (r *transcriptReader) keys() {
	r.t.Helper()
	m := [masterSize]byte(r.file.Value("master-secret"))
	block := newPRF(m[:]).keyBlock(&r.clientRandom, &r.serverRandom)
	wantBytes(r.t, "key block", block[:], r.file.Value("key-block"))
	if r.extended {
		wantBytes(r.t, "session hash", r.sum(), r.file.Value("session-hash"))
	}
}

func (r *transcriptReader) finished(fromClient bool, m *message) {
	r.t.Helper()
	r.finishedCount++
	label := labelServer
	if fromClient {
		label = labelClient
	}
	secret := [masterSize]byte(r.file.Value("master-secret"))
	verify := newPRF(secret[:]).verifyData(label, r.sum())
	wantBytes(r.t, "verify_data", m.body, verify[:])
}

// Our Gate and Server take the ClientHellos of other stacks, with their many
// suites, extensions and orders, and choose what a raw-key server must.
func TestServerTakesForeignHellos(t *testing.T) {
	for _, name := range []string{"standard-1-gnutls", "standard-3-libcoap", "standard-4-californium-cid"} {
		t.Run(name, func(t *testing.T) {
			var out Out
			hello := fixtures.Vectors(name)[0].Datagrams[0].Data
			gate := NewGate(script(t, make([]byte, 64)), 0, GateFaults{})
			if v := gate.Receive(0, nil, hello, &out); v != Challenged {
				t.Fatalf("verdict %d, %s", v, describe(&out))
			}
			out.Reset()
			s := NewServer(testServer(1, standardServer))
			s.Receive(0, bytes.Clone(hello), &out)
			if len(out.Datagrams) != 1 {
				t.Fatalf("no flight: %s", describe(&out))
			}
			var types []handshakeType
			for _, f := range fragments(out.Datagrams[0]) {
				types = append(types, f.typ)
				if f.typ == typeServerHello {
					h, ok := parseServerHello(f.body)
					if !ok || h.clientType != typeRawKey || h.serverType != typeRawKey || !h.masterSecret {
						t.Errorf("ServerHello %+v", h)
					}
					if want := name == "standard-4-californium-cid"; want != (h.cid != nil) {
						t.Errorf("connection id %x", h.cid)
					}
				}
			}
			if len(types) != 5 || types[1] != typeCertificate {
				t.Errorf("flight %v", types)
			}
		})
	}
}

func standardServer(c *ServerConfig) { c.Profile = Standard }

func standardClient(c *ClientConfig) { c.Profile = Standard }

// Both of our ends in the profile Standard.
func TestStandardHandshake(t *testing.T) {
	for _, test := range []struct {
		name     string
		client   func(*ClientConfig)
		server   func(*ServerConfig)
		up, down int // lengths of the connection ids
	}{
		{name: "raw keys"},
		{name: "without RFC 7627", client: func(c *ClientConfig) { c.NoExtendedMasterSecret = true }},
		{name: "RFC 7627 declined", server: func(c *ServerConfig) { c.NoExtendedMasterSecret = true }},
		{name: "connection ids", client: func(c *ClientConfig) { c.CID = []byte("from server") }, up: 8, down: 11},
		{name: "connection id up", client: func(c *ClientConfig) { c.CID = []byte{} }, up: 8},
		{name: "connection id down", client: func(c *ClientConfig) { c.CID = []byte{1, 2} }, server: func(c *ServerConfig) { c.CIDSize = -1 }, down: 2},
		{name: "connection ids declined", client: func(c *ClientConfig) { c.CID = []byte{1, 2} }, server: func(c *ServerConfig) { c.NoCID = true }},
		{name: "small MTU", client: func(c *ClientConfig) { c.MTU = 200 }, server: func(c *ServerConfig) { c.MTU = 100 }},
		{name: "server judged by function", client: func(c *ClientConfig) {
			c.ServerKey = nil
			c.VerifyServer = func(spki []byte, _ [][]byte) error { return nil }
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, server := testClient(3, GenF, standardClient), testServer(3, standardServer)
			if test.client != nil {
				test.client(client)
			}
			if test.server != nil {
				test.server(server)
			}
			d := newDuel(t, client, server).run().established()
			up, down := d.cloud.ReadCID(), d.device.ReadCID()
			if up.Len() != test.up || down.Len() != test.down {
				t.Errorf("connection ids %v up, %v down", up, down)
			}
			d.talk()
		})
	}
}

// A client that pins another key, or whose server has no certificate in common.
func TestStandardRefusals(t *testing.T) {
	for _, test := range []struct {
		name   string
		client func(*ClientConfig)
		server func(*ServerConfig)
		want   AlertDescription
		local  bool // to the client
	}{
		{"pinned key", func(c *ClientConfig) { c.ServerKey = &testDeviceKey.PublicKey }, nil, BadCertificate, true},
		{"function says no", func(c *ClientConfig) {
			c.ServerKey, c.VerifyServer = nil, func([]byte, [][]byte) error { return ErrUnknownKey }
		}, nil, BadCertificate, true},
		{"X.509 client", func(c *ClientConfig) { c.Certificate = [][]byte{{1}} }, nil, UnsupportedCertificate, false},
		{"unknown key", func(c *ClientConfig) { c.Key = testCloudKey }, nil, AccessDenied, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, server := testClient(3, GenF, standardClient, test.client), testServer(3, standardServer)
			d := newDuel(t, client, server).run()
			var alert *AlertError
			if !errors.As(d.deviceEvent.Err, &alert) || alert.Description != test.want || alert.Local != test.local {
				t.Errorf("client: %v", d.deviceEvent.Err)
			}
		})
	}
}
