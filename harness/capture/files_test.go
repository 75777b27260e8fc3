package capture

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
)

func TestKeyLog(t *testing.T) {
	for _, c := range fixtures.Captures() {
		var log bytes.Buffer
		k := NewKeyLog(&log)
		for _, s := range c.Sessions {
			_ = k.Add(Secrets{DTLS: &dtls.Secrets{ClientRandom: [32]byte(s.ClientRandom), Master: [48]byte(s.Master)}})
		}
		for _, s := range c.Conns {
			_ = k.Add(Secrets{Nonce: s.Nonce, Credentials: lightssl.Credentials(s.Credentials)})
		}
		d, got := newTestDecoder()
		if err := d.ReadKeyLog(io.MultiReader(strings.NewReader("# a comment\n\nSERVER_RANDOM 00 00\n"), &log)); err != nil {
			t.Fatal(err)
		}
		feed(d, c)
		if n := d.Counts(); n.Sealed != 0 || n.Held != 0 || len(got.packets) != len(c.Wire()) {
			t.Errorf("%s: %+v", c.Name, n)
		}
	}
}

func TestKeyLogErrors(t *testing.T) {
	d, _ := newTestDecoder()
	err := d.ReadKeyLog(strings.NewReader("x\nCLIENT_RANDOM 0011 c0ffee\n"))
	if err == nil || !strings.Contains(err.Error(), "line 2") || strings.Contains(err.Error(), "c0ffee") {
		t.Errorf("got %v", err)
	}
}

// TestPcap reads a file back with the library's own decoders, checksums included.
func TestPcap(t *testing.T) {
	for _, name := range []string{"v6.2.0-udp-resume", "v6.2.0-tcp-session"} {
		c := fixtures.ByName(name)
		var file bytes.Buffer
		start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		w, err := NewPcapWriter(&file, PcapOptions{Start: start})
		if err != nil {
			t.Fatal(err)
		}
		all, items := sightings(c)
		for _, s := range all {
			w.Sight(s)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := pcapgo.NewNgReader(&file, pcapgo.DefaultNgReaderOptions)
		if err != nil {
			t.Fatal(err)
		}
		opened := 0
		for i := 0; i < len(items); {
			data, info, err := r.ReadPacketData()
			if err != nil {
				t.Fatalf("%s: packet %d: %v", name, i, err)
			}
			p := gopacket.NewPacket(data, layers.LayerTypeIPv4, gopacket.Default)
			if l, ok := p.TransportLayer().(interface {
				SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
			}); ok {
				_ = l.SetNetworkLayerForChecksum(p.NetworkLayer())
			}
			if failed, mismatches := p.VerifyChecksums(); failed != nil || len(mismatches) > 0 || p.ErrorLayer() != nil {
				t.Fatalf("%s: packet %d: checksums %v %v", name, i, failed, mismatches)
			}
			if tcp, ok := p.TransportLayer().(*layers.TCP); ok && len(tcp.Payload) == 0 {
				opened++ // a segment that opens a connection
				continue
			}
			if item := items[i]; !bytes.Equal(payload(p), item.Data) || !info.Timestamp.Equal(start.Add(item.At)) {
				t.Fatalf("%s: packet %d: %v", name, i, p)
			}
			i++
		}
		if opened != 3*len(c.Conns) {
			t.Errorf("%s: %d segments open %d connections", name, opened, len(c.Conns))
		}
		if _, _, err := r.ReadPacketData(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v behind the last packet", name, err)
		}
		for _, s := range c.Sessions {
			if bytes.Contains(file.Bytes(), s.Master) {
				t.Errorf("%s: secrets that nobody asked for", name)
			}
		}
	}
}

func payload(p gopacket.Packet) []byte {
	if t := p.TransportLayer(); t != nil {
		return t.LayerPayload()
	}
	return nil
}
