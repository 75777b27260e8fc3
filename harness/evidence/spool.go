package evidence

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// A spool is a file of sightings, in the order in which they were told, up to a
// size. It is the only place where raw packets are kept while a run goes on.
type spool struct {
	file    *os.File
	w       *bufio.Writer
	limit   int64
	size    int64
	kept    int
	dropped int // for lack of room
	buf     []byte
	err     error
}

// newSpool makes a spool that has no name: it is gone when it is closed, whatever
// happens.
func newSpool(dir string, limit int64) (*spool, error) {
	f, err := os.CreateTemp(dir, ".spool-")
	if err != nil {
		return nil, fmt.Errorf("evidence: making a file for the packets: %w", err)
	}
	// Where the system does not let go of the name of an open file it goes later.
	_ = os.Remove(f.Name())
	return &spool{file: f, w: bufio.NewWriterSize(f, 1<<18), limit: limit}, nil
}

// add appends a sighting.
func (s *spool) add(seen transport.Sighting) {
	if s.err != nil {
		return
	}
	b := append(s.buf[:0], 0, 0, 0, 0)
	b = binary.AppendVarint(b, int64(seen.At))
	sent := byte(0)
	if seen.Sent {
		sent = 1
	}
	b = append(b, byte(seen.Kind), sent)
	b = binary.AppendUvarint(b, uint64(seen.Stream))
	for _, addr := range []netip.AddrPort{seen.Local, seen.Peer} {
		text, _ := addr.MarshalBinary() // never fails
		b = append(append(b, byte(len(text))), text...)
	}
	b = append(append(b, byte(len(seen.Lost))), seen.Lost...)
	b = append(b, seen.Data...)
	s.buf = b
	if s.size+int64(len(b)) > s.limit {
		s.dropped++
		return
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	s.size += int64(len(b))
	s.kept++
	_, s.err = s.w.Write(b)
}

// each calls f for every sighting, in order.
func (s *spool) each(f func(transport.Sighting)) error {
	if err := errors.Join(s.err, s.w.Flush()); err != nil {
		return fmt.Errorf("evidence: keeping the packets: %w", err)
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("evidence: reading the packets back: %w", err)
	}
	r := bufio.NewReaderSize(s.file, 1<<18)
	var b []byte
	for range s.kept {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return fmt.Errorf("evidence: reading the packets back: %w", err)
		}
		n := binary.BigEndian.Uint32(head[:])
		if uint32(cap(b)) < n {
			b = make([]byte, n)
		}
		b = b[:n]
		if _, err := io.ReadFull(r, b); err != nil {
			return fmt.Errorf("evidence: reading the packets back: %w", err)
		}
		f(unpack(b))
	}
	return nil
}

// unpack is the inverse of add. The result aliases b, which add wrote.
func unpack(b []byte) (s transport.Sighting) {
	at, n := binary.Varint(b)
	s.At, b = clock.Instant(at), b[n:]
	s.Kind, s.Sent, b = transport.SightingKind(b[0]), b[1] == 1, b[2:]
	stream, n := binary.Uvarint(b)
	s.Stream, b = transport.StreamID(stream), b[n:]
	for _, addr := range []*netip.AddrPort{&s.Local, &s.Peer} {
		n := int(b[0])
		_ = addr.UnmarshalBinary(b[1 : 1+n]) // as add wrote it
		b = b[1+n:]
	}
	n = int(b[0])
	s.Lost, b = string(b[1:1+n]), b[1+n:]
	s.Data = b
	return s
}

func (s *spool) close() error {
	_ = os.Remove(s.file.Name()) // it is gone already where that is possible
	return s.file.Close()
}
