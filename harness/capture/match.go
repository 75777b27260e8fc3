package capture

import (
	"slices"

	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

// Bounds for what is remembered of each direction of a conversation.
const (
	sentMax   = 512
	tokensMax = 256
)

// A conversation is what both sides of an association have said, as far as later
// messages may refer to it.
type conversation struct {
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

// match finds out the kind of a message and what it answers or repeats.
func (d *Decoder) match(a *association, p *trace.Packet, m *trace.Message) {
	mine, theirs := &a.voices[p.Direction], &a.voices[p.Direction.Other()]
	up := p.Direction == trace.Up
	m.Block = blockOf(m.CoAP)
	switch m.CoAP.Type {
	case coap.Acknowledgement, coap.Reset:
		d.matchReply(p, m, theirs)
	default:
		hash := hashOf(m.Wire)
		if before := mine.byID[m.CoAP.ID]; before != nil && before.hash == hash {
			m.Repeat = before.count
			before.count++
			m.Kind, m.Of, m.Exchange, m.Root, m.Event = before.kind, before.of, before.exchange, before.root, before.event
			break
		}
		d.matchNew(m, mine, theirs, up)
		s := &sent{hash: hash, kind: m.Kind, of: m.Of, exchange: m.Exchange, root: m.Root, event: m.Event, count: 1}
		mine.remember(m.CoAP, s)
	}
	m.Chunk, m.HasChunk = chunkOf(m)
}

// matchNew takes a message of its own ID: a request, a ping, or a separate
// response.
func (d *Decoder) matchNew(m *trace.Message, mine, theirs *voice, up bool) {
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
	d.exchanges++
	m.Exchange, m.Root = d.exchanges, m.Kind
	if m.Kind == pdc.KindPublish || m.Kind == pdc.KindEventDelivery {
		m.Event = string(m.CoAP.AppendPath(nil, 1))
	}
}

// matchReply takes an ACK or RST, which has the ID of what it is about.
func (d *Decoder) matchReply(p *trace.Packet, m *trace.Message, theirs *voice) {
	up := p.Direction == trace.Up
	m.Kind = pdc.Classify(m.CoAP, up)
	to := theirs.byID[m.CoAP.ID]
	if p.Transport == trace.TCP && up && m.CoAP.Code == coap.Empty && (to == nil || to.answers > 0) {
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

func blockOf(m coap.Message) *trace.Block {
	for _, id := range [...]coap.OptionID{coap.Block1, coap.Block2} {
		if b, ok := m.Block(id); ok {
			return &trace.Block{Option: id, Block: b}
		}
	}
	return nil
}

// chunkOf returns the index of a chunk, from 0, or the count of an UpdateAck.
func chunkOf(m *trace.Message) (uint32, bool) {
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
