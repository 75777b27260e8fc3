package capture

import (
	"encoding/binary"
	"net/netip"

	"github.com/muster/muster/transport"
)

// The protocols in an IP header.
const (
	protocolTCP = 6
	protocolUDP = 17
)

// A tcpSide is one direction of a TCP connection.
type tcpSide struct {
	stream   transport.StreamID
	from, to netip.AddrPort
}

// segmentMax is the largest payload of one made-up TCP segment, in bytes.
const segmentMax = 0xffff - 60

// datagrams returns IP packets with the payload of a sighting: one, or more for a
// chunk of a stream that fits into none, and for streams that open and end. None
// if the addresses are not of one family.
func (p *PcapWriter) datagrams(s transport.Sighting) [][]byte {
	from, to := s.Peer, s.Local
	if s.Sent {
		from, to = to, from
	}
	from, to = netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	if !from.IsValid() || !to.IsValid() || from.Addr().Is4() != to.Addr().Is4() {
		return nil
	}
	segment := func(from, to netip.AddrPort, flags byte, data []byte) []byte {
		side, other := tcpSide{s.Stream, from, to}, tcpSide{s.Stream, to, from}
		seq := p.next[side]
		p.next[side] = seq + uint32(len(data))
		if flags&(flagSYN|flagFIN) != 0 {
			p.next[side]++
		}
		return ip(from, to, protocolTCP, tcp(from, to, seq, p.next[other], flags, data))
	}
	switch s.Kind {
	case transport.DatagramSeen:
		if len(s.Data) <= segmentMax {
			return [][]byte{ip(from, to, protocolUDP, udp(from, to, s.Data))}
		}
	case transport.StreamOpened:
		return [][]byte{
			segment(from, to, flagSYN, nil), segment(to, from, flagSYN|flagACK, nil), segment(from, to, flagACK, nil),
		}
	case transport.StreamChunk:
		var list [][]byte
		for data := s.Data; len(data) > 0; {
			n := min(len(data), segmentMax)
			list = append(list, segment(from, to, flagPSH|flagACK, data[:n]))
			data = data[n:]
		}
		return list
	case transport.StreamEnded:
		list := [][]byte{segment(from, to, flagFIN|flagACK, nil), segment(to, from, flagFIN|flagACK, nil)}
		delete(p.next, tcpSide{s.Stream, from, to})
		delete(p.next, tcpSide{s.Stream, to, from})
		return list
	default: // SendBegins and SendEnds are no packets
	}
	return nil
}

// The flags of a TCP segment.
const (
	flagFIN = 1 << iota
	flagSYN
	_
	flagPSH
	flagACK
)

// udp returns a UDP datagram (RFC 768) whose checksum is still zero.
func udp(from, to netip.AddrPort, data []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(data)))
	return append(append(b, 0, 0), data...)
}

// tcp returns a TCP segment (RFC 9293 Section 3.1), whose checksum is still zero.
func tcp(from, to netip.AddrPort, seq, ack uint32, flags byte, data []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	b = binary.BigEndian.AppendUint32(b, seq)
	if flags&flagACK == 0 {
		ack = 0
	}
	b = binary.BigEndian.AppendUint32(b, ack)
	b = append(b, 5<<4, flags, 0xff, 0xff, 0, 0, 0, 0)
	return append(b, data...)
}

// ip returns an IP packet around a UDP datagram or TCP segment, whose checksum it
// fills in.
func ip(from, to netip.AddrPort, protocol byte, body []byte) []byte {
	src, dst := from.Addr().AsSlice(), to.Addr().AsSlice()
	pseudo := append(append([]byte(nil), src...), dst...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(body)))
	pseudo = append(pseudo, 0, 0, 0, protocol)
	at := 6 // of the checksum in UDP
	if protocol == protocolTCP {
		at = 16
	}
	sum := checksum(append(pseudo, body...))
	if sum == 0 && protocol == protocolUDP {
		sum = 0xffff // zero says that there is none (RFC 768)
	}
	binary.BigEndian.PutUint16(body[at:], sum)
	if from.Addr().Is6() {
		b := binary.BigEndian.AppendUint32(nil, 6<<28)
		b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
		b = append(append(append(b, protocol, 64), src...), dst...)
		return append(b, body...)
	}
	b := binary.BigEndian.AppendUint16([]byte{4<<4 | 5, 0}, uint16(20+len(body)))
	b = append(b, 0, 0, 0, 0, 64, protocol, 0, 0)
	b = append(append(b, src...), dst...)
	binary.BigEndian.PutUint16(b[10:], checksum(b))
	return append(b, body...)
}

// checksum is that of RFC 1071.
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
