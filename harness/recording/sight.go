package recording

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/netip"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/ip4defrag"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/reassembly"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// Counts are what a recording held.
type Counts struct {
	Frames   int // in all
	Used     int // that were part of a conversation with a cloud
	Other    int // of other protocols, or of other conversations
	Cut      int // whose end was not captured (snap length): not used
	Damaged  int // that are not what they claim to be: not used
	Doubled  int // seen at two interfaces of one host: used once
	Unlinked int // of a kind of link that is not known: not used

	Connections int // TCP connections with a cloud
	Joined      int // of them, whose beginning is not in the recording: not decoded
	Torn        int // of them, with bytes missing: decoded up to there
}

// Lines says, a line each, what could not be used and why.
func (c *Counts) Lines() []string {
	var list []string
	for _, x := range []struct {
		n    int
		text string
	}{
		{c.Cut, "packets were cut when they were captured (snap length) and not used: capture with tcpdump -s 0"},
		{c.Damaged, "packets are damaged and not used"},
		{c.Unlinked, "packets are of a kind of link that is not known and not used"},
		{c.Doubled, "packets were captured twice, at two interfaces, and used once"},
		{c.Joined, "TCP connections had begun before the recording: without their first bytes nothing of them can be decoded"},
		{c.Torn, "TCP connections have bytes missing: they are decoded up to there"},
	} {
		if x.n > 0 {
			list = append(list, fmt.Sprintf("%d %s", x.n, x.text))
		}
	}
	return list
}

// Each reads the file and calls sight for each datagram and each piece of a stream
// between a device and a cloud, as a tap at the device would have. It returns the
// wall-clock time of the first frame, which is the instant 0. A file that ends
// within a frame, as one does whose writer was killed, is read up to there.
func (f *File) Each(isCloud func(netip.AddrPort) bool, sight func(transport.Sighting)) (start time.Time, counts Counts, err error) {
	return f.each(isCloud, sight, func(talk) {})
}

// A talk is one datagram or segment between anybody.
type talk struct {
	from, to netip.AddrPort
	tcp, syn bool // syn: it opens a connection
	data     []byte
}

func (f *File) each(isCloud func(netip.AddrPort) bool, sight func(transport.Sighting), hear func(talk)) (start time.Time, counts Counts, err error) {
	r, err := f.reader()
	if err != nil {
		return start, counts, err
	}
	s := &sighter{
		isCloud: isCloud, sight: sight, hear: hear, counts: &counts, fragments: ip4defrag.NewIPv4Defragmenter(),
		seed: maphash.MakeSeed(), recent: map[uint64]recentFrame{},
	}
	s.assembler = reassembly.NewAssembler(reassembly.NewStreamPool(s))
	s.assembler.MaxBufferedPagesPerConnection, s.assembler.MaxBufferedPagesTotal = 256, 1<<14
	for {
		fr, err := r.next()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			s.assembler.FlushAll()
			return s.start, counts, r.Close()
		case err != nil:
			return s.start, counts, errors.Join(fmt.Errorf("recording: %s: frame %d: %w", f.path, counts.Frames+1, err), r.Close())
		}
		s.frame(&fr)
	}
}

// A sighter makes sightings of frames.
type sighter struct {
	isCloud   func(netip.AddrPort) bool
	sight     func(transport.Sighting)
	hear      func(talk)
	counts    *Counts
	start     time.Time
	fragments *ip4defrag.IPv4Defragmenter
	assembler *reassembly.Assembler
	ids       transport.StreamID
	flushed   time.Time

	seed   maphash.Seed
	recent map[uint64]recentFrame
}

// A recentFrame is a packet that was seen lately, at an interface in a direction.
type recentFrame struct {
	at        time.Time
	direction uint16
}

// doubledWithin is how far apart the two sightings of one packet at two interfaces
// of one host are.
const (
	doubledWithin = 10 * time.Millisecond
	recentMax     = 4096
)

// The links that gopacket names otherwise, or not at all.
const (
	linkRawBSD  layers.LinkType = 12
	linkRawOBSD layers.LinkType = 14
	linkIPv4    layers.LinkType = 228
	linkIPv6    layers.LinkType = 229
	linkUpper   layers.LinkType = 252 // decrypted messages, of our own files
)

// decoderOf returns what decodes the frames of a link, nil for one that is not
// known.
func decoderOf(link layers.LinkType) gopacket.Decoder {
	switch link {
	case layers.LinkTypeEthernet, layers.LinkTypeNull, layers.LinkTypeLoop, layers.LinkTypeRaw, layers.LinkTypeLinuxSLL, layers.LinkTypeLinuxSLL2:
		return link
	case linkRawBSD, linkRawOBSD:
		return layers.LinkTypeRaw
	case linkIPv4:
		return layers.LayerTypeIPv4
	case linkIPv6:
		return layers.LayerTypeIPv6
	default:
		return nil
	}
}

