package pdc

import (
	"encoding/binary"

	"github.com/muster/muster/protocol/coap"
)

// A ChunkMissed lists the chunks that a device wants again in a fast update
// (PDC-6.2).
type ChunkMissed struct {
	Indices []uint16 // from 0
}

// ParseChunkMissed reads a ChunkMissed.
func ParseChunkMissed(m coap.Message) (ChunkMissed, error) {
	if err := check(KindChunkMissed, m); err != nil {
		return ChunkMissed{}, err
	}
	if len(m.Payload)%2 != 0 {
		return ChunkMissed{}, faultf(KindChunkMissed, "PDC-6.2", "payload of %d bytes, want an even number", len(m.Payload))
	}
	var c ChunkMissed
	for b := m.Payload; len(b) > 0; b = b[2:] {
		c.Indices = append(c.Indices, binary.BigEndian.Uint16(b))
	}
	return c, nil
}

// Message returns the message of a device of dialect d.
//
// Device OS: CON over TCP too, up to 1.x.
func (c ChunkMissed) Message(d Dialect) coap.Message {
	t := coap.Confirmable
	if d.System >= OS2_0 {
		t = d.con()
	}
	m := request(t, coap.GET, "c", nil)
	for _, i := range c.Indices {
		m.Payload = binary.BigEndian.AppendUint16(m.Payload, i)
	}
	return m
}

// MissedLimit returns how many indices one ChunkMissed of a device of dialect d
// lists at most. Received is the number of chunks it got since the last
// UpdateDone.
//
// Device OS: since 0.8 the device asks for 1.2 times what it got, at least two
// more, at most 40; 20 on Argon and A SoM.
func MissedLimit(d Dialect, received int) int {
	if d.System < OS0_8 {
		return 50
	}
	limit := 40
	if d.Platform == Argon || d.Platform == ASoM {
		limit = 20
	}
	return min(max(received*6/5, received+2), limit)
}

// ChunkCount returns the number of chunks of size bytes that a file of length
// bytes has, 0 for a size of 0.
func ChunkCount(length, size uint32) uint32 {
	if size == 0 {
		return 0
	}
	return uint32((uint64(length) + uint64(size) - 1) / uint64(size))
}
