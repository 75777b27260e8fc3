package conformance

import (
	"bytes"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/clock"
)

// A forgedCloud plays the cloud over TCP before a simulated device, with bytes
// that package gen makes. It answers as far as it is told.
type forgedCloud struct {
	*target.RawCloud
	name string
	r    *Recorder

	nonce []byte // nil: it says none
	// answer makes what follows C1, nil for silence; credentials are what it gives.
	answer      func(c1 []byte) []byte
	credentials []byte
	hello       bool // answers Hello
	acks        bool // acknowledges what wants to be

	conns []*cloudConn
}

// A cloudConn is one connection of the device.
type cloudConn struct {
	s        *peer.RawStream
	up, down *gen.Frames
	id       uint16 // of the cloud's last message
	opened   int    // bytes of the device that were read
	messages []heard
	answered bool
}

// withForgedTCP runs a check on a simulated device over TCP before a forged cloud.
func withForgedTCP(e *target.Env, g *target.Group, r *Recorder, f func(c *forgedCloud) error) error {
	p := g.Devices[0].Profile
	raw, err := e.NewRawCloud(p, e.Seed())
	if err != nil {
		return err
	}
	c := &forgedCloud{RawCloud: raw, name: p.String(), r: r, nonce: bytes.Repeat([]byte{0x6e}, nonceSize), hello: true, acks: true}
	c.credentials = make([]byte, 40)
	for i := range c.credentials {
		c.credentials[i] = byte(0x80 + i) // salt a0a1a2…, as in the reference's vector
	}
	c.answer = c.right
	raw.Raw.Flow = c.flow
	if err := f(c); err != nil {
		r.Inconclusive(report.Finding{Device: c.name, Text: err.Error()})
	}
	return nil
}

// right is the answer that proves the cloud.
func (c *forgedCloud) right([]byte) []byte {
	return gen.Answer(rawRSA(c.CloudKey()), rawRSA(c.DeviceRSA()), c.credentials, nil)
}

// expect records a failure unless ok, and returns ok.
func (c *forgedCloud) expect(requirement, what string, ok bool) bool {
	c.r.Judged(1)
	if !ok {
		c.r.Fail(report.Finding{Requirement: requirement, Device: c.name, Text: what, Packets: last(c.Packets(0))})
	}
	return ok
}

// conn returns the connection of a stream.
func (c *forgedCloud) conn(s *peer.RawStream) *cloudConn {
	for _, k := range c.conns {
		if k.s == s {
			return k
		}
	}
	k := &cloudConn{s: s, id: 0x5a00}
	c.conns = append(c.conns, k)
	return k
}

// conn0 returns the first connection of the device, an empty one if it made none.
func (c *forgedCloud) conn0() *cloudConn {
	if len(c.conns) == 0 {
		return &cloudConn{s: &peer.RawStream{Opened: clock.Never, Closed: clock.Never}}
	}
	return c.conns[0]
}

// flow answers what the device says.
func (c *forgedCloud) flow(now clock.Instant, s *peer.RawStream, out *peer.Out) {
	k := c.conn(s)
	all := s.Bytes()
	if len(s.Pieces) == 0 {
		if c.nonce != nil {
			out.Write(s.ID, c.nonce)
		}
		return
	}
	if !k.answered && len(all) >= c1Size {
		k.answered = true
		if c.answer != nil {
			out.Write(s.ID, c.answer(all[:c1Size]))
			k.up, k.down = gen.FramesFrom(c.credentials), gen.FramesFrom(c.credentials)
			k.opened = c1Size
		}
	}
	if k.up != nil {
		k.read(now, c, out)
	}
}

// read opens the frames of the device and answers them.
func (k *cloudConn) read(now clock.Instant, c *forgedCloud, out *peer.Out) {
	for rest := k.s.Bytes()[k.opened:]; len(rest) >= 2; rest = k.s.Bytes()[k.opened:] {
		n := 2 + int(rest[0])<<8 + int(rest[1])
		if n > len(rest) {
			return
		}
		k.opened += n
		m, ok := k.up.Open(rest[:n])
		if !ok {
			k.messages = append(k.messages, heard{at: now})
			continue
		}
		k.messages = append(k.messages, heard{at: now, wire: m})
		switch {
		case len(m) < 4:
		case len(k.messages) == 1:
			if c.hello {
				k.say(gen.CoAP{Type: gen.NonConfirmable, Code: 2, Options: gen.Path("h")}.Bytes(), out)
			}
		case m[0]>>4 == 4 && c.acks:
			out.Write(k.s.ID, k.down.Seal([]byte{0x60, 0, m[2], m[3]}))
		}
	}
}

// say sends a message with the next message ID.
func (k *cloudConn) say(message []byte, out *peer.Out) {
	k.id++
	out.Write(k.s.ID, k.down.Seal(gen.Set(message, 2, byte(k.id>>8), byte(k.id))))
}

// spoke reports whether the device sent a frame, and any bytes behind C1.
func (k *cloudConn) spoke() bool { return len(k.s.Bytes()) > c1Size }
