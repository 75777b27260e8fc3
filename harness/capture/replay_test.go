package capture

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"net/netip"
	"testing"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/harness/recording/labtap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/transport"
)

var cloudAddress = netip.MustParseAddrPort("192.0.2.1:5684")

// sightings turns a recording into what a tap at the device would have seen.
func sightings(c *fixtures.Capture) ([]transport.Sighting, []fixtures.Item) {
	return labtap.Sightings(c, netip.MustParseAddrPort("198.51.100.7:40000"), cloudAddress)
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
