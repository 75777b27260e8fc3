package lightssl

import (
	"bytes"
	"crypto/rsa"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/muster/muster/fixtures"
)

// A recordedConn is one TCP connection of a capture.
type recordedConn struct {
	secrets fixtures.Conn
	units   []fixtures.Item // nonce, C1, C2|S, then frames
}

// recordedConns cuts a capture where a connection opens.
func recordedConns(t *testing.T, c *fixtures.Capture) []recordedConn {
	t.Helper()
	var conns []recordedConn
	for _, item := range c.Items {
		switch {
		case item.Op == fixtures.OpNote && strings.Contains(item.Text, "TCP connection") && strings.HasSuffix(item.Text, "opened"):
			conns = append(conns, recordedConn{secrets: c.Conns[len(conns)]})
		case item.Op != fixtures.OpNote:
			last := &conns[len(conns)-1]
			last.units = append(last.units, item)
		}
	}
	if len(conns) != len(c.Conns) {
		t.Fatalf("%d connections in the body, %d in the header", len(conns), len(c.Conns))
	}
	return conns
}

// rawBlock applies the private key to c without looking at the padding.
func rawBlock(key *rsa.PrivateKey, c []byte) []byte {
	m := new(big.Int).Exp(new(big.Int).SetBytes(c), key.D, key.N)
	return m.FillBytes(make([]byte, key.Size()))
}

// eachConn runs a test for each recorded TCP connection that got as far as C1.
func eachConn(t *testing.T, test func(t *testing.T, c *fixtures.Capture, conn recordedConn)) {
	t.Helper()
	n := 0
	for _, c := range fixtures.Captures() {
		if c.Transport != "tcp" {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			for _, conn := range recordedConns(t, c) {
				n++
				test(t, c, conn)
			}
		})
	}
	if n < 20 {
		t.Errorf("%d recorded connections, want at least 20", n)
	}
}

// TestRecordedCloud is given what the recorded cloud drew at random and what the
// device sent, and must send what the cloud sent, to the last frame.
func TestRecordedCloud(t *testing.T) {
	eachConn(t, func(t *testing.T, c *fixtures.Capture, conn recordedConn) {
		padding := rawBlock(pkcs1(t, c.DeviceKey), conn.units[2].Data[:C2Size])[2:87]
		h := newHandshakeTest(t)
		random := script(conn.secrets.Nonce, conn.secrets.Credentials, padding)
		h.cloud.Key, h.cloud.Rand = pkcs1(t, c.ServerKey), random
		h.cloud.Lookup = func(id DeviceID) []byte {
			if bytes.Equal(id[:], c.DeviceID) {
				return c.DeviceSPKI
			}
			return nil
		}
		h.start()
		var session *Session
		for _, unit := range conn.units {
			switch {
			case unit.Op == fixtures.OpUp && session == nil:
				h.send(unit.Data, true)
				if len(h.events.cloud) > 0 {
					e := h.wantCloud(nil)
					session = e.Session
					wantMessages(t, session, e.Rest, unit)
				}
			case unit.Op == fixtures.OpUp:
				wantMessages(t, session, unit.Data, unit)
			case session == nil:
				if !bytes.HasPrefix(h.toDevice, unit.Data) {
					t.Fatalf("at %v the cloud sent %x, recorded %x", unit.At, h.toDevice, unit.Data)
				}
				h.toDevice = h.toDevice[len(unit.Data):]
			default:
				wantFrame(t, session, unit)
			}
		}
		if random.Len() > 0 || len(h.toDevice) > 0 || session == nil {
			t.Errorf("%d random bytes left, %d bytes too many sent, session %v", random.Len(), len(h.toDevice), session != nil)
		}
	})
}

// TestRecordedDevice is given what the recorded device drew at random and what
// the cloud sent, and must send what the device sent.
func TestRecordedDevice(t *testing.T) {
	eachConn(t, func(t *testing.T, c *fixtures.Capture, conn recordedConn) {
		padding := rawBlock(pkcs1(t, c.ServerKey), conn.units[1].Data)[2:41]
		h := newHandshakeTest(t)
		serverKey, err := ParseCloudSPKI(c.ServerSPKI)
		if err != nil {
			t.Fatal(err)
		}
		h.device = ClientConfig{
			ID: DeviceID(c.DeviceID), Key: pkcs1(t, c.DeviceKey), ServerKey: serverKey, Rand: script(padding),
			FrameLimit: limitOf(c.DeviceOS),
		}
		h.start()
		var session *Session
		ids := 0
		for _, unit := range conn.units {
			switch {
			case unit.Op == fixtures.OpDown && session == nil:
				h.send(unit.Data, false)
				if len(h.events.device) > 0 {
					session = h.wantDevice(nil).Session
				}
			case unit.Op == fixtures.OpDown:
				wantMessages(t, session, unit.Data, unit)
			case session == nil:
				if !bytes.Equal(h.toCloud, unit.Data) {
					t.Fatalf("C1 is %x, recorded %x", h.toCloud, unit.Data)
				}
			default:
				wantFrame(t, session, unit)
				// the first message has the first id.
				if m := unit.Plaintexts()[0]; ids == 0 && uint16(m[2])<<8|uint16(m[3]) != session.FirstID() {
					t.Errorf("first message %x, want id %04x", m, session.FirstID())
				}
				ids++
			}
		}
		if session == nil || ids == 0 {
			t.Error("no session, or nothing from the device")
		}
	})
}

func limitOf(release string) int {
	switch release[0] {
	case '1', '2':
		return LimitDevice
	case '3':
		return LimitDevice3_0
	default:
		return LimitDevice5_8
	}
}

func wantMessages(t *testing.T, s *Session, stream []byte, unit fixtures.Item) {
	t.Helper()
	if got := messages(t, s, stream); !slices.EqualFunc(got, unit.Plaintexts(), bytes.Equal) || len(got) != 1 {
		t.Fatalf("at %v: opened as %x, recorded %x", unit.At, got, unit.Plaintexts())
	}
}

func wantFrame(t *testing.T, s *Session, unit fixtures.Item) {
	t.Helper()
	plaintext := unit.Plaintexts()[0]
	got := s.Seal(nil, plaintext)
	if !bytes.Equal(got, unit.Data) {
		t.Fatalf("at %v: sealed as %x, recorded %x", unit.At, got, unit.Data)
	}
	if len(got) != FrameSize(len(plaintext)) {
		t.Errorf("at %v: %d bytes, FrameSize says %d", unit.At, len(got), FrameSize(len(plaintext)))
	}
}
