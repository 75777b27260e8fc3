package pdc

import (
	"encoding/json"
	"strconv"

	"github.com/muster/muster/protocol/coap"
)

// A Diagnostic is the payload of an error response of OTA protocol v3 and of
// [ServerMoved]: {"code":-240,"message":"..."} (PDC-6.8).
//
// Device OS: RFC 7252 Section 5.5.2 has text for people here, not JSON.
type Diagnostic struct {
	Code    SystemError // negative; 0 when there is none
	Message string
}

// ParseDiagnostic reads a diagnostic payload and reports whether it is whole. A
// device cuts it to fit its message: of such a one the code is read if it is
// there.
func ParseDiagnostic(payload []byte) (d Diagnostic, whole bool) {
	var v struct {
		Code    SystemError `json:"code"`
		Message string      `json:"message"`
	}
	if json.Unmarshal(payload, &v) == nil {
		return Diagnostic(v), v.Code != 0
	}
	const head = `{"code":`
	if len(payload) < len(head) || string(payload[:len(head)]) != head {
		return Diagnostic{}, false
	}
	digits := payload[len(head):]
	for i, c := range digits {
		if c != ',' {
			continue
		}
		if n, err := strconv.ParseInt(string(digits[:i]), 10, 32); err == nil {
			d.Code = SystemError(n)
		}
		break
	}
	return d, false
}

// Append appends the payload to b, nothing when Code is 0.
func (d Diagnostic) Append(b []byte) []byte {
	if d.Code == 0 {
		return b
	}
	b = append(b, `{"code":`...)
	b = strconv.AppendInt(b, int64(d.Code), 10)
	b = append(b, `,"message":`...)
	text, err := json.Marshal(d.Message)
	if err != nil {
		panic(err) // a string always has JSON
	}
	return append(append(b, text...), '}')
}

// failed reads the error response m: its code and diagnostic.
func failed(m coap.Message) (coap.Code, Diagnostic) {
	d, _ := ParseDiagnostic(m.Payload)
	return m.Code, d
}

// isError reports whether c is a 4.xx or 5.xx code.
func isError(c coap.Code) bool { return coap.IsResponse(c) && !coap.IsSuccess(c) }
