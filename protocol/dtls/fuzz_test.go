package dtls

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"testing"
	"time"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/seed"
)

// seedMessages adds the bodies of all handshake messages of the vectors and of
// two recordings that f wants.
func seedMessages(f *testing.F, want handshakeType) {
	add := func(datagram []byte) {
		for _, m := range fragments(datagram) {
			if m.typ == want && m.whole() {
				f.Add(bytes.Clone(m.body))
			}
		}
	}
	for _, file := range fixtures.Vectors("standard") {
		for _, d := range file.Datagrams {
			add(d.Data)
		}
	}
	for _, name := range []string{"v1.4.4-udp-hs-cookie255", "v6.2.0-udp-hs-sessionid"} {
		for _, item := range fixtures.ByName(name).Wire()[:6] {
			add(item.Data)
		}
	}
}

// identity checks that an accepted message is encoded as it came.
func identity(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: parsed %x, encoded %x", what, want, got)
	}
}

func FuzzClientHello(f *testing.F) {
	seedMessages(f, typeClientHello)
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, ok := parseClientHello(b); ok {
			identity(t, "ClientHello", h.append(nil), b)
		}
	})
}

func FuzzServerHello(f *testing.F) {
	seedMessages(f, typeServerHello)
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, ok := parseServerHello(b); ok {
			identity(t, "ServerHello", h.append(nil), b)
		}
	})
}

func FuzzHelloVerifyRequest(f *testing.F) {
	seedMessages(f, typeHelloVerifyRequest)
	f.Fuzz(func(t *testing.T, b []byte) {
		if cookie, ok := parseHelloVerifyRequest(b); ok {
			identity(t, "HelloVerifyRequest", appendHelloVerifyRequest(nil, uint16(b[0])<<8|uint16(b[1]), cookie), b)
		}
	})
}

func FuzzServerKeyExchange(f *testing.F) {
	seedMessages(f, typeServerKeyExchange)
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, ok := parseServerKeyExchange(b); ok && k.algorithm == signatureECDSA {
			identity(t, "ServerKeyExchange", appendSignature(appendParams(nil, k.point), k.hash, k.signature), b)
		}
	})
}

func FuzzCertificate(f *testing.F) {
	seedMessages(f, typeCertificate)
	f.Fuzz(func(t *testing.T, b []byte) {
		if spki, ok := parseRawKey(b); ok {
			identity(t, "raw key", appendRawKey(nil, spki), b)
			if key, ok := ParseSPKI(spki); ok {
				identity(t, "SPKI", SPKI(key), spki)
			}
		}
		if chain, ok := parseChain(b); ok {
			identity(t, "chain", appendChain(nil, chain), b)
			for _, cert := range chain {
				certificateSPKI(cert)
			}
		}
		if spki, ok := certificateSPKI(b); ok && !bytes.Contains(b, spki) {
			t.Error("the key is not in the certificate")
		}
	})
}

func FuzzCertificateVerify(f *testing.F) {
	seedMessages(f, typeCertificateVerify)
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, ok := parseCertificateVerify(b); ok && v.algorithm == signatureECDSA {
			identity(t, "CertificateVerify", appendSignature(nil, v.hash, v.signature), b)
			ecdsa.VerifyASN1(&testCloudKey.PublicKey, make([]byte, 32), v.signature)
		}
	})
}

func FuzzSmallMessages(f *testing.F) {
	seedMessages(f, typeCertificateRequest)
	seedMessages(f, typeClientKeyExchange)
	f.Fuzz(func(t *testing.T, b []byte) {
		parseCertificateRequest(b)
		parseAlert(b)
		if point, ok := parseClientKeyExchange(b); ok {
			identity(t, "ClientKeyExchange", appendClientKeyExchange(nil, point), b)
		}
		if typ, content, ok := splitInner(b); ok {
			again := appendInner(nil, typ, content, true)
			if typ2, content2, ok := splitInner(again); !ok || typ2 != typ || !bytes.Equal(content2, content) {
				t.Error("inner plaintext changed")
			}
		}
	})
}

