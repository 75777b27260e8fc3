package pdc

import "github.com/muster/muster/protocol/coap"

// An UpdateStartResponse accepts or refuses an [UpdateStart] (PDC-6.5).
type UpdateStartResponse struct {
	Token []byte // that of the request
	// Window is in chunks: indices up to that many above the acknowledged
	// count may be sent.
	Window uint32
	// Offset is where the transfer begins, in bytes: 0, or what the device
	// has kept of an interrupted one. It may equal the file size.
	Offset uint32
	// Refused is the code of an error response, 0 when accepted.
	Refused    coap.Code
	Diagnostic Diagnostic
	// Piggybacked is true when the refusal is the ACK: the request was
	// malformed.
	Piggybacked bool
}

// ParseUpdateStartResponse reads an UpdateStartResponse.
func ParseUpdateStartResponse(m coap.Message) (UpdateStartResponse, error) {
	r := UpdateStartResponse{Token: m.Token, Piggybacked: m.Type == coap.Acknowledgement}
	if isError(m.Code) {
		r.Refused, r.Diagnostic = failed(m)
		return r, nil
	}
	if err := checkResponse(KindUpdateStartResponse, m, coap.Created); err != nil {
		return UpdateStartResponse{}, err
	}
	var ok bool
	if r.Window, ok = m.Uint(coap.WindowSize); !ok || r.Window == 0 {
		return UpdateStartResponse{}, fault(KindUpdateStartResponse, "PDC-6.5", "no Window-Size")
	}
	if r.Offset, ok = m.Uint(coap.FileSize); !ok {
		return UpdateStartResponse{}, fault(KindUpdateStartResponse, "PDC-6.5", "no File-Size")
	}
	return r, nil
}

// Message returns the message of a device.
func (r UpdateStartResponse) Message(Dialect) coap.Message {
	m := coap.Message{Type: coap.Confirmable, Code: coap.Created, Token: r.Token}
	if r.Refused != 0 {
		m.Code, m.Payload = r.Refused, r.Diagnostic.Append(nil)
		if r.Piggybacked {
			m.Type = coap.Acknowledgement
		}
		return m
	}
	m.Options = coap.Options{coap.Uint(coap.WindowSize, r.Window), coap.Uint(coap.FileSize, r.Offset)}
	return m
}
