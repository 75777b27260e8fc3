package pdc

import "github.com/muster/muster/protocol/coap"

// An UpdateChunk is a piece of a file of OTA protocol v3 (PDC-6.6): NON and
// without a token. See [Geometry] for which bytes it holds.
type UpdateChunk struct {
	Index uint32 // from 1, relative to the resume offset
	Data  []byte // exactly the chunk size, the last exactly the rest
}

// ParseUpdateChunk reads an UpdateChunk.
func ParseUpdateChunk(m coap.Message) (UpdateChunk, error) {
	if err := checkRequest(KindUpdateChunk, m); err != nil {
		return UpdateChunk{}, err
	}
	index, ok := m.Uint(coap.ChunkIndex)
	if !ok || index == 0 {
		return UpdateChunk{}, fault(KindUpdateChunk, "PDC-6.6", "no Chunk-Index, or 0")
	}
	if len(m.Payload) == 0 {
		return UpdateChunk{}, fault(KindUpdateChunk, "PDC-6.6", "no data")
	}
	return UpdateChunk{Index: index, Data: m.Payload}, nil
}

// Message returns the message for a device.
func (c UpdateChunk) Message(Dialect) coap.Message {
	m := request(coap.NonConfirmable, coap.POST, "C", nil, minimalUint(coap.ChunkIndex, c.Index))
	m.Payload = c.Data
	return m
}

// OnDeviceUpdateChunk reads a chunk as a board does, before it looks at its
// transfer. The *Error's Answer is a response code, or coap.Empty for a RST
// with the chunk's ID; the Reaction says whether the connection ends as well.
// A CON chunk is refused after everything else, in its ACK.
func OnDeviceUpdateChunk(m coap.Message) (UpdateChunk, error) {
	bad := func(reason string, answer coap.Code, then Reaction) (UpdateChunk, error) {
		return UpdateChunk{}, &Error{
			Kind: KindUpdateChunk, Rule: "N-27", Reason: reason, Answer: answer, Reaction: then,
		}
	}
	if len(m.Token) != 0 && m.Type == coap.NonConfirmable {
		return bad("has a token", coap.ServiceUnavailable, Disconnect)
	}
	index, ok := m.Uint(coap.ChunkIndex)
	switch {
	case !ok:
		return bad("no Chunk-Index", coap.Empty, Disconnect)
	case len(m.Payload) == 0:
		return bad("no data", coap.Empty, Disconnect)
	case m.Type != coap.NonConfirmable:
		return bad("confirmable", coap.ServiceUnavailable, Refuse)
	}
	return UpdateChunk{Index: index, Data: m.Payload}, nil
}
