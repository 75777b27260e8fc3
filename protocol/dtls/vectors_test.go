package dtls

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/muster/muster/protocol/seed"
)

// vectorServer is the cloud of Appendix B, whose ServerHello has another order
// of extensions than ours.
func vectorServer(t *testing.T, extensions []uint16, rand ...[]byte) *ServerConfig {
	return &ServerConfig{
		Key:    rawKey(t, vector("1-keys", "cloud-private")),
		Rand:   script(t, rand...),
		Verify: func(spki []byte) error { wantBytes(t, "device key", spki, vector("1-keys", "device-spki")); return nil },
		Faults: ServerFaults{Extensions: extensions, Packing: PackSingle},
	}
}

func vectorClient(t *testing.T, gen Generation) *ClientConfig {
	return &ClientConfig{
		Gen: gen, Key: rawKey(t, vector("1-keys", "device-private")),
		ServerKey: &rawKey(t, vector("1-keys", "cloud-private")).PublicKey,
		Rand:      script(t, vector("1-keys", "client-random")),
		DeviceID:  [DeviceIDSize]byte(vector("1-keys", "device-id")),
	}
}

// clientHellos checks that a Client sends the two ClientHellos of a vector file.
func clientHellos(t *testing.T, gen Generation, file string) {
	t.Helper()
	var out Out
	c := NewClient(vectorClient(t, gen))
	c.Start(0, &out)
	wantDatagrams(t, "ClientHello", out.Datagrams, [][]byte{vector(file, "client-hello-1")})
	out.Reset()
	c.Receive(0, bytes.Clone(vector("2-handshake", "hello-verify-request")), &out)
	wantDatagrams(t, "ClientHello with cookie", out.Datagrams, [][]byte{vector(file, "client-hello-2")})
}

// B.2: every byte of the cloud, and the ClientHellos of the device.
func TestVectorHandshakeWithCID(t *testing.T) {
	const file = "2-handshake"
	clientHellos(t, GenF, file)

	var out Out
	g := NewGate(seed.Bytes(1, "gate"), 0, GateFaults{Cookie: vector(file, "hello-verify-request")[28:]})
	if v := g.Receive(0, nil, vector(file, "client-hello-1"), &out); v != Challenged {
		t.Fatalf("verdict %d, want Challenged", v)
	}
	wantDatagrams(t, "HelloVerifyRequest", out.Datagrams, [][]byte{vector(file, "hello-verify-request")})

	out.Reset()
	s := NewServer(vectorServer(t, []uint16{0xff01, 11, 254, 19, 20},
		vector("1-keys", "server-random"), vector("1-keys", "cid"), vector("1-keys", "cloud-ephemeral-private")))
	s.Receive(0, bytes.Clone(vector(file, "client-hello-2")), &out)
	wantDatagrams(t, "server flight", out.Datagrams, [][]byte{
		vector(file, "server-hello"), vector(file, "server-key-exchange"), vector(file, "certificate-request"), vector(file, "server-hello-done"),
	})

	out.Reset()
	s.tx.packing = PackFull
	s.Receive(0, bytes.Clone(vector(file, "client-flight")), &out)
	wantDatagrams(t, "last flight", out.Datagrams, [][]byte{vector(file, "server-finished")})
	session := event(t, &out, EventEstablished).Session
	keys := session.Secrets()
	wantBytes(t, "client key", keys.ClientKey[:], vector("1-keys", "client-write-key"))
	wantBytes(t, "server key", keys.ServerKey[:], vector("1-keys", "server-write-key"))
	wantBytes(t, "client salt", keys.ClientSalt[:], vector("1-keys", "client-iv"))
	wantBytes(t, "server salt", keys.ServerSalt[:], vector("1-keys", "server-iv"))
	vectorRecords(t, session)
}

