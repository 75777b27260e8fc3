package trace

import (
	"fmt"

	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// A Message is a CoAP message and what it is about.
type Message struct {
	// Wire are the decrypted bytes; CoAP aliases them. CoAP is not valid when
	// Malformed is not empty.
	Wire      []byte
	CoAP      coap.Message
	Malformed string

	// Kind is that of the message itself; Of that of the message which it answers
	// or acknowledges, KindInvalid when there is none.
	Kind, Of pdc.Kind

	// Exchange numbers what belongs together, from 1: a request, its
	// acknowledgement, its response and that one's acknowledgement share it,
	// retransmissions included. A transfer in blocks is one exchange, and an
	// UpdateAck belongs to that of the last chunk. 0 for a reply to nothing that
	// was seen.
	Exchange uint64
	// Root is the kind of the message that began the exchange, Event its name if
	// that is an event.
	Root  pdc.Kind
	Event string

	// Repeat counts the transmissions before this one of the same message.
	Repeat int
	// Block is the block of a transfer in blocks, nil for none.
	Block *Block
	// Chunk is the index of an OTA chunk from 0, or the count of an
	// acknowledgement of chunks; meaningful when HasChunk.
	Chunk    uint32
	HasChunk bool
}

// A Block is a piece of a body (RFC 7959).
type Block struct {
	Option coap.OptionID // Block1 or Block2
	coap.Block
}

// String returns number, size and whether more follow.
func (b *Block) String() string {
	last := "last"
	if b.More {
		last = "more"
	}
	return fmt.Sprintf("block %d/%s/%d", b.Num, last, b.Size())
}

// Parse reads the message with the parser of its kind.
func (m *Message) Parse() (pdc.Message, error) { return pdc.Parse(m.Kind, m.CoAP) }

// String returns type, code, ID, path and kind, without application data.
func (m *Message) String() string {
	if m.Malformed != "" {
		return fmt.Sprintf("malformed CoAP, %d bytes: %s", len(m.Wire), m.Malformed)
	}
	c := &m.CoAP
	s := fmt.Sprintf("%s %s mid=%04x", typeText(c.Type), codeText(c.Code), c.ID)
	if c.Has(coap.URIPath) {
		s += " " + pathText(c.Path())
	}
	if len(c.Payload) > 0 {
		s += fmt.Sprintf(" payload[%d]", len(c.Payload))
	}
	s += " (" + m.Kind.String()
	if m.Of != pdc.KindInvalid {
		s += " of " + m.Of.String()
	}
	s += ")"
	if m.Block != nil {
		s += " " + m.Block.String()
	}
	if m.HasChunk {
		s += fmt.Sprintf(" chunk %d", m.Chunk)
	}
	if m.Repeat > 0 {
		s += fmt.Sprintf(" again (%d)", m.Repeat+1)
	}
	return s
}
