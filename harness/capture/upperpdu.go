package capture

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/gopacket/gopacket/layers"

	"github.com/muster/muster/protocol/trace"
)

// linkTypeUpperPDU is LINKTYPE_WIRESHARK_UPPER_PDU: a packet is a list of tags,
// which name its dissector and its addresses, and behind them the data.
const linkTypeUpperPDU layers.LinkType = 252

// The tags (epan/exported_pdu.h of Wireshark lists them).
const (
	tagEnd             = 0
	tagDissector       = 12
	tagIPv4Source      = 20
	tagIPv4Destination = 21
	tagIPv6Source      = 22
	tagIPv6Destination = 23
	tagPortType        = 24
	tagSourcePort      = 25
	tagDestinationPort = 26
)

// portTypeUDP is the port type of all messages: over TCP too they have the form of
// RFC 7252, not that of RFC 8323, and the dissector goes by the port type.
const portTypeUDP = 3

// upperPDU wraps a CoAP message.
func upperPDU(from, to netip.AddrPort, message []byte) []byte {
	var b []byte
	tag := func(id uint16, value []byte) {
		b = binary.BigEndian.AppendUint16(b, id)
		b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
		b = append(b, value...)
	}
	number := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	tag(tagDissector, []byte("coap")) // a multiple of four
	source, destination := uint16(tagIPv4Source), uint16(tagIPv4Destination)
	if from.Addr().Unmap().Is6() {
		source, destination = tagIPv6Source, tagIPv6Destination
	}
	tag(source, from.Addr().Unmap().AsSlice())
	tag(destination, to.Addr().Unmap().AsSlice())
	tag(tagPortType, number(portTypeUDP))
	tag(tagSourcePort, number(uint32(from.Port())))
	tag(tagDestinationPort, number(uint32(to.Port())))
	tag(tagEnd, nil)
	return append(b, message...)
}

// comment is what is known of a message besides its bytes.
func comment(p *trace.Packet, m *trace.Message) string {
	text := fmt.Sprintf("trace %d, device %v, %v", p.Serial, p.Device, m.Kind)
	if m.Of != 0 {
		text += fmt.Sprintf(" of %v", m.Of)
	}
	if m.Repeat > 0 {
		text += fmt.Sprintf(", transmission %d", m.Repeat+1)
	}
	return fmt.Sprintf("%s, %v", text, p.Transport)
}
