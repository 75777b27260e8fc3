package trace

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/muster/muster/protocol/coap"
)

// longPayload is how much of a payload that is not text is shown, in bytes.
const longPayload = 40

var optionNames = map[coap.OptionID]string{
	coap.URIHost: "Uri-Host", coap.ETag: "ETag", coap.URIPath: "Uri-Path", coap.ContentFormat: "Content-Format",
	coap.MaxAge: "Max-Age", coap.URIQuery: "Uri-Query", coap.Block2: "Block2", coap.Block1: "Block1",
	coap.NoResponse: "No-Response", coap.RequestTag: "Request-Tag",
	coap.ChunkIndex: "Chunk-Index", coap.WindowSize: "Window-Size", coap.FileSize: "File-Size",
	coap.FileSHA256: "File-SHA-256", coap.ChunkSize: "Chunk-Size", coap.DiscardData: "Discard-Data",
	coap.CancelUpdate: "Cancel-Update", coap.ModuleFunction: "Module-Function",
}

var numbers = map[coap.OptionID]bool{
	coap.ContentFormat: true, coap.MaxAge: true, coap.NoResponse: true, coap.ChunkIndex: true,
	coap.WindowSize: true, coap.FileSize: true, coap.ChunkSize: true, coap.ModuleFunction: true,
}

// Text returns the whole message in one line, options and payload included, such
// as
//
//	CON POST /E/demo mid=000a payload[20]="20 byte event data!!"
func (m *Message) Text() string {
	if m.Malformed != "" {
		return "not CoAP"
	}
	c := &m.CoAP
	var b strings.Builder
	b.WriteString(typeText(c.Type) + " " + codeText(c.Code))
	if c.Has(coap.URIPath) {
		b.WriteString(" " + pathText(c.Path()))
	}
	fmt.Fprintf(&b, " mid=%04x", c.ID)
	if len(c.Token) > 0 {
		fmt.Fprintf(&b, " token=%x", c.Token)
	}
	for _, o := range c.Options {
		if o.ID != coap.URIPath {
			b.WriteString(" " + optionText(o))
		}
	}
	if len(c.Payload) > 0 || c.LoneMarker {
		fmt.Fprintf(&b, " payload[%d]=%s", len(c.Payload), payloadText(c.Payload))
	}
	return b.String()
}

// pathText quotes a path that could spoil a line.
func pathText(path string) string {
	if path != "" && !printable([]byte(path)) {
		return strconv.Quote("/" + path)
	}
	return "/" + path
}

func typeText(t coap.Type) string {
	switch t {
	case coap.Confirmable:
		return "CON"
	case coap.NonConfirmable:
		return "NON"
	case coap.Acknowledgement:
		return "ACK"
	default: // two bits on the wire, so no other is left
		return "RST"
	}
}

func codeText(c coap.Code) string {
	switch c {
	case coap.Empty:
		return "EMPTY"
	case coap.GET:
		return "GET"
	case coap.POST:
		return "POST"
	case coap.PUT:
		return "PUT"
	case coap.DELETE:
		return "DELETE"
	default: // responses
		return fmt.Sprintf("%d.%02d", c>>5, c&31)
	}
}

func optionText(o coap.Option) string {
	name, ok := optionNames[o.ID]
	if !ok {
		name = fmt.Sprintf("option-%d", o.ID)
	}
	if o.ID == coap.Block1 || o.ID == coap.Block2 {
		if block, ok := coap.ParseBlock(o.Value); ok {
			last := "last"
			if block.More {
				last = "more"
			}
			return fmt.Sprintf("%s=%d/%s/%d", name, block.Num, last, block.Size())
		}
	}
	switch {
	case numbers[o.ID] && len(o.Value) <= 8:
		var v [8]byte
		copy(v[8-len(o.Value):], o.Value)
		return fmt.Sprintf("%s=%d", name, binary.BigEndian.Uint64(v[:]))
	case printable(o.Value):
		return fmt.Sprintf("%s=\"%s\"", name, o.Value)
	case len(o.Value) == 0:
		return name + "=empty"
	}
	return name + "=" + hex.EncodeToString(o.Value)
}

func payloadText(b []byte) string {
	switch {
	case printable(b):
		return `"` + string(b) + `"`
	case len(b) > longPayload:
		return hex.EncodeToString(b[:longPayload]) + "..."
	}
	return hex.EncodeToString(b)
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return len(b) > 0
}
