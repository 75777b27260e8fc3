package pdc

import "github.com/muster/muster/protocol/coap"

// A DescribePost is a describe that the device sends unasked (PDC-3.3), since
// 1.2 for metrics and since 2.0 for system and application. An ACK of any code
// answers it; the device sends block n+1 when block n was acknowledged.
type DescribePost struct {
	Token    []byte // one byte since 3.3, none before
	Flags    DescribeFlags
	Protobuf bool        // Content-Format 42: a system describe since 5.5
	Block    *coap.Block // Block1, nil when Payload is everything
	Payload  []byte
}

// ParseDescribePost reads a DescribePost.
func ParseDescribePost(m coap.Message) (DescribePost, error) {
	var p DescribePost
	if err := checkRequest(KindDescribePost, m); err != nil {
		return p, err
	}
	q, ok := m.Query(0)
	if !ok || len(q) != 1 {
		return p, fault(KindDescribePost, "PDC-3.3", "no flag byte in Uri-Query")
	}
	block, ok := blockOf(m, coap.Block1)
	if !ok {
		return p, fault(KindDescribePost, "PDC-3.3", "Block1 is no block")
	}
	return DescribePost{
		Token: m.Token, Flags: DescribeFlags(q[0]), Protobuf: protobufFormat(m),
		Block: block, Payload: m.Payload,
	}, nil
}

// Message returns the message of a device of dialect d: CON over TCP too. The
// Token is left out before 3.3.
func (p DescribePost) Message(d Dialect) coap.Message {
	m := request(coap.Confirmable, coap.POST, "d", nil)
	if d.System >= OS3_3 {
		m.Token = p.Token
	}
	if p.Protobuf {
		m.Options = append(m.Options, coap.Uint(coap.ContentFormat, uint32(FormatOctetStream)))
	}
	m.Options = append(m.Options, coap.Opaque(coap.URIQuery, []byte{byte(p.Flags)}))
	if p.Block != nil {
		m.Options = append(m.Options, p.Block.Option(coap.Block1))
	}
	m.Payload = p.Payload
	return m
}