func (s *sighter) frame(f *frame) {
	if f.link == linkUpper {
		return
	}
	s.counts.Frames++
	if s.start.IsZero() {
		s.start = f.at
	}
	decoder := decoderOf(f.link)
	switch {
	case decoder == nil:
		s.counts.Unlinked++
		return
	case f.cut:
		s.counts.Cut++
		return
	}
	p := gopacket.NewPacket(f.data, decoder, gopacket.DecodeOptions{NoCopy: true, Lazy: true})
	var source, destination netip.Addr
	var transported gopacket.Packet
	switch ip := p.NetworkLayer().(type) {
	case *layers.IPv4:
		if s.doubled(f, ip.Contents, ip.Payload, p) {
			s.counts.Doubled++
			return
		}
		if ip.Flags&layers.IPv4MoreFragments != 0 || ip.FragOffset != 0 {
			ip.Payload = bytes.Clone(ip.Payload) // it waits for the others
		}
		whole, err := s.fragments.DefragIPv4WithTimestamp(ip, f.at)
		switch {
		case err != nil:
			s.counts.Damaged++
			return
		case whole == nil:
			return // the rest follows
		}
		source, destination = addr(ip.SrcIP), addr(ip.DstIP)
		transported = gopacket.NewPacket(whole.Payload, whole.NextLayerType(), gopacket.DecodeOptions{NoCopy: true, Lazy: true})
	case *layers.IPv6:
		if s.doubled(f, ip.Contents, ip.Payload, p) {
			s.counts.Doubled++
			return
		}
		source, destination = addr(ip.SrcIP), addr(ip.DstIP)
		transported = p
	default:
		s.counts.Other++
		return
	}
	s.transported(f, source, destination, transported)
}

// transported takes what an IP packet carries.
func (s *sighter) transported(f *frame, source, destination netip.Addr, p gopacket.Packet) {
	at := clock.Instant(f.at.Sub(s.start))
	switch t := p.TransportLayer().(type) {
	case *layers.UDP:
		from, to := netip.AddrPortFrom(source, uint16(t.SrcPort)), netip.AddrPortFrom(destination, uint16(t.DstPort))
		s.hear(talk{from: from, to: to, data: t.Payload})
		seen := transport.Sighting{At: at, Kind: transport.DatagramSeen, Packet: transport.Packet{Data: t.Payload}}
		if !s.ends(&seen, from, to) {
			s.counts.Other++
			return
		}
		if int(t.Length) < 8 || len(t.Payload) < int(t.Length)-8 {
			s.counts.Damaged++
			return
		}
		s.counts.Used++
		seen.Data = t.Payload[:t.Length-8] // Ethernet pads short frames
		s.sight(seen)
	case *layers.TCP:
		from, to := netip.AddrPortFrom(source, uint16(t.SrcPort)), netip.AddrPortFrom(destination, uint16(t.DstPort))
		s.hear(talk{from: from, to: to, tcp: true, syn: t.SYN && !t.ACK, data: t.Payload})
		if s.isCloud(from) == s.isCloud(to) {
			s.counts.Other++
			return
		}
		s.counts.Used++
		flow := gopacket.NewFlow(layers.EndpointIPv6, source.AsSlice(), destination.AsSlice())
		s.assembler.AssembleWithContext(flow, t, &moment{gopacket.CaptureInfo{Timestamp: f.at, CaptureLength: len(f.data), Length: len(f.data)}, from, to})
		if f.at.Sub(s.flushed) > time.Minute {
			// A hole that was not filled within minutes stays one.
			s.assembler.FlushWithOptions(reassembly.FlushOptions{T: f.at.Add(-2 * time.Minute)})
			s.flushed = f.at
		}
	default:
		s.counts.Other++
	}
}

// ends fills in the addresses of a sighting, and reports whether it is between a
// device and a cloud.
func (s *sighter) ends(seen *transport.Sighting, from, to netip.AddrPort) bool {
	down, up := s.isCloud(from), s.isCloud(to)
	if down == up {
		return false
	}
	if seen.Sent = up; up {
		seen.Local, seen.Peer = from, to
	} else {
		seen.Local, seen.Peer = to, from
	}
	return true
}

// doubled reports whether a packet was seen a moment before at another interface or
// in another direction of one host, as a capture on all interfaces does with what
// stays on the host.
func (s *sighter) doubled(f *frame, header, payload []byte, p gopacket.Packet) bool {
	direction, cooked := uint16(0), false
	switch l := p.LinkLayer().(type) {
	case *layers.LinuxSLL:
		direction, cooked = uint16(l.PacketType), true
	default:
		if f.link == layers.LinkTypeLinuxSLL2 && len(f.data) >= 12 {
			// Interface and direction (LINKTYPE_LINUX_SLL2).
			direction, cooked = binary.BigEndian.Uint16(f.data[6:])<<8|uint16(f.data[10]), true
		}
	}
	if !cooked {
		return false
	}
	var h maphash.Hash
	h.SetSeed(s.seed)
	_, _ = h.Write(header) // a hash takes everything
	_, _ = h.Write(payload)
	sum := h.Sum64()
	before, seen := s.recent[sum]
	if seen && before.direction != direction && f.at.Sub(before.at) < doubledWithin {
		delete(s.recent, sum)
		return true
	}
	if len(s.recent) >= recentMax {
		clear(s.recent)
	}
	s.recent[sum] = recentFrame{f.at, direction}
	return false
}

func addr(ip []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(ip) // a layer has 4 or 16 bytes
	return a.Unmap()
}
