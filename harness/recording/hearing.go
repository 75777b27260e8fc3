package recording

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/muster/muster/harness/capture"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/transport"
)

// A Hearing reads files with the keys that there are, and keeps what was said.
type Hearing struct {
	Keys  Keys
	Peers Peers
	// Max is how many sightings are read of all files together.
	Max int

	// Packets are what was read, decoded. Associations are numbered on over all files.
	Packets []*trace.Packet
	// Lines say what could not be used and why.
	Lines []string
	// Sealed are records for which there was no key, Rejected those that the keys of
	// their sessions did not open, Messages CoAP messages, Malformed those of them
	// that are none.
	Sealed, Rejected, Messages, Malformed uint64
	// Stopped is true if there was more than Max.
	Stopped bool

	files []*File
	names []string
	read  int
}

// What waits for keys while a file is read, in packets and bytes: those of a file come
// before its packets, so that little does.
const (
	heldPackets = 1 << 20
	heldBytes   = 1 << 30
	heldPerFlow = 1 << 16
)

// Open adds a file, the keys that it holds itself, and who is the cloud in it.
func (h *Hearing) Open(name string) error {
	f, err := Open(name)
	if err != nil {
		return err
	}
	log, err := f.Secrets()
	if err = errors.Join(err, h.Peers.Find(f)); err != nil {
		return err
	}
	if len(log) > 0 {
		h.Keys.Logs = append(h.Keys.Logs, log)
	}
	h.files, h.names = append(h.files, f), append(h.names, name)
	return nil
}

// Read decodes the files. Heard, if not nil, takes each packet.
func (h *Hearing) Read(ctx context.Context, heard func(*trace.Packet), progress func(fraction float64, what string)) error {
	for i, f := range h.files {
		progress(float64(i)/float64(len(h.files)), "reading "+h.names[i])
		if err := h.readFile(ctx, f, filepath.Base(h.names[i]), heard); err != nil {
			return err
		}
	}
	return nil
}

func (h *Hearing) readFile(ctx context.Context, f *File, name string, heard func(*trace.Packet)) error {
	base := uint32(0)
	for _, p := range h.Packets {
		base = max(base, p.Association)
	}
	d := capture.NewDecoder(capture.Config{
		Emit: func(p *trace.Packet) {
			if p.Association > 0 {
				p.Association += base
			}
			if heard != nil {
				heard(p)
			}
			h.Packets = append(h.Packets, p)
		},
		Cloud: h.Peers.Is, CloudKey: h.Keys.Cloud, Hold: -1, HeldPackets: heldPackets, HeldBytes: heldBytes, HeldPerFlow: heldPerFlow,
	})
	if err := h.Keys.Give(d); err != nil {
		return err
	}
	_, counts, err := f.Each(h.Peers.Is, func(s transport.Sighting) {
		if h.read++; h.read > h.Max {
			h.Stopped = true
			return
		}
		if ctx.Err() == nil {
			d.Sight(s)
		}
	})
	if err != nil {
		return err
	}
	d.Flush()
	for _, line := range counts.Lines() {
		h.Lines = append(h.Lines, name+": "+line)
	}
	c := d.Counts()
	h.Sealed += c.Sealed
	h.Rejected += c.Rejected
	h.Messages += c.Messages
	h.Malformed += c.Malformed
	return ctx.Err()
}
