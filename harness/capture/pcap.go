package capture

import (
	"bytes"
	"io"
	"sync"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/transport"
)

// A PcapWriter writes sightings as a pcapng file for other tools. IP, UDP and TCP
// headers are made up around the payloads: a tap sees none. It holds no secrets
// unless AddSecrets is called. It is safe for concurrent use.
type PcapWriter struct {
	mu     sync.Mutex
	w      *pcapgo.NgWriter
	start  time.Time
	filter func(transport.Sighting) bool
	next   map[tcpSide]uint32 // TCP sequence numbers
	err    error
}

// NewPcapWriter begins a file. Start is the wall-clock time of the instant 0.
// Filter, if not nil, says which sightings to write: of what two tapped hosts say
// to each other, the sightings at one end are enough.
func NewPcapWriter(w io.Writer, start time.Time, filter func(transport.Sighting) bool) (*PcapWriter, error) {
	ng, err := pcapgo.NewNgWriter(w, layers.LinkTypeRaw)
	if err != nil {
		return nil, err
	}
	return &PcapWriter{w: ng, start: start, filter: filter, next: map[tcpSide]uint32{}}, nil
}

// Sight writes a sighting. Errors are reported by Close.
func (p *PcapWriter) Sight(s transport.Sighting) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil || p.filter != nil && !p.filter(s) {
		return
	}
	data := p.datagram(s)
	if data == nil {
		return
	}
	info := gopacket.CaptureInfo{Timestamp: p.start.Add(time.Duration(s.At)), CaptureLength: len(data), Length: len(data)}
	p.err = p.w.WritePacket(info, data)
}

// AddSecrets puts a session's secrets into the file, so that whoever has it reads
// what the session says. Only when the user asks for it.
func (p *PcapWriter) AddSecrets(s dtls.Secrets) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var line bytes.Buffer
	if p.err == nil {
		p.err = NewKeyLog(&line).AddSecrets(s)
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
