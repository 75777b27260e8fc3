package recording

import (
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/reassembly"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// A moment is when a segment was captured, and between whom.
type moment struct {
	info     gopacket.CaptureInfo
	from, to netip.AddrPort
}

// GetCaptureInfo implements reassembly.AssemblerContext.
func (m *moment) GetCaptureInfo() gopacket.CaptureInfo { return m.info }

// A stream is one TCP connection.
type stream struct {
	s             *sighter
	id            transport.StreamID
	device, cloud netip.AddrPort
	firstUp       bool // the device sent the first segment that was seen
	begun, torn   bool
}

// New implements reassembly.StreamFactory.
func (s *sighter) New(_, _ gopacket.Flow, tcp *layers.TCP, ac reassembly.AssemblerContext) reassembly.Stream {
	m := ac.(*moment)
	s.ids++
	st := &stream{s: s, id: s.ids, device: m.from, cloud: m.to, firstUp: true, begun: tcp.SYN}
	if s.isCloud(m.from) {
		st.device, st.cloud, st.firstUp = m.to, m.from, false
	}
	s.counts.Connections++
	if !st.begun {
		s.counts.Joined++
	}
	return st
}

// Accept implements reassembly.Stream. Of a connection whose beginning is missing
// nothing is taken.
func (st *stream) Accept(_ *layers.TCP, _ gopacket.CaptureInfo, _ reassembly.TCPFlowDirection, _ reassembly.Sequence, _ *bool, _ reassembly.AssemblerContext) bool {
	return st.begun && !st.torn
}

// ReassembledSG implements reassembly.Stream.
func (st *stream) ReassembledSG(sg reassembly.ScatterGather, _ reassembly.AssemblerContext) {
	direction, _, _, skipped := sg.Info()
	available, _ := sg.Lengths()
	if skipped > 0 && !st.torn {
		// Frames are chained: behind a hole nothing can be read.
		st.torn = true
		st.s.counts.Torn++
	}
	if st.torn || available == 0 {
		return
	}
	up := (direction == reassembly.TCPDirClientToServer) == st.firstUp
	st.sight(transport.StreamChunk, up, clock.Instant(sg.CaptureInfo(0).Timestamp.Sub(st.s.start)), sg.Fetch(available))
}

// ReassemblyComplete implements reassembly.Stream.
func (st *stream) ReassemblyComplete(ac reassembly.AssemblerContext) bool {
	if m, ok := ac.(*moment); ok && m != nil {
		st.sight(transport.StreamEnded, true, clock.Instant(m.info.Timestamp.Sub(st.s.start)), nil)
	}
	return true
}

func (st *stream) sight(kind transport.SightingKind, sent bool, at clock.Instant, data []byte) {
	st.s.sight(transport.Sighting{
		At: at, Kind: kind, Sent: sent, Stream: st.id, Packet: transport.Packet{Local: st.device, Peer: st.cloud, Data: data},
	})
}
