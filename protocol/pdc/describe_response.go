package pdc

import "github.com/muster/muster/protocol/coap"

// A DescribeResponse is a device's answer to a [DescribeRequest], whole or one
// block (PDC-3.1, 3.2). Whether it is system, application or metrics only the
// request tells.
type DescribeResponse struct {
	Token    []byte      // that of the request
	ETag     []byte      // of a block-wise response, 1 to 8 bytes, else nil
	Protobuf bool        // Content-Format 42
	Block    *coap.Block // Block2, nil when Payload is everything
	Payload  []byte
	// Piggybacked is true when the response is the ACK, as it is up to 1.x.
	Piggybacked bool
}

// ParseDescribeResponse reads a DescribeResponse.
func ParseDescribeResponse(m coap.Message) (DescribeResponse, error) {
	var r DescribeResponse
	if err := checkResponse(KindDescribeResponse, m, coap.Content); err != nil {
		return r, err
	}
	block, ok := blockOf(m, coap.Block2)
	if !ok {
		return r, fault(KindDescribeResponse, "PDC-3.2", "Block2 is no block")
	}
	etag, _ := m.Option(coap.ETag)
	if len(etag) > 8 {
		return r, faultf(KindDescribeResponse, "RFC 7252 Section 5.10", "ETag of %d bytes", len(etag))
	}
	if block != nil && len(etag) == 0 {
		return r, fault(KindDescribeResponse, "C-18", "a block without an ETag")
	}
	return DescribeResponse{
		Token: m.Token, ETag: etag, Protobuf: protobufFormat(m), Block: block,
		Payload: m.Payload, Piggybacked: m.Type == coap.Acknowledgement,
	}, nil
}

// Message returns the message of a device of dialect d.
func (r DescribeResponse) Message(d Dialect) coap.Message {
	m := coap.Message{Type: coap.Confirmable, Code: coap.Content, Token: r.Token, Payload: r.Payload}
	if d.System < OS2_0 {
		m.Type = coap.Acknowledgement
	}
	if r.ETag != nil {
		m.Options = append(m.Options, coap.Opaque(coap.ETag, r.ETag))
	}
	if r.Protobuf {
		m.Options = append(m.Options, coap.Uint(coap.ContentFormat, uint32(FormatOctetStream)))
	}
	if r.Block != nil {
		m.Options = append(m.Options, r.Block.Option(coap.Block2))
	}
	return m
}

// protobufFormat reports whether the Content-Format of a describe is 42.
func protobufFormat(m coap.Message) bool {
	f, ok := m.Uint(coap.ContentFormat)
	return ok && f == uint32(FormatOctetStream)
}
