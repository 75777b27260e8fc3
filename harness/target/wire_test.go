package target

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/harness/capture"
	"github.com/muster/muster/harness/evidence"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/transport"
)

// TestLookingDoesNotHurry looks at devices between the sighting of an answer and
// that of its question, which a goroutine tells late. What the device says later is
// decoded only if the two keep their order.
func TestLookingDoesNotHurry(t *testing.T) {
	c := fixtures.ByName("v1.4.4-tcp-session")
	key := func(der []byte) *rsa.PrivateKey {
		k, err := x509.ParsePKCS1PrivateKey(bytes.TrimRight(der, "\x00"))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	cloud, device := netip.MustParseAddrPort("127.0.0.1:5683"), netip.MustParseAddrPort("127.1.0.1:40000")
	var order []string
	w := newWire(key(c.ServerKey), capture.AtDevice, reorder, func(p *trace.Packet) { order = append(order, p.Records[0].Unit.String()) }, (*evidence.Collector)(nil))
	w.cloud(cloud)
	w.decoder.AddDevice(trace.DeviceID(c.DeviceID), c.DeviceSPKI, key(c.DeviceKey))
	at := clock.Instant(time.Second)
	now := func() clock.Instant { return at }
	wire := c.Wire()
	sight := func(n int, after time.Duration) {
		w.decoder.Sight(transport.Sighting{
			At: clock.Instant(time.Second + after), Kind: transport.StreamChunk, Stream: 1, Sent: wire[n].Op == fixtures.OpUp,
			Packet: transport.Packet{Local: device, Peer: cloud, Data: wire[n].Data},
		})
	}
	sight(0, 0)                  // the nonce
	sight(2, 2*time.Millisecond) // the answer, told before
	w.of(now, trace.DeviceID{9}, "127.9.9.9", 0)
	w.of(now, trace.DeviceID(c.DeviceID), device.Addr().String(), 0)
	sight(1, time.Millisecond)   // C1, told late
	sight(3, 3*time.Millisecond) // the Hello
	at = at.Add(time.Second)     // long enough for all of them
	packets := w.of(now, trace.DeviceID(c.DeviceID), device.Addr().String(), 0)
	if got := strings.Join(order, " "); got != "nonce C1 C2|S frame" {
		t.Errorf("decoded in the order %s", got)
	}
	if n := len(packets); n == 0 || len(packets[n-1].Messages()) != 1 {
		t.Errorf("%d packets: %v", n, packets)
	}
}
