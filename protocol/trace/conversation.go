package trace

import (
	"hash/fnv"
	"slices"

	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// Bounds for what is remembered of each direction of a conversation.
const (
	sentMax   = 512
	tokensMax = 256
)

// A Conversation is what both sides of a session have said, as far as later
// messages may refer to it. The zero value is the beginning of one.
type Conversation struct {
	voices [2]voice // by direction
}

// A voice is one side of a conversation.
type voice struct {
	byID   map[uint16]*sent
	ids    []uint16 // in order, the oldest first
	tokens map[string]*sent
	order  []string
	last   map[pdc.Kind]*sent // of the kinds that later messages join
}

// sent is one message that was sent, in all its transmissions.
type sent struct {
	hash     uint64
	kind     pdc.Kind
	of       pdc.Kind
	exchange uint64
	root     pdc.Kind
	event    string
	count    int // transmissions
	answers  int // acknowledgements and resets seen
}

// Hear takes the next message of one side and finds out its kind and what it
// answers or repeats. A new exchange gets the next number of exchanges.
func (v *Conversation) Hear(t Transport, d Direction, m *Message, exchanges *uint64) {
	mine, theirs := &v.voices[d], &v.voices[d.Other()]
	up := d == Up
	m.Block = blockOf(m.CoAP)
	switch m.CoAP.Type {
	case coap.Acknowledgement, coap.Reset:
		matchReply(t, up, m, theirs)
	default:
		hash := hashOf(m.Wire)
		if before := mine.byID[m.CoAP.ID]; before != nil && before.hash == hash {
			m.Repeat = before.count
			before.count++
			m.Kind, m.Of, m.Exchange, m.Root, m.Event = before.kind, before.of, before.exchange, before.root, before.event
			break
		}
		matchNew(m, mine, theirs, up, exchanges)
		s := &sent{hash: hash, kind: m.Kind, of: m.Of, exchange: m.Exchange, root: m.Root, event: m.Event, count: 1}
		mine.remember(m.CoAP, s)
	}
	m.Chunk, m.HasChunk = chunkOf(m)
}

// matchNew takes a message of its own ID: a request, a ping, or a separate
// response.
func matchNew(m *Message, mine, theirs *voice, up bool, exchanges *uint64) {
	m.Kind = pdc.Classify(m.CoAP, up)
	var joined *sent
	switch {
	case coap.IsResponse(m.CoAP.Code):
		if joined = theirs.tokens[string(m.CoAP.Token)]; joined != nil {
			m.Kind, m.Of = pdc.ClassifyResponse(joined.kind, m.CoAP), joined.kind
		}
	case m.Kind == pdc.KindServerHello:
		// Over TCP this is what answers a Hello.
		joined = theirs.last[pdc.KindHello]
	case m.Kind == pdc.KindUpdateAck:
		joined = theirs.last[pdc.KindUpdateChunk]
	case m.Block != nil && m.Block.Num > 0:
		joined = mine.last[m.Kind]
	}
	if joined != nil {
		m.Exchange, m.Root, m.Event = joined.exchange, joined.root, joined.event
		return
	}
	*exchanges++
	m.Exchange, m.Root = *exchanges, m.Kind
	if m.Kind == pdc.KindPublish || m.Kind == pdc.KindEventDelivery {
		m.Event = string(m.CoAP.AppendPath(nil, 1))
	}
}

// matchReply takes an ACK or RST, which has the ID of what it is about.
func matchReply(t Transport, up bool, m *Message, theirs *voice) {
	m.Kind = pdc.Classify(m.CoAP, up)
	to := theirs.byID[m.CoAP.ID]
	if t == TCP && up && m.CoAP.Code == coap.Empty && (to == nil || to.answers > 0) {
		// Device OS: over TCP a ping is answered with the next ID of the device.
		if ping := theirs.last[pdc.KindPing]; ping != nil && ping.answers == 0 {
			to = ping
		}
	}
	if to == nil && coap.IsResponse(m.CoAP.Code) {
		to = theirs.tokens[string(m.CoAP.Token)]
	}
	if to == nil {
		return
	}
	if coap.IsResponse(m.CoAP.Code) {
		m.Kind = pdc.ClassifyResponse(to.kind, m.CoAP)
	}
	m.Of, m.Exchange, m.Root, m.Event = to.kind, to.exchange, to.root, to.event
	m.Repeat = to.answers
	to.answers++
}

// remember notes a message for later ones.
func (v *voice) remember(c coap.Message, s *sent) {
	if v.byID == nil {
		v.byID, v.tokens, v.last = map[uint16]*sent{}, map[string]*sent{}, map[pdc.Kind]*sent{}
	}
	if v.byID[c.ID] == nil {
		v.ids = append(v.ids, c.ID)
	}
	v.byID[c.ID] = s
	if len(v.ids) > sentMax {
		delete(v.byID, v.ids[0])
		v.ids = slices.Delete(v.ids, 0, 1)
	}
	switch s.kind {
	case pdc.KindHello, pdc.KindUpdateChunk, pdc.KindPing,
		pdc.KindDescribeRequest, pdc.KindDescribePost, pdc.KindLedgerRequest:
		v.last[s.kind] = s
	default: // nobody asks for the last of these
	}
	if len(c.Token) > 0 && coap.IsRequest(c.Code) {
		token := string(c.Token)
		if v.tokens[token] == nil {
			v.order = append(v.order, token)
		}
		v.tokens[token] = s
		if len(v.order) > tokensMax {
			delete(v.tokens, v.order[0])
			v.order = slices.Delete(v.order, 0, 1)
		}
	}
}

func blockOf(m coap.Message) *Block {
	for _, id := range [...]coap.OptionID{coap.Block1, coap.Block2} {
		if b, ok := m.Block(id); ok {
			return &Block{Option: id, Block: b}
		}
	}
	return nil
}

// chunkOf returns the index of a chunk, from 0, or the count of an UpdateAck.
func chunkOf(m *Message) (uint32, bool) {
	switch m.Kind {
	case pdc.KindUpdateChunk, pdc.KindUpdateAck:
		n, ok := m.CoAP.Uint(coap.ChunkIndex)
		if m.Kind == pdc.KindUpdateChunk {
			n-- // on the wire from 1
		}
		return n, ok
	case pdc.KindChunk:
		c, err := pdc.ParseChunk(m.CoAP)
		return uint32(c.Index), err == nil && c.Fast
	default: // has no index
		return 0, false
	}
}

// hashOf is FNV-1a.
func hashOf(b []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(b) // it never fails
	return h.Sum64()
}