// vectorRecords is B.3: both sides of the session of B.2, byte for byte.
func vectorRecords(t *testing.T, cloud *Session) {
	const file = "3-records"
	keys := cloud.Secrets()
	device := Import(State{
		Gen: GenF, ReadKey: keys.ServerKey, WriteKey: keys.ClientKey, ReadSalt: keys.ServerSalt, WriteSalt: keys.ClientSalt,
		WriteCID: keys.ClientCID, SendNext: 1,
	})
	exchange := func(request, answer []byte, ping, ack string) {
		t.Helper()
		var out Out
		datagram, err := device.Seal(nil, TypeApplication, request)
		if err != nil {
			t.Fatal(err)
		}
		wantBytes(t, ping, datagram, vector(file, ping))
		if n := device.Size(len(request)); n != len(datagram) {
			t.Errorf("%s: Size says %d, the datagram has %d", ping, n, len(datagram))
		}
		if a := cloud.Receive(datagram, &out); !a.Authentic || !a.Newest {
			t.Errorf("%s: %+v, %s", ping, a, describe(&out))
		}
		wantBytes(t, ping, event(t, &out, EventApplication).Data, request)
		out.Reset()
		if datagram, err = cloud.Seal(nil, TypeApplication, answer); err != nil {
			t.Fatal(err)
		}
		wantBytes(t, ack, datagram, vector(file, ack))
		device.Receive(datagram, &out)
		wantBytes(t, ack, event(t, &out, EventApplication).Data, answer)
	}
	exchange(vector(file, "ping-inner")[:4], vector(file, "ack-plaintext"), "ping-datagram", "ack-datagram")
	device.Move()
	exchange(vector(file, "resumed-ping-inner")[:4], vector(file, "resumed-ack-plaintext"), "resumed-ping-datagram", "resumed-ack-datagram")
	if device.Moving() {
		t.Error("still moving after an application record")
	}

	closing, err := cloud.Close(nil)
	if err != nil {
		t.Fatal(err)
	}
	wantBytes(t, "close_notify of the cloud", closing, vector(file, "cloud-close-datagram"))
	deviceClosing, err := device.SealAlert(nil, AlertWarning, CloseNotify)
	if err != nil {
		t.Fatal(err)
	}
	wantBytes(t, "close_notify of the device", deviceClosing, vector(file, "device-close-datagram"))
	var out Out
	device.Receive(closing, &out)
	if e := event(t, &out, EventClosed); !device.Over() || e.Err.Error() != "dtls: peer alert close_notify (0)" {
		t.Errorf("closed by %v", e.Err)
	}
	cloud.over = false
	out.Reset()
	cloud.Receive(deviceClosing, &out)
	event(t, &out, EventClosed)
}

// B.4: the same plaintext with the additional data of RFC 9146.
func TestVectorAAD(t *testing.T) {
	var key [keySize]byte
	copy(key[:], vector("1-keys", "client-write-key"))
	for _, test := range []struct {
		name string
		aad  []byte
		set  func(*ccm)
		tag  []byte
	}{
		{"profile", vector("4-aad", "profile-aad"), func(c *ccm) {
			c.setAADDraft(TypeCID, version12, epochOne|1, vector("1-keys", "cid"), 16)
		}, vector("4-aad", "profile-tag")},
		{"rfc9146", vector("4-aad", "rfc9146-aad"), func(c *ccm) {
			c.setAADRFC9146(version12, epochOne|1, vector("1-keys", "cid"), 16)
		}, vector("4-aad", "rfc9146-tag")},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &ccm{block: expand(&key)}
			copy(c.nonce[:], vector("3-records", "ping-nonce"))
			test.set(c)
			wantBytes(t, "additional data", c.aad[:c.aadSize], test.aad)
			inner := appendInner(nil, TypeApplication, []byte{0x40, 0, 0, 1}, true)
			wantBytes(t, "inner plaintext", inner, vector("4-aad", "inner"))
			wantBytes(t, "sealed", c.seal(inner, 0), append(bytes.Clone(vector("4-aad", "profile-ciphertext")), test.tag...))
		})
	}
}

// a record with the additional data of RFC 9146 is not authentic.
func TestVectorRejectsRFC9146(t *testing.T) {
	datagram := bytes.Clone(vector("3-records", "ping-datagram"))
	copy(datagram[len(datagram)-tagSize:], vector("4-aad", "rfc9146-tag"))
	keys := vectorKeys(vector("1-keys", "cid"))
	if _, _, err := NewOpener(DeviceOS, keys).Open(true, datagram); !errors.Is(err, drop(DropTag)) {
		t.Errorf("DeviceOS: %v, want a wrong tag", err)
	}
	if typ, plaintext, err := NewOpener(Standard, keys).Open(true, datagram); err != nil || typ != TypeApplication || len(plaintext) != 4 {
		t.Errorf("Standard: %v, %x, %v", typ, plaintext, err)
	}
}

func vectorKeys(cid []byte) Keys {
	var block [keyBlockSize]byte
	b := append(bytes.Clone(vector("1-keys", "client-write-key")), vector("1-keys", "server-write-key")...)
	b = append(append(b, vector("1-keys", "client-iv")...), vector("1-keys", "server-iv")...)
	copy(block[:], b)
	return KeysFromBlock(&block, cid, nil)
}

