package traffic

import (
	"encoding/hex"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

// A Line is one packet, or one message of it, as people read it.
type Line struct {
	Serial    uint64    `json:"serial"` // counts the lines of a device, from 1
	At        time.Time `json:"at"`
	Direction string    `json:"direction"` // "up" or "down"
	Transport string    `json:"transport"` // "udp" or "tcp"
	// Bytes is the size of the packet with its IP and UDP or TCP headers, 0 for
	// the second message of one packet and the ones behind it.
	Bytes int    `json:"bytes"`
	What  string `json:"what"` // what the bytes were spent on, see [Row]
	Text  string `json:"text"`
	// Data is what the application said, where it is the application's to say.
	// Claim codes, keys and other secrets travel in system messages, which show
	// none.
	Data string `json:"data,omitempty"`
}

// dataMax bounds the data that a line shows, in bytes.
const dataMax = 256

// What a handshake and bytes that carry no message are called in a ledger.
const (
	whatHandshake = "handshake"
	whatRest      = "rest of a stream"
)

// whatOf names what a message is spent on: the kind of message that began it.
func whatOf(m *trace.Message) string {
	switch {
	case m.Malformed != "":
		return "malformed"
	case m.Exchange == 0:
		return "unmatched"
	case m.Root == pdc.KindPublish && system(m.Event):
		return "system event"
	}
	return m.Root.String()
}

// system reports whether an event's name is reserved: of any case, since Device OS
// compares so.
func system(name string) bool {
	name = strings.ToLower(name)
	return strings.HasPrefix(name, "spark") || strings.HasPrefix(name, "particle")
}

// dataOf returns the data of the application in a message.
func dataOf(m *trace.Message) string {
	if m.Malformed != "" || len(m.CoAP.Payload) == 0 {
		return ""
	}
	switch m.Root {
	case pdc.KindPublish, pdc.KindEventDelivery:
		if system(m.Event) {
			return ""
		}
	case pdc.KindFunctionCall, pdc.KindVariableRequest:
	default:
		return ""
	}
	if m.CoAP.Code == coap.Empty {
		return ""
	}
	data, more := m.CoAP.Payload, ""
	if len(data) > dataMax {
		data, more = data[:dataMax], "…"
	}
	if strings.ContainsFunc(string(data), func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }) {
		return "0x" + hex.EncodeToString(data) + more
	}
	return string(data) + more
}

// parse makes a message of its bytes.
func parse(wire []byte) *trace.Message {
	m := &trace.Message{Wire: wire}
	c, err := coap.Parse(wire)
	if m.CoAP = c; err != nil {
		m.Malformed = err.Error()
	}
	return m
}
