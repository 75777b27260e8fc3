package trace

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/muster/muster/protocol/clock"
)

// A Direction is who sent a packet.
type Direction uint8

// The directions.
const (
	Up   Direction = iota // device to cloud
	Down                  // cloud to device
)

// String returns "up" or "down".
func (d Direction) String() string {
	if d == Down {
		return "down"
	}
	return "up"
}

// Other returns the other direction.
func (d Direction) Other() Direction { return 1 - d }

// A Transport is what carries packets.
type Transport uint8

// The transports.
const (
	UDP Transport = iota // DTLS
	TCP                  // AES over TCP
)

// String returns "udp" or "tcp".
func (t Transport) String() string {
	if t == TCP {
		return "tcp"
	}
	return "udp"
}

// Sizes of the headers below the payload of a packet, in bytes, without options.
const (
	HeadersUDP4 = 20 + 8
	HeadersUDP6 = 40 + 8
	HeadersTCP4 = 20 + 20
	HeadersTCP6 = 40 + 20
)

// Headers returns the size of the IP and UDP or TCP headers of one packet.
func Headers(t Transport, ipv6 bool) int {
	switch {
	case t == TCP && ipv6:
		return HeadersTCP6
	case t == TCP:
		return HeadersTCP4
	case ipv6:
		return HeadersUDP6
	}
	return HeadersUDP4
}

// A DeviceID names a device; the zero value says that it is not known.
type DeviceID [12]byte

// String returns 24 hex digits, "unknown device" for the zero value.
func (id DeviceID) String() string {
	if id == (DeviceID{}) {
		return "unknown device"
	}
	return hex.EncodeToString(id[:])
}

// A Packet is one datagram, or one unit of the TCP transport: the nonce, C1, C2
// and S together, or one frame with its length. How TCP cut its units into
// segments is not known at either end; each is counted as one.
type Packet struct {
	// Serial counts what the decoder was shown, in order, from 1.
	Serial    uint64
	At        clock.Instant
	Transport Transport
	Direction Direction
	// DeviceAddress and CloudAddress are address and port as they were seen.
	DeviceAddress, CloudAddress string

	// Device is who the association belongs to, as far as the wire or the keys
	// have told by now.
	Device DeviceID
	// Association numbers the handshakes and the sessions that follow them, from
	// 1. 0 when the packet belongs to none.
	Association uint32
	// Connection numbers the uses of one association, from 1: a handshake begins
	// the first, each resume another.
	Connection uint32

	Size    int // payload, in bytes
	Headers int // IP and UDP or TCP headers, in bytes

	// Chunks is how many reads or writes of the stream a TCP unit was cut into.
	Chunks int
	// Received is true when the packet was seen where it arrived, false when it
	// was seen where it was sent.
	Received bool
	// Lost says what a virtual network did with the packet when it did not
	// deliver it.
	Lost string
	// Duplicate is true for a datagram with the same bytes as one of the last in
	// the same direction of the association.
	Duplicate bool
	// NewAddress is true for the first authentic packet of an association from
	// another address of the device than before.
	NewAddress bool
	// Resume is true for the packet that begins to use a session again.
	Resume bool

	Records []Record
	// Rest is the number of bytes at the end that are no record, and Problem says
	// why.
	Rest    int
	Problem string
}

// Bytes returns payload and headers together.
func (p *Packet) Bytes() int { return p.Size + p.Headers }

// Messages returns the CoAP messages of the packet, in order.
func (p *Packet) Messages() []*Message {
	var all []*Message
	for i := range p.Records {
		if m := p.Records[i].Message; m != nil {
			all = append(all, m)
		}
	}
	return all
}

// String returns one line without application data, such as
//
//	6.033s 0123456789abcdef01230620 up 53+28 resume [253 #11 CON EMPTY mid=000b (Ping)]
func (p *Packet) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %v %v %d+%d", p.At, p.Device, p.Direction, p.Size, p.Headers)
	for _, flag := range []struct {
		set  bool
		word string
	}{{p.Duplicate, "duplicate"}, {p.NewAddress, "new address"}, {p.Resume, "resume"}, {p.Lost != "", "lost: " + p.Lost}} {
		if flag.set {
			b.WriteString(" " + flag.word)
		}
	}
	for i := range p.Records {
		b.WriteString(" [" + p.Records[i].String() + "]")
	}
	if p.Problem != "" {
		fmt.Fprintf(&b, " %s (%d bytes)", p.Problem, p.Rest)
	}
	return b.String()
}

// Lines returns everything that is known of the packet, application data
// included, a line each.
func (p *Packet) Lines() []string {
	var lines []string
	for i := range p.Records {
		lines = append(lines, p.Records[i].Lines()...)
	}
	if p.Problem != "" {
		lines = append(lines, fmt.Sprintf("%s: %d bytes", p.Problem, p.Rest))
	}
	return lines
}
