package capture

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"net/netip"
	"strings"
	"testing"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/transport"
)

var cloudAddress = netip.MustParseAddrPort("192.0.2.1:5684")

// sightings turns a recording into what a tap at the device would have seen. Its
// port changes where the recording says so.
func sightings(c *fixtures.Capture) (all []transport.Sighting, items []fixtures.Item) {
	device := netip.MustParseAddrPort("198.51.100.7:40000")
	stream := transport.StreamID(0)
	for _, item := range c.Items {
		s := transport.Sighting{
			At: clock.Instant(item.At), Kind: transport.DatagramSeen, Sent: item.Op == fixtures.OpUp,
			Packet: transport.Packet{Local: device, Peer: cloudAddress, Data: item.Data},
		}
		switch {
		case c.Transport == "tcp" && item.Op == fixtures.OpNote && strings.HasSuffix(item.Text, "opened"):
			stream++
			device = netip.AddrPortFrom(device.Addr(), device.Port()+1)
			s.Kind, s.Stream, s.Sent, s.Local = transport.StreamOpened, stream, true, device
		case item.Op == fixtures.OpNote:
			if strings.HasPrefix(item.Text, "device source port") {
				device = netip.AddrPortFrom(device.Addr(), device.Port()+1)
			}
			continue
		case c.Transport == "tcp":
			s.Kind, s.Stream = transport.StreamChunk, stream
		}
		all = append(all, s)
		if item.Op != fixtures.OpNote {
			items = append(items, item)
		}
	}
	return all, items
}

// addSecrets gives a Decoder what the header of a recording tells.
func addSecrets(d *Decoder, c *fixtures.Capture) {
	for _, s := range c.Sessions {
		d.AddSecrets(dtls.Secrets{ClientRandom: [32]byte(s.ClientRandom), Master: [48]byte(s.Master)})
	}
	for _, conn := range c.Conns {
		d.AddCredentials(conn.Nonce, lightssl.Credentials(conn.Credentials), trace.DeviceID(c.DeviceID))
	}
}

// A collector keeps what a Decoder emits.
type collector struct{ packets []*trace.Packet }

func (c *collector) emit(p *trace.Packet) { c.packets = append(c.packets, p) }

func isCloud(a netip.AddrPort) bool { return a.Addr() == cloudAddress.Addr() }

func newTestDecoder(options ...func(*Config)) (*Decoder, *collector) {
	c := new(collector)
	cfg := Config{Emit: c.emit, Cloud: isCloud, Hold: -1, HeldPerFlow: 1 << 20}
	for _, o := range options {
		o(&cfg)
	}
	return NewDecoder(cfg), c
}

func rsaKey(t *testing.T, der []byte) *rsa.PrivateKey {
	t.Helper()
	key, err := x509.ParsePKCS1PrivateKey(bytes.TrimRight(der, "\x00"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}