// The secrets of B.1.
func TestVectorSecrets(t *testing.T) {
	var client, server [randomSize]byte
	copy(client[:], vector("1-keys", "client-random"))
	copy(server[:], vector("1-keys", "server-random"))
	m := master(vector("1-keys", "premaster"), &client, &server, nil)
	wantBytes(t, "master secret", m[:], vector("1-keys", "master"))
	block := newPRF(m[:]).keyBlock(&client, &server)
	want := vectorKeys(nil)
	wantBytes(t, "key block", block[:], want.Block())
	own := ephemeral(script(t, vector("1-keys", "cloud-ephemeral-private")))
	secret, ok := premaster(own, vector("5-no-cid", "client-key-exchange")[26:])
	if !ok {
		t.Fatal("point refused")
	}
	wantBytes(t, "premaster", secret, vector("1-keys", "premaster"))
	wantBytes(t, "SPKI", SPKI(&rawKey(t, vector("1-keys", "device-private")).PublicKey), vector("1-keys", "device-spki"))
}

// B.5: no connection id, a flight of five datagrams, the trailer of a moved
// session.
func TestVectorHandshakeWithoutCID(t *testing.T) {
	const file = "5-no-cid"
	clientHellos(t, GenC, file)

	var out Out
	s := NewServer(vectorServer(t, nil, vector("1-keys", "server-random"), vector("1-keys", "cloud-ephemeral-private")))
	s.Receive(0, bytes.Clone(vector(file, "client-hello-2")), &out)
	wantDatagrams(t, "server flight", out.Datagrams, [][]byte{
		vector(file, "server-hello"), vector("2-handshake", "server-key-exchange"), vector("2-handshake", "certificate-request"), vector("2-handshake", "server-hello-done"),
	})
	out.Reset()
	s.tx.packing = PackFull
	for _, name := range []string{"certificate", "client-key-exchange", "certificate-verify", "change-cipher-spec", "client-finished"} {
		s.Receive(0, bytes.Clone(vector(file, name)), &out)
	}
	wantDatagrams(t, "last flight", out.Datagrams, [][]byte{vector(file, "server-finished")})
	cloud := event(t, &out, EventEstablished).Session
	cloud.SetDeviceID([DeviceIDSize]byte(vector("1-keys", "device-id")))

	keys := cloud.Secrets()
	device := Import(State{
		Gen: GenC, DeviceID: [DeviceIDSize]byte(vector("1-keys", "device-id")),
		ReadKey: keys.ServerKey, WriteKey: keys.ClientKey, ReadSalt: keys.ServerSalt, WriteSalt: keys.ClientSalt, SendNext: 1,
	})
	for _, name := range []string{"", "moved-"} {
		out.Reset()
		datagram, err := device.Seal(nil, TypeApplication, vector(file, name+"ping-plaintext"))
		if err != nil {
			t.Fatal(err)
		}
		wantBytes(t, name+"ping", datagram, vector(file, name+"ping-datagram"))
		cloud.Receive(datagram, &out)
		wantBytes(t, name+"ping", event(t, &out, EventApplication).Data, vector(file, name+"ping-plaintext"))
		if datagram, err = cloud.Seal(nil, TypeApplication, vector(file, name+"ack-plaintext")); err != nil {
			t.Fatal(err)
		}
		wantBytes(t, name+"ack", datagram, vector(file, name+"ack-datagram"))
		device.Move()
	}
}

// The client's flight of B.5, which is deterministic but for its ECDHE key: the
// proof over the recorded messages is the recorded one.
func TestVectorCertificateVerify(t *testing.T) {
	transcript := sha256.New()
	for _, datagram := range [][]byte{
		vector("5-no-cid", "client-hello-2"), vector("5-no-cid", "server-hello"), vector("2-handshake", "server-key-exchange"),
		vector("2-handshake", "certificate-request"), vector("2-handshake", "server-hello-done"),
		vector("5-no-cid", "certificate"), vector("5-no-cid", "client-key-exchange"),
	} {
		transcript.Write(datagram[headerSize:])
	}
	c := NewClient(vectorClient(t, GenC))
	c.transcript = transcript
	wantBytes(t, "CertificateVerify", c.certificateVerify(), vector("5-no-cid", "certificate-verify")[headerSize+fragmentHeaderSize:])
	body, proof := func() ([]byte, bool) { c.clientType = typeRawKey; return c.certificate() }()
	wantBytes(t, "Certificate", body, vector("5-no-cid", "certificate")[headerSize+fragmentHeaderSize:])
	if !proof {
		t.Error("no proof of the key")
	}
	c.prf = newPRF(vector("1-keys", "master"))
	transcript.Write(vector("5-no-cid", "certificate-verify")[headerSize:])
	verify := c.prf.verifyData(labelClient, c.sum())
	wantBytes(t, "verify_data", verify[:], vector("5-no-cid", "client-verify-data"))
}
