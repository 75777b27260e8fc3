package capture

import (
	"bytes"
	"io"
	"net/netip"
	"sync"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/transport"
)

// The interfaces of a file, by number: what crossed the wire, and the CoAP messages
// in it as they were decrypted.
const (
	wireInterface = iota
	messageInterface
)

// The names of the interfaces, for a display filter such as
//
//	frame.interface_name == "coap"
const (
	WireInterface    = "wire"
	MessageInterface = "coap"
)

// A PcapOptions describes a file.
type PcapOptions struct {
	// Start is the wall-clock time of the instant 0.
	Start time.Time
	// Comment is shown by tools that show comments of files.
	Comment string
}

// A PcapWriter writes sightings as a pcapng file for other tools. IP, UDP and TCP
// headers are made up around the payloads, and so are the segments that open and
// close a TCP connection: a tap sees none.
//
// Wireshark opens DTLS records when AddSecrets has put the secrets into the file,
// but not those with a connection id, which have the number 254 here, nor those of
// a session that moved, nor anything over TCP. AddMessage therefore puts decrypted
// messages beside them, on an interface of their own.
//
// It holds no secret and no decrypted message unless one of these is called. It is
// safe for concurrent use.
type PcapWriter struct {
	mu    sync.Mutex
	w     *pcapgo.NgWriter
	start time.Time
	next  map[tcpSide]uint32 // TCP sequence numbers
	err   error
}

// NewPcapWriter begins a file.
func NewPcapWriter(w io.Writer, o PcapOptions) (*PcapWriter, error) {
	wire := pcapgo.DefaultNgInterface
	wire.Name, wire.LinkType = WireInterface, layers.LinkTypeRaw
	wire.Description = "what crossed the wire; IP, UDP and TCP headers are made up"
	options := pcapgo.DefaultNgWriterOptions
	options.SectionInfo.Application, options.SectionInfo.Comment = "muster", o.Comment
	ng, err := pcapgo.NewNgWriterInterface(w, wire, options)
	if err != nil {
		return nil, err
	}
	messages := pcapgo.DefaultNgInterface
	messages.Name, messages.LinkType = MessageInterface, linkTypeUpperPDU
	messages.Description = "the CoAP messages in it, decrypted by muster"
	if _, err := ng.AddInterface(messages); err != nil {
		return nil, err
	}
	return &PcapWriter{w: ng, start: o.Start, next: map[tcpSide]uint32{}}, nil
}

// Sight writes a sighting. Errors are reported by Close.
func (p *PcapWriter) Sight(s transport.Sighting) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, data := range p.datagrams(s) {
		var comments []string
		if s.Lost != "" {
			comments = []string{"not delivered: " + s.Lost}
		}
		p.write(wireInterface, p.start.Add(time.Duration(s.At)), data, comments)
	}
}

// AddMessage writes a decrypted message of a packet. It has the number of the packet
// in the decoded trace, and what muster makes of it, as comments. Only when the
// user asks for what the sessions say.
func (p *PcapWriter) AddMessage(packet *trace.Packet, m *trace.Message) {
	from, err1 := netip.ParseAddrPort(packet.DeviceAddress)
	to, err2 := netip.ParseAddrPort(packet.CloudAddress)
	if err1 != nil || err2 != nil {
		return
	}
	if packet.Direction == trace.Down {
		from, to = to, from
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.write(messageInterface, p.start.Add(time.Duration(packet.At)), upperPDU(from, to, m.Wire), []string{comment(packet, m)})
}

func (p *PcapWriter) write(id int, at time.Time, data []byte, comments []string) {
	if p.err != nil {
		return
	}
	info := gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(data), Length: len(data), InterfaceIndex: id}
	p.err = p.w.WritePacketWithOptions(info, data, pcapgo.NgPacketOptions{Comments: comments})
}

// AddSecrets puts a session's secrets into the file, so that whoever has it reads
// what the session says. Only when the user asks for it.
func (p *PcapWriter) AddSecrets(s Secrets) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var line bytes.Buffer
	if p.err == nil {
		p.err = NewKeyLog(&line).Add(s)
	}
	if p.err == nil {
		p.err = p.w.WriteDecryptionSecretsBlock(pcapgo.DSB_SECRETS_TYPE_TLS, line.Bytes())
	}
}

// Close writes what is buffered, and returns the first error there was. It does
// not close the underlying writer.
func (p *PcapWriter) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	return p.w.Flush()
}
