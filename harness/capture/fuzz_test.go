package capture

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/transport"
)

// FuzzDecoder shows arbitrary sightings between the packets of a recording, whose
// secrets are known, so that hostile bytes meet open sessions. Each sighting of
// the input is a byte of flags, two bytes of length and as many bytes of data.
func FuzzDecoder(f *testing.F) {
	for _, name := range []string{"v1.4.4-udp-resume", "v6.2.0-udp-resume", "v6.2.0-tcp-session"} {
		var seed []byte
		all, _ := sightings(fixtures.ByName(name))
		for _, s := range all[:min(12, len(all))] {
			flags := byte(s.Kind)
			if s.Sent {
				flags |= 8
			}
			seed = append(binary.BigEndian.AppendUint16(append(seed, flags), uint16(len(s.Data))), s.Data...)
		}
		f.Add(seed)
	}
	captures := []*fixtures.Capture{fixtures.ByName("v6.2.0-udp-resume"), fixtures.ByName("v1.4.4-tcp-session")}
	f.Fuzz(func(t *testing.T, input []byte) {
		var packets, size, shown int
		d := NewDecoder(Config{
			Cloud: isCloud, HeldPackets: 20, HeldPerFlow: 5, AssociationsMax: 8,
			Emit: func(p *trace.Packet) {
				packets++
				size += p.Size
				_, _ = p.String(), p.Lines()
				records := p.Rest
				for i := range p.Records {
					records += p.Records[i].Size
				}
				if records != p.Size {
					t.Errorf("%d bytes of %d are in records: %v", records, p.Size, p.Lines())
				}
			},
		})
		var genuine []transport.Sighting
		for _, c := range captures {
			addSecrets(d, c)
			all, _ := sightings(c)
			genuine = append(genuine, all...)
		}
		now := clock.Instant(0)
		for len(input) >= 3 {
			if len(genuine) > 0 {
				d.Sight(genuine[0])
				shown += len(genuine[0].Data)
				genuine = genuine[1:]
			}
			flags, n := input[0], min(int(binary.BigEndian.Uint16(input[1:])), len(input)-3)
			now += clock.Instant(flags) << 24
			s := transport.Sighting{
				At: now, Kind: transport.SightingKind(flags & 7), Sent: flags&8 != 0, Stream: transport.StreamID(flags >> 6),
				Packet: transport.Packet{
					Local: netip.AddrPortFrom(netip.MustParseAddr("198.51.100.7"), 40000+uint16(flags>>4&3)), Peer: cloudAddress,
					Data: slices.Clone(input[3 : 3+n]),
				},
			}
			d.Sight(s)
			if s.Kind == transport.DatagramSeen || s.Kind == transport.StreamChunk {
				shown += n
			}
			input = input[3+n:]
		}
		d.Flush()
		if n := d.Counts(); n.Held != 0 || n.Associations > 8 || int(n.Packets) != packets || size > shown {
			t.Errorf("%+v, %d bytes emitted, %d shown", n, size, shown)
		}
	})
}

func BenchmarkDecoder(b *testing.B) {
	for _, name := range []string{"v6.2.0-udp-session", "v6.2.0-ota3-udp-ota3", "v6.2.0-tcp-session"} {
		b.Run(name, func(b *testing.B) {
			c := fixtures.ByName(name)
			all, _ := sightings(c)
			b.ReportAllocs()
			packets := 0
			for b.Loop() {
				d := NewDecoder(Config{Emit: func(*trace.Packet) { packets++ }, Cloud: isCloud})
				addSecrets(d, c)
				for _, s := range all {
					d.Sight(s)
				}
			}
			b.ReportMetric(float64(packets)/b.Elapsed().Seconds(), "packets/s")
		})
	}
}