// What a header says must be what splitting finds, and records join to the
// datagram again.
func FuzzDatagram(f *testing.F) {
	for _, item := range fixtures.ByName("v2.3.0-udp-resume").Wire() {
		f.Add(item.Data)
	}
	for _, item := range fixtures.ByName("v6.2.0-udp-resume").Wire() {
		f.Add(item.Data)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := PeekHeader(b)
		PeekProtected(b)
		IsProbe(b)
		raws, rest, _ := SplitRecords(b, CIDSize)
		identity(t, "datagram", append(bytes.Join(raws, nil), rest...), b)
		if err == nil && len(raws) > 0 && h.Type != TypeMovedTrailer && h.Size != len(raws[0]) {
			t.Errorf("size %d, record of %d", h.Size, len(raws[0]))
		}
		for _, raw := range raws {
			r, _, why := splitRecord(raw, CIDSize)
			for body := r.body; why == DropNone && len(body) > 0; {
				var fr fragment
				before := body
				if fr, body, why = splitFragment(body); why == DropNone {
					identity(t, "fragment", append(appendFragment(nil, &fr), body...), before)
				}
			}
		}
	})
}

func FuzzState(f *testing.F) {
	device, cloud := pair(GenF)
	for _, s := range []*Session{device, cloud} {
		st := s.Export()
		f.Add(st.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if st, err := ParseState(b); err == nil {
			identity(t, "State", st.Append(nil), b)
			s := Import(st)
			if _, err := s.Seal(nil, TypeApplication, nil); err != nil && !errors.Is(err, ErrSequence) && !errors.Is(err, ErrReservation) {
				t.Error(err)
			}
		}
	})
}

// Fragments in any order must give the message or nothing, in bounded memory.
func FuzzReassembly(f *testing.F) {
	f.Add([]byte{3, 0, 0, 3, 0, 0, 1, 1, 1, 2, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		const size = 100
		whole := make([]byte, size)
		draw(seed.Bytes(1, "message"), whole)
		r := reassembly{max: size}
		var got uint16
		for ; len(b) >= 3; b = b[3:] {
			seq, from := uint16(b[0]%10), int(b[1])%size
			to := min(from+1+int(b[2]%50), size)
			part := fragment{typ: typeCertificate, length: size, seq: seq, offset: from, body: whole[from:to]}
			r.add(0, &part)
			if r.held > 2*r.max {
				t.Fatalf("%d bytes held", r.held)
			}
			for {
				m, ok := r.take()
				if !ok {
					break
				}
				if m.seq != got || !bytes.Equal(m.body, whole) {
					t.Fatalf("message %d, want %d: %x", m.seq, got, m.body)
				}
				got++
			}
		}
	})
}

// pieces cuts fuzzer input into datagrams, each behind its length, with some
// time between them.
func pieces(b []byte, yield func(after time.Duration, datagram []byte) bool) {
	for len(b) >= 3 {
		n := min(int(b[0])<<8|int(b[1]), len(b)-3)
		if !yield(time.Duration(b[2])*100*time.Millisecond, bytes.Clone(b[3:3+n])) {
			return
		}
		b = b[3+n:]
	}
}

func join(datagrams ...[]byte) (b []byte) {
	for _, d := range datagrams {
		b = append(append(b, byte(len(d)>>8), byte(len(d)), 1), d...)
	}
	return b
}

// oneEnd checks what a machine may say: at most one end, and nothing after it.
func oneEnd(t *testing.T, over bool, out *Out, ended *int) {
	for _, e := range out.Events {
		if e.Kind == EventEstablished || e.Kind == EventFailed {
			*ended++
		}
	}
	if *ended > 1 || over != (*ended == 1) {
		t.Fatalf("over %v after %d ends", over, *ended)
	}
}

