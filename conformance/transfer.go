package conformance

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// A transfer is an update by OTA protocol v3 that a puppet cloud sends, chunk by
// chunk as it is told.
type transfer struct {
	c     *target.PuppetCloud
	image []byte
	sha   []byte // announced; nil: none
	size  uint32 // of a chunk
	drop  bool   // Discard-Data

	offset uint32
	sent   uint32 // chunks, copies included
	began  clock.Instant
}

// chunkSize is that of transfers which are about something else.
const chunkSize = 512

func newTransfer(c *target.PuppetCloud, image []byte) *transfer {
	sum := sha256.Sum256(image)
	return &transfer{c: c, image: image, sha: sum[:], size: chunkSize}
}

// errNoAnswer says that a device did not answer a request at all.
var errNoAnswer = errors.New("the device does not answer")

// answer sends a request with that token and returns the separate response.
func answer(c *target.PuppetCloud, m pdc.Message, token byte) (coap.Message, error) {
	mark := c.Now()
	c.Tell(m)
	answers := func() []peer.Message {
		return heardOf(c.Heard(mark), func(h peer.Message) bool {
			return coap.IsResponse(h.CoAP.Code) && len(h.CoAP.Token) == 1 && h.CoAP.Token[0] == token
		})
	}
	if !c.Patient(func() bool { return len(answers()) > 0 }) {
		return coap.Message{}, fmt.Errorf("%w %v", errNoAnswer, m)
	}
	return answers()[0].CoAP, nil
}

// start offers the image. The error is one if the device does not answer; a
// refusal is in the response.
func (t *transfer) start() (pdc.UpdateStartResponse, error) {
	t.began = t.c.Now()
	m, err := answer(t.c, pdc.UpdateStart{Token: []byte{0xb1}, FileSize: uint32(len(t.image)), SHA256: t.sha, ChunkSize: t.size, DiscardData: t.drop}, 0xb1)
	if err != nil {
		return pdc.UpdateStartResponse{}, err
	}
	r, err := pdc.ParseUpdateStartResponse(m)
	t.offset = r.Offset
	return r, err
}

// count is the number of chunks from the offset on.
func (t *transfer) count() uint32 {
	return (uint32(len(t.image)) - t.offset + t.size - 1) / t.size
}

// chunk sends the chunk of that index, from 1.
func (t *transfer) chunk(index uint32) {
	at := t.offset + (index-1)*t.size
	t.send(index, t.image[at:min(at+t.size, uint32(len(t.image)))])
}

func (t *transfer) send(index uint32, data []byte) {
	wire := pdc.UpdateChunk{Index: index, Data: data}.Message(t.c.Profile.Dialect())
	wire.ID = t.c.Peer.NextID()
	t.sent++
	t.c.Whisper(wire.Append(nil))
	t.c.Run(0)
}

// all sends every chunk. What gets lost on a network that is not virtual it sends again.
func (t *transfer) all() {
	mark := t.c.Now()
	for i := uint32(1); i <= t.count(); i++ {
		t.chunk(i)
	}
	for range lostMost {
		have := t.acknowledged(mark)
		if t.c.Sees(target.VirtualTime) || have >= t.count() {
			return
		}
		if t.c.Settle(time.Second); t.acknowledged(mark) == have && have < t.count() {
			t.chunk(have + 1)
		}
	}
}

// lostMost is how often a chunk is sent again.
const lostMost = 20

// acknowledged is how many chunks the device says that it has without a gap.
func (t *transfer) acknowledged(mark clock.Instant) (count uint32) {
	for _, m := range heardOf(t.c.Heard(mark), asks(coap.POST, "A")) {
		if a, err := pdc.ParseUpdateAck(m.CoAP); err == nil {
			count = max(count, a.Count)
		}
	}
	return count
}

// finish ends the transfer and returns the device's answer.
func (t *transfer) finish() (pdc.UpdateFinishResponse, error) {
	m, err := answer(t.c, pdc.UpdateFinish{Token: []byte{0xb2}}, 0xb2)
	if err != nil {
		return pdc.UpdateFinishResponse{}, err
	}
	return pdc.ParseUpdateFinishResponse(m)
}

// cancel ends the transfer without applying it.
func (t *transfer) cancel(discard bool) (pdc.UpdateFinishResponse, error) {
	m, err := answer(t.c, pdc.UpdateFinish{Token: []byte{0xb2}, Cancel: true, DiscardData: discard}, 0xb2)
	if err != nil {
		return pdc.UpdateFinishResponse{}, err
	}
	return pdc.ParseUpdateFinishResponse(m)
}

// begin offers the image and expects that it is accepted.
func (t *transfer) begin() error {
	r, err := t.start()
	if err == nil && r.Refused != 0 {
		err = fmt.Errorf("the device refuses the update: %v %v", r.Refused, r.Diagnostic)
	}
	return err
}
