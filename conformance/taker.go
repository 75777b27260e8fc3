package conformance

import (
	"bytes"
	"fmt"
	"time"

	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// A taker makes a puppet device take an update, by either protocol. Its fields
// bend it.
type taker struct {
	d *target.PuppetDevice

	offset   uint32          // v3: what it has already
	lose     func() bool     // v3: whether a chunk, or an acknowledgement, is lost; nil: none
	stale    bool            // v3: repeats its first acknowledgement again and again
	held     bool            // keeps its answer to Finish, or to UpdateDone, back
	refusal  pdc.SystemError // is the answer to Finish
	slow     bool            // legacy: without an index
	unready  bool            // legacy: keeps UpdateReady back
	skip     map[int]int     // legacy: chunks that are lost so many times
	spoiled  map[int]int     // legacy, slow: chunks that are refused so many times
	ownsDone bool            // legacy: says UpdateDone itself, as up to 0.7
	log      []string        // what the cloud did, in order
	start    pdc.UpdateStart // v3
	from     uint32          // v3: offset of the transfer that goes on
	begin    pdc.UpdateBegin // legacy
	have     map[uint32]bool // chunks, from 1
	data     []byte          // of the image, as far as it came
	count    uint32          // of chunks
	done     uint32          // v3: chunks without a gap
	early    []string        // requests that came too early
	finish   peer.Message    // v3: its Finish
}

func newTaker(d *target.PuppetDevice) *taker {
	t := &taker{d: d, have: make(map[uint32]bool)}
	d.Peer.SetAnswer(t.answer)
	return t
}

func (t *taker) note(format string, args ...any) { t.log = append(t.log, fmt.Sprintf(format, args...)) }

// within lets so much time pass, on sockets no more than until the cloud has done
// something last.
func (t *taker) within(d time.Duration, last string) {
	t.d.Within(d, func() bool {
		return len(t.log) > 0 && t.log[len(t.log)-1] == last && (t.d.Profile.OTA3() || len(t.missing()) == 0)
	})
	if !t.d.Sees(target.VirtualTime) {
		t.d.Settle(time.Second) // what belongs to it
	}
}

// packets counts the chunk messages of an update since an instant.
func (t *taker) packets(o *target.Outcome, since clock.Instant) int {
	if t.d.Sees(target.Insight) {
		return o.Packets
	}
	return len(heardOf(t.d.Heard(since), asks(coap.POST, "Cc")))
}

// answer is what the puppet answers to a message of an update.
func (t *taker) answer(m peer.Message) (replies [][]byte, handled bool) {
	switch {
	case m.Err != nil:
		return nil, false
	case asks(coap.POST, "S")(m):
		return t.started(m), true
	case asks(coap.POST, "C")(m):
		return t.chunk(m), true
	case asks(coap.POST, "F")(m):
		return t.finished(m), true
	case asks(coap.POST, "u")(m):
		return t.begun(m), true
	case asks(coap.POST, "c")(m):
		return t.legacyChunk(m), true
	case asks(coap.PUT, "u")(m):
		return t.legacyDone(m), true
	}
	return nil, false
}

// message encodes a message of the puppet's own.
func (t *taker) message(m pdc.Message) []byte {
	wire := m.Message(t.d.Dialect)
	wire.ID = t.d.Peer.NextID()
	return wire.Append(nil)
}

func (t *taker) started(m peer.Message) [][]byte {
	s, err := pdc.ParseUpdateStart(m.CoAP)
	if err != nil {
		t.note("a Start that cannot be read: %v", err)
		return [][]byte{peer.Ack(m)}
	}
	t.start, t.from, t.done, t.have = s, t.offset, 0, make(map[uint32]bool)
	t.start.SHA256 = bytes.Clone(s.SHA256)
	t.note("start")
	t.count = (s.FileSize - t.offset + s.ChunkSize - 1) / s.ChunkSize
	t.data = make([]byte, s.FileSize)
	return [][]byte{peer.Ack(m), t.message(pdc.UpdateStartResponse{Token: m.CoAP.Token, Window: 131072 / s.ChunkSize, Offset: t.offset})}
}

func (t *taker) lost() bool { return t.lose != nil && t.lose() }

func (t *taker) chunk(m peer.Message) [][]byte {
	c, err := pdc.ParseUpdateChunk(m.CoAP)
	if err != nil || c.Index == 0 || c.Index > t.count {
		t.note("a chunk that cannot be: %v", err)
		return nil
	}
	if t.lost() {
		return nil
	}
	at := t.from + (c.Index-1)*t.start.ChunkSize
	want := min(t.start.ChunkSize, t.start.FileSize-at)
	if uint32(len(c.Data)) != want {
		t.note("chunk %d of %d bytes, want %d", c.Index, len(c.Data), want)
		return nil
	}
	copy(t.data[at:], c.Data)
	t.have[c.Index] = true
	for t.have[t.done+1] {
		t.done++
	}
	ack := pdc.UpdateAck{Count: t.done}
	if uint32(len(t.have)) > t.done {
		ack.Selective = pdc.SelectiveAfter(t.done, t.count, func(i uint32) bool { return t.have[i] })
	}
	var replies [][]byte
	if !t.lost() {
		replies = append(replies, t.message(ack))
	}
	if t.stale && t.done > 3 {
		replies = append(replies, t.message(pdc.UpdateAck{Count: 1}))
	}
	return replies
}

func (t *taker) finished(m peer.Message) [][]byte {
	t.note("finish")
	if t.done < t.count {
		t.early = append(t.early, fmt.Sprintf("Finish with %d of %d chunks", t.done, t.count))
	}
	t.finish = m
	if t.held {
		return [][]byte{peer.Ack(m)}
	}
	return [][]byte{peer.Ack(m), t.verdict()}
}

// verdict is the answer to Finish.
func (t *taker) verdict() []byte {
	r := pdc.UpdateFinishResponse{Token: t.finish.CoAP.Token, Stats: &pdc.TransferStats{Received: t.count}}
	if t.refusal != 0 {
		r = pdc.UpdateFinishResponse{Token: t.finish.CoAP.Token, Refused: t.refusal.Code(), Diagnostic: pdc.Diagnostic{Code: t.refusal, Message: "no"}}
	}
	return t.message(r)
}

func (t *taker) begun(m peer.Message) [][]byte {
	b, err := pdc.ParseUpdateBegin(m.CoAP)
	if err != nil {
		t.note("an UpdateBegin that cannot be read: %v", err)
		return [][]byte{peer.Ack(m)}
	}
	t.begin, t.have = b, make(map[uint32]bool)
	t.note("begin")
	t.count = (b.Length + uint32(b.ChunkSize) - 1) / uint32(b.ChunkSize)
	t.data = make([]byte, t.count*uint32(b.ChunkSize))
	replies := [][]byte{peer.Ack(m)}
	if !t.unready {
		replies = append(replies, t.ready())
	}
	return replies
}

func (t *taker) ready() []byte {
	return t.message(pdc.UpdateReady{Token: bytes.Clone(t.begin.Token), Fast: !t.slow})
}

func (t *taker) legacyChunk(m peer.Message) [][]byte {
	c, err := pdc.ParseChunk(m.CoAP)
	if err != nil {
		t.note("a chunk that cannot be read: %v", err)
		return nil
	}
	if t.unready {
		t.early = append(t.early, "a chunk before UpdateReady")
	}
	if !t.slow {
		return t.fastChunk(c)
	}
	index := uint32(len(t.have))
	good := pdc.ChunkCRC(c.Data) == c.CRC && t.spoiled[int(index)] == 0
	if !good {
		t.spoiled[int(index)]--
	}
	t.note("chunk %08x %v", c.CRC, good)
	if good {
		copy(t.data[index*uint32(t.begin.ChunkSize):], c.Data)
		t.have[index] = true
	}
	return [][]byte{peer.Ack(m), t.message(pdc.ChunkReceived{Token: m.CoAP.Token, OK: good})}
}

func (t *taker) fastChunk(c pdc.Chunk) [][]byte {
	t.note("chunk %d", c.Index)
	switch {
	case !c.Fast || len(c.Data) != int(t.begin.ChunkSize) || pdc.ChunkCRC(c.Data) != c.CRC:
		t.note("chunk %d is wrong", c.Index)
		return nil
	case t.skip[int(c.Index)] > 0:
		t.skip[int(c.Index)]--
		return nil
	}
	copy(t.data[uint32(c.Index)*uint32(t.begin.ChunkSize):], c.Data)
	t.have[uint32(c.Index)] = true
	if t.ownsDone && uint32(len(t.have)) == t.count {
		return [][]byte{t.message(pdc.DeviceUpdateDone{})}
	}
	return nil
}

// missing are the chunks that have not come.
func (t *taker) missing() []uint16 {
	var list []uint16
	for i := range t.count {
		if !t.have[i] {
			list = append(list, uint16(i))
		}
	}
	return list
}

func (t *taker) legacyDone(m peer.Message) [][]byte {
	t.note("done")
	missing := t.missing()
	switch {
	case len(missing) > 0:
		return [][]byte{peer.Reply(m, coap.BadRequest, nil), t.message(pdc.ChunkMissed{Indices: missing})}
	case t.held:
		return nil
	case t.d.Dialect.System < pdc.OS0_8:
		return [][]byte{peer.Reply(m, coap.Changed, nil)}
	}
	return [][]byte{peer.Reply(m, coap.Changed, fmt.Appendf(nil, `{"r":%d}`, int32(t.refusal)))}
}

// back lets the device come back after its restart, with the flag of a Hello that
// says that the image was applied, or without.
func (t *taker) back(applied bool) error {
	hello := t.d.Hello()
	if applied {
		hello.Flags |= pdc.HelloUpdated
	}
	return t.d.OnlineWith(hello)
}
