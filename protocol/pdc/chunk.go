package pdc

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/muster/muster/protocol/coap"
)

// ChunkCRC returns the CRC-32 of a legacy chunk, padding included: IEEE 802.3,
// 0xcbf43926 for "123456789".
func ChunkCRC(data []byte) uint32 { return crc32.ChecksumIEEE(data) }

// A Chunk is a piece of a file in a legacy update (PDC-6.2). A slow one is
// answered by an ACK and a [ChunkReceived], a fast one by nothing.
type Chunk struct {
	Token []byte // one byte
	CRC   uint32 // of Data, see [ChunkCRC]
	// Fast is true when the chunk has an index.
	Fast  bool
	Index uint16 // from 0
	// Data has the chunk size of the UpdateBegin, the last chunk too.
	Data []byte
	// Confirmed makes a fast chunk CON, which a device does not acknowledge.
	Confirmed bool
}

// ParseChunk reads a Chunk. It does not compare the CRC.
func ParseChunk(m coap.Message) (Chunk, error) {
	if err := checkRequest(KindChunk, m); err != nil {
		return Chunk{}, err
	}
	crc, ok := m.Query(0)
	if !ok || len(crc) != 4 {
		return Chunk{}, fault(KindChunk, "PDC-6.2", "first Uri-Query is not a CRC of 4 bytes")
	}
	c := Chunk{
		Token: m.Token, CRC: binary.BigEndian.Uint32(crc), Data: m.Payload,
		Confirmed: m.Type == coap.Confirmable,
	}
	index, ok := m.Query(1)
	if !ok {
		return c, nil
	}
	if len(index) != 2 {
		return Chunk{}, fault(KindChunk, "PDC-6.2", "second Uri-Query is not an index of 2 bytes")
	}
	c.Fast, c.Index = true, binary.BigEndian.Uint16(index)
	return c, nil
}

// Message returns the message for a device: CON if slow, NON if fast unless
// Confirmed is set.
func (c Chunk) Message(Dialect) coap.Message {
	m := request(coap.Confirmable, coap.POST, "c", c.Token,
		coap.Opaque(coap.URIQuery, binary.BigEndian.AppendUint32(nil, c.CRC)))
	if c.Fast {
		m.Options = append(m.Options,
			coap.Opaque(coap.URIQuery, binary.BigEndian.AppendUint16(nil, c.Index)))
		if !c.Confirmed {
			m.Type = coap.NonConfirmable
		}
	}
	m.Payload = c.Data
	return m
}

// OnDeviceChunk reads a chunk as a board does.
//
// Device OS: the options begin at byte 7 and have the length of their low
// nibble, never an extended one.
func OnDeviceChunk(wire []byte) (Chunk, error) {
	c := Chunk{Token: token4(wire), Confirmed: coap.Type(wire[0]>>4&3) == coap.Confirmable}
	b := wire[min(len(wire), 7):]
	for i := 0; len(b) > 0 && b[0] != 0xff; i++ {
		n := int(b[0] & 15)
		if 1+n > len(b) {
			return Chunk{}, fault(KindChunk, "PDC-6.2", "option longer than the message")
		}
		value := b[1 : 1+n]
		for _, v := range value {
			if i == 0 {
				c.CRC = c.CRC<<8 | uint32(v)
			} else {
				c.Index = c.Index<<8 | uint16(v)
			}
		}
		c.Fast = i > 0
		b = b[1+n:]
	}
	if len(b) > 0 {
		c.Data = b[1:]
	}
	return c, nil
}
