package pdc

import (
	"github.com/muster/muster/protocol/coap"
)

// DescribeFlags say what a describe describes. On the wire they are one raw
// byte of Uri-Query, not text.
type DescribeFlags uint8

// The flags (PDC-3).
const (
	DescribeSystem      DescribeFlags = 1
	DescribeApplication DescribeFlags = 2
	DescribeMetrics     DescribeFlags = 4

	// DescribeDefault is what a request without a flag byte means up to 3.2.
	DescribeDefault = DescribeSystem | DescribeApplication
)

// A DescribeRequest asks the device to describe itself (PDC-3.1). From 5.5 on
// Flags must be exactly one flag (C-16).
type DescribeRequest struct {
	Token []byte // one byte
	Flags DescribeFlags
	// NoFlags is true for the oldest form, which has no Uri-Query. Devices
	// refuse it from 3.3 on.
	NoFlags bool
	Block   *coap.Block // Block2, to fetch one block of the response, else nil
}

// ParseDescribeRequest reads a DescribeRequest.
func ParseDescribeRequest(m coap.Message) (DescribeRequest, error) {
	var r DescribeRequest
	if err := checkRequest(KindDescribeRequest, m); err != nil {
		return r, err
	}
	r.Token = m.Token
	switch q, ok := m.Query(0); {
	case !ok:
		r.NoFlags, r.Flags = true, DescribeDefault
	case len(q) != 1:
		return DescribeRequest{}, faultf(KindDescribeRequest, "PDC-3", "Uri-Query of %d bytes, want one raw byte", len(q))
	default:
		r.Flags = DescribeFlags(q[0])
	}
	block, ok := blockOf(m, coap.Block2)
	if !ok {
		return DescribeRequest{}, fault(KindDescribeRequest, "PDC-3.2", "Block2 is no block")
	}
	r.Block = block
	return r, nil
}

// Message returns the message for a device of dialect d. The Uri-Query is left
// out only if NoFlags is set and d is older than 3.3.
func (r DescribeRequest) Message(d Dialect) coap.Message {
	m := request(coap.Confirmable, coap.GET, "d", r.Token)
	if !r.NoFlags || d.System >= OS3_3 {
		m.Options = append(m.Options, coap.Opaque(coap.URIQuery, []byte{byte(r.Flags)}))
	}
	if r.Block != nil {
		m.Options = append(m.Options, r.Block.Option(coap.Block2))
	}
	return m
}

// OnDeviceDescribeRequest reads a describe request as a board of dialect d
// does. Wire is the whole message, m the same message parsed. An *Error says
// what the board answers or that it disconnects; whether the block exists is
// the caller's to judge (4.04 when not).
//
// Device OS: up to 3.2 the flags are the byte at offset 8, if the message is
// longer than 8 bytes and that byte is at most 7, otherwise 3.
func OnDeviceDescribeRequest(wire []byte, m coap.Message, d Dialect) (DescribeRequest, error) {
	if d.System < OS3_3 {
		return oldDescribeRequest(wire), nil
	}
	refuse := func(code coap.Code, rule, reason string) (DescribeRequest, error) {
		return DescribeRequest{Token: m.Token}, &Error{
			Kind: KindDescribeRequest, Rule: rule, Reason: reason, Answer: code,
		}
	}
	switch {
	case m.Type != coap.Confirmable:
		return refuse(coap.BadRequest, "PDC-3.1", "not confirmable")
	case len(m.Token) != 1:
		return refuse(coap.BadRequest, "PDC-3.1", "token is not one byte")
	}
	q, ok := m.Query(0)
	if !ok || len(q) == 0 {
		return refuse(coap.BadRequest, "PDC-3.1", "no Uri-Query")
	}
	r := DescribeRequest{Token: m.Token, Flags: DescribeFlags(q[0])}
	if r.Block, ok = blockOf(m, coap.Block2); !ok {
		return refuse(coap.BadOption, "PDC-3.1", "Block2 is no block")
	}
	if own, _ := coap.DescribeSZX(d.Limits().Message); r.Block != nil && r.Block.SZX != own {
		return refuse(coap.BadOption, "PDC-3.2", "block size is not the device's own")
	}
	one := r.Flags == DescribeSystem || r.Flags == DescribeApplication || r.Flags == DescribeMetrics
	if d.System >= OS5_5 && !one {
		// An empty ACK precedes the internal error.
		return r, &Error{
			Kind: KindDescribeRequest, Rule: "N-14", Reason: "not exactly one describe type", Reaction: Disconnect,
		}
	}
	return r, nil
}

func oldDescribeRequest(wire []byte) DescribeRequest {
	r := DescribeRequest{Flags: DescribeDefault, NoFlags: true}
	if len(wire) > 4 {
		// Device OS: the token is byte 4, whatever the token length is.
		r.Token = wire[4:5:5]
	}
	if len(wire) > 8 && wire[8] <= 7 {
		r.Flags, r.NoFlags = DescribeFlags(wire[8]), false
	}
	return r
}
