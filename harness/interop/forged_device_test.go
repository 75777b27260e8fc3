package interop

import (
	"bytes"
	"crypto/rand"
	"errors"
	"slices"
	"testing"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/protocol/dtls"
)

// Package gen knows the Device OS dialect, but shares nothing with package
// dtls: the peer that no program can be. It is right in all but one thing.

func scalarOf(id *identity) []byte {
	b, err := id.key.Bytes()
	if err != nil {
		panic(err)
	}
	return b
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// genDevice is a device with the key of theirs.
func genDevice(generation byte) *gen.Device {
	return &gen.Device{
		Generation: generation, Scalar: scalarOf(theirs), Ephemeral: scalarOf(another),
		Session: gen.Session{ClientRandom: randomBytes(32)},
	}
}

// A serverRun is our server in the Device OS dialect, in memory.
type serverRun struct {
	gate   *dtls.Gate
	server *dtls.Server
	out    dtls.Out
}

func newServerRun() *serverRun {
	return &serverRun{
		gate: dtls.NewGate(rand.Reader, 0, dtls.GateFaults{}),
		server: dtls.NewServer(&dtls.ServerConfig{
			Key: ours.key, Rand: rand.Reader, Verify: only(theirs),
		}),
	}
}

// give hands datagrams to the server and returns what it sends.
func (r *serverRun) give(datagrams ...[]byte) (sent [][]byte) {
	r.out.Reset()
	for _, d := range datagrams {
		r.server.Receive(0, bytes.Clone(d), &r.out)
	}
	for _, d := range r.out.Datagrams {
		sent = append(sent, bytes.Clone(d))
	}
	return sent
}

// outcome returns the session or the error that the last datagrams led to.
func (r *serverRun) outcome() (session *dtls.Session, err error) {
	for _, e := range r.out.Events {
		switch e.Kind {
		case dtls.EventEstablished:
			session = e.Session
		case dtls.EventFailed:
			err = e.Err
		default:
			// Dropped bytes, or data behind the Finished.
		}
	}
	return session, err
}

// open makes device and server exchange everything up to the server's flight.
func (r *serverRun) open(t *testing.T, device *gen.Device) {
	t.Helper()
	peer := []byte("peer")
	if v := r.gate.Receive(0, peer, device.SendHello(nil).Bytes(), &r.out); v != dtls.Challenged {
		t.Fatalf("verdict %v on the first hello", v)
	}
	cookie := gen.Cookie(r.out.Datagrams[0])
	r.out.Reset()
	hello := device.SendHello(bytes.Clone(cookie)).Bytes()
	if v := r.gate.Receive(0, peer, hello, &r.out); v != dtls.Admitted {
		t.Fatalf("verdict %v on the hello with the cookie", v)
	}
	device.ReadFlight(r.give(hello)...)
}

func TestForgedDevice(t *testing.T) {
	other := gen.SPKI(scalarOf(another))
	for name, c := range map[string]struct {
		forge func(*gen.Device)
		want  dtls.AlertDescription // of our alert; 0: established
	}{
		"R-24 right":                          {func(*gen.Device) {}, 0},
		"R-38 other order, unknown extension": {func(d *gen.Device) { d.Hello = reordered(d) }, 0},
		"R-30 signature with a flipped bit": {func(d *gen.Device) {
			d.CertificateVerify = gen.CertificateVerify(gen.ECDSASHA256, gen.Sign(scalarOf(theirs), []byte("something else")))
		}, dtls.DecryptError},
		"R-30 signature by SHA-1": {func(d *gen.Device) {
			d.CertificateVerify = gen.CertificateVerify(gen.ECDSASHA1, gen.Sign(d.Scalar, nil))
		}, dtls.IllegalParameter},
		"R-30 key without its proof":    {func(d *gen.Device) { d.Certificate = gen.RawCertificate(other) }, dtls.DecryptError},
		"R-31 empty X.509 list":         {func(d *gen.Device) { d.Certificate = gen.EmptyX509Certificate() }, dtls.HandshakeFailure},
		"R-31 empty key":                {func(d *gen.Device) { d.Certificate = gen.RawCertificate(nil) }, dtls.HandshakeFailure},
		"R-31 neither key nor proof":    {func(d *gen.Device) { d.NoCertificate = true }, dtls.UnexpectedMessage},
		"R-32 unknown key":              {func(d *gen.Device) { d.Scalar = scalarOf(another) }, dtls.AccessDenied},
		"R-33 Finished of zeros":        {func(d *gen.Device) { d.VerifyData = make([]byte, 12) }, dtls.DecryptError},
		"R-33 Finished without content": {func(d *gen.Device) { d.VerifyData = []byte{} }, dtls.DecryptError},
		"point outside the curve": {func(d *gen.Device) {
			d.ClientKeyExchange = gen.ClientKeyExchange(gen.Flip(gen.Point(d.Ephemeral), -1, 0))
		}, dtls.IllegalParameter},
		"point at infinity": {func(d *gen.Device) { d.ClientKeyExchange = gen.ClientKeyExchange([]byte{0}) }, dtls.DecodeError},
	} {
		t.Run(name, func(t *testing.T) {
			device, r := genDevice('F'), newServerRun()
			c.forge(device)
			r.open(t, device)
			answer := r.give(device.SendFlight()...)
			session, err := r.outcome()
			if c.want != 0 {
				var alert *dtls.AlertError
				if !errors.As(err, &alert) || !alert.Local || alert.Description != c.want || session != nil {
					t.Errorf("session %t, error %v, want alert %v", session != nil, err, c.want)
				}
				return
			}
			if session == nil {
				t.Fatalf("not established: %v", err)
			}
			checkServerFinished(t, device, answer)
			checkBothWays(t, device, session)
		})
	}
}

// reordered is the hello of d with its extensions in reverse, and more.
func reordered(d *gen.Device) *gen.ClientHello {
	h := gen.DeviceHello('F', d.ClientRandom)
	h.Suites = gen.Suites(0x1a1a, 0xc02b, gen.SuiteCCM8)
	h.Extensions = gen.Cat(
		gen.Ext(0x1a1a), gen.Ext(gen.ExtServerCertType, 2, 0, 2), gen.Ext(gen.ExtClientCertType, 2, 3, 2),
		gen.Ext(gen.ExtCIDDeviceOS, 0), gen.Ext(gen.ExtMasterSecret), gen.Ext(gen.ExtPointFormats, 1, 0),
		gen.Ext(gen.ExtGroups, 0, 4, 0, 29, 0, 23), gen.Ext(gen.ExtSignatures, 0, 4, 8, 4, 4, 3), gen.Ext(0xfafa, 7))
	return &h
}

func checkServerFinished(t *testing.T, device *gen.Device, answer [][]byte) {
	t.Helper()
	records, _ := gen.Split(gen.Cat(answer...), 0)
	if len(records) != 2 || records[0].Type != gen.ChangeCipherSpec {
		t.Fatalf("last flight is %x", answer)
	}
	_, content, ok := gen.Open(records[1], device.Keys.ServerKey, device.Keys.ServerSalt, false)
	messages := gen.ParseMessages(content)
	if !ok || len(messages) != 1 || !bytes.Equal(messages[0].Body, device.WantFinished()) {
		t.Errorf("Finished is %x, want %x", content, device.WantFinished())
	}
}

// Every generation is understood, with and without connection id, in one
// datagram and in five, and in fragments that overlap.
func TestDevicesOfAllGenerations(t *testing.T) {
	for _, generation := range []byte("ABCDEFT") {
		t.Run("generation "+string(generation), func(t *testing.T) {
			for name, cut := range map[string]func(flight [][]byte) [][]byte{
				"single":           func(flight [][]byte) [][]byte { return flight },
				"packed":           func(flight [][]byte) [][]byte { return [][]byte{gen.Cat(flight...)} },
				"reversed":         func(flight [][]byte) [][]byte { slices.Reverse(flight); return flight },
				"R-35 overlapping": func(flight [][]byte) [][]byte { return overlapping(flight) },
			} {
				device, r := genDevice(generation), newServerRun()
				r.open(t, device)
				if withCID := generation == 'F' || generation == 'T'; (device.CID != nil) != withCID {
					t.Errorf("connection id %x", device.CID)
				}
				answer := r.give(cut(device.SendFlight())...)
				session, err := r.outcome()
				if session == nil {
					t.Fatalf("%s: not established: %v", name, err)
				}
				checkServerFinished(t, device, answer)
				if device.CID != nil {
					checkBothWays(t, device, session)
				} else {
					checkUpAndDown(t, device, session, device.FromDevice(1, gen.ApplicationData, []byte("up")).Bytes())
				}
			}
		})
	}
}

// overlapping cuts each message of a flight into fragments of 40 bytes, of
// which each repeats the last 10 of the one before, and sends the last first.
func overlapping(flight [][]byte) (datagrams [][]byte) {
	sequence := uint64(10)
	for _, d := range flight {
		records, _ := gen.Split(d, 8)
		if records[0].Type != gen.HandshakeRecord || records[0].Epoch != 0 {
			datagrams = append(datagrams, d)
			continue
		}
		fragments := records[0].Messages()[0].Fragments(40, 10)
		for _, f := range slices.Backward(fragments) {
			datagrams = append(datagrams, gen.Plain(sequence, f).Bytes())
			sequence++
		}
	}
	return datagrams
}

// checkBothWays sends hostile records up, and then good ones both ways.
func checkBothWays(t *testing.T, device *gen.Device, session *dtls.Session) {
	t.Helper()
	up := device.FromDevice(1, gen.ApplicationData, []byte("up"))
	rfc := device.FromDevice(2, gen.ApplicationData, []byte("up"))
	rfc.RFC9146 = true
	zeros := device.FromDevice(3, gen.ApplicationData, nil)
	zeros.Inner = make([]byte, 16)
	var out dtls.Out
	for what, d := range map[string][]byte{"RFC 9146": rfc.Bytes(), "R-55 zeros": zeros.Bytes(), "R-54 tag": gen.Flip(up.Bytes(), -1, 0)} {
		out.Reset()
		session.Receive(d, &out)
		if len(out.Datagrams) != 0 || len(out.Events) != 1 || out.Events[0].Kind != dtls.EventDropped {
			t.Errorf("%s: answered with %x, events %v", what, out.Datagrams, out.Events)
		}
	}
	moved := gen.Moved253(device.FromDevice(4, gen.ApplicationData, []byte("up")).Bytes())
	checkUpAndDown(t, device, session, up.Bytes(), moved)
}

// checkUpAndDown sends records that say "up", and one down.
func checkUpAndDown(t *testing.T, device *gen.Device, session *dtls.Session, up ...[]byte) {
	t.Helper()
	var out dtls.Out
	for _, record := range up {
		out.Reset()
		session.Receive(record, &out)
		if len(out.Events) != 1 || string(out.Events[0].Data) != "up" {
			t.Errorf("record of type %d: events %v", record[0], out.Events)
		}
	}
	down, err := session.Seal(nil, dtls.TypeApplication, []byte("down"))
	if err != nil {
		t.Fatal(err)
	}
	records, _ := gen.Split(down, 0)
	contentType, content, ok := gen.Open(records[0], device.Keys.ServerKey, device.Keys.ServerSalt, false)
	if !ok || contentType != gen.ApplicationData || string(content) != "down" {
		t.Errorf("sent %x, which opens %t as type %d with %q", down, ok, contentType, content)
	}
}