// fuzzMachine feeds b to a machine in virtual time. Its answers are bounded by a
// few flights for each datagram.
func fuzzMachine(t *testing.T, m machine, b []byte) {
	now, ended := clock.Instant(0), 0
	var out Out
	pieces(b, func(after time.Duration, datagram []byte) bool {
		now = now.Add(after)
		out.Reset()
		for m.Deadline() <= now {
			m.Advance(now, &out)
			oneEnd(t, m.Over(), &out, &ended)
			out.Reset()
		}
		m.Receive(now, datagram, &out)
		oneEnd(t, m.Over(), &out, &ended)
		if len(out.Datagrams) > 20 {
			t.Fatalf("%d datagrams in answer to one", len(out.Datagrams))
		}
		return true
	})
	for i := 0; m.Deadline() != clock.Never; i++ {
		out.Reset()
		m.Advance(m.Deadline(), &out)
		oneEnd(t, m.Over(), &out, &ended)
		if i > 100 {
			t.Fatal("never ends")
		}
	}
}

// seedAttempt adds the datagrams of one side of recorded handshakes.
func seedAttempt(f *testing.F, op byte) {
	for _, name := range []string{"v1.4.4-udp-hs-mtu200", "v3.1.0-udp-hs-mtu60-reversed", "v6.2.0-udp-session", "v2.3.0-udp-hs-no-ext19", "v6.2.0-udp-hs-cid9"} {
		var all [][]byte
		for _, item := range fixtures.ByName(name).Wire()[:7] {
			if item.Op == op {
				all = append(all, item.Data)
			}
		}
		f.Add(join(all...), byte(len(name)))
	}
}

func FuzzServer(f *testing.F) {
	seedAttempt(f, fixtures.OpUp)
	d := newDuel(f, testClient(1, GenE), testServer(1)).run()
	f.Add(join(d.sent[2], d.sent[4]), byte(0)) // completes: same randomness below
	f.Fuzz(func(t *testing.T, b []byte, profile byte) {
		cfg := testServer(1)
		cfg.Profile = Profile(profile % 2)
		gate := NewGate(seed.Bytes(1, "gate"), 0, GateFaults{})
		var out Out
		pieces(b, func(_ time.Duration, datagram []byte) bool {
			gate.Receive(0, nil, datagram, &out)
			return true
		})
		fuzzMachine(t, NewServer(cfg), b)
	})
}

func FuzzClient(f *testing.F) {
	seedAttempt(f, fixtures.OpDown)
	d := newDuel(f, testClient(1, GenF), testServer(1)).run()
	f.Add(join(d.sent[1], d.sent[3], d.sent[5]), byte(GenF)) // completes
	f.Fuzz(func(t *testing.T, b []byte, gen byte) {
		cfg := testClient(1, Generation(gen%7))
		if gen >= 128 {
			cfg.Profile = Standard
			cfg.CID = b[:min(len(b), MaxCIDSize)]
		}
		c := NewClient(cfg)
		var out Out
		c.Start(0, &out)
		fuzzMachine(t, c, b)
	})
}

func FuzzSession(f *testing.F) {
	for _, gen := range []Generation{GenA, GenF} {
		device, cloud := pair(gen)
		f.Add(seal(f, cloud, TypeApplication, []byte("down")), byte(gen))
		device.Move()
		f.Add(seal(f, device, TypeApplication, []byte("up")), byte(gen))
	}
	f.Add(StaleSession(), byte(GenB))
	f.Fuzz(func(t *testing.T, b []byte, gen byte) {
		g := 1 + Generation(gen)%6
		device, cloud := pair(g)
		var out Out
		cloud.Receive(bytes.Clone(b), &out)
		device.Receive(bytes.Clone(b), &out)
		if cloud.Over() && !cloudMayEnd(b, g) {
			t.Errorf("the cloud's session ended by %x", b)
		}
		if len(out.Datagrams) > 4 {
			t.Errorf("%d datagrams in answer to %x", len(out.Datagrams), b)
		}
		cloud.Open(bytes.Clone(b))
		device.Open(bytes.Clone(b))
	})
}

// cloudMayEnd reports whether b could hold an authentic alert: the fuzzer knows
// no keys, but may repeat what was sealed with them.
func cloudMayEnd(b []byte, g Generation) bool {
	_, cloud := pair(g)
	var out Out
	return cloud.Receive(bytes.Clone(b), &out).Authentic
}
