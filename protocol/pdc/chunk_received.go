package pdc

import "github.com/muster/muster/protocol/coap"

// A ChunkReceived is the device's verdict on a slow [Chunk] (PDC-6.2): 2.04, or
// 4.00 when the CRC was wrong and the same chunk is wanted again.
type ChunkReceived struct {
	Token []byte // that of the chunk
	OK    bool
}

// ParseChunkReceived reads a ChunkReceived.
func ParseChunkReceived(m coap.Message) (ChunkReceived, error) {
	if err := checkResponse(KindChunkReceived, m, coap.Changed, coap.BadRequest); err != nil {
		return ChunkReceived{}, err
	}
	return ChunkReceived{Token: m.Token, OK: m.Code == coap.Changed}, nil
}

// Message returns the message of a device of dialect d.
func (r ChunkReceived) Message(d Dialect) coap.Message {
	m := coap.Message{Type: d.con(), Code: coap.BadRequest, Token: r.Token}
	if r.OK {
		m.Code = coap.Changed
	}
	return m
}
