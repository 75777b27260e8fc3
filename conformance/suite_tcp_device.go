package conformance

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
)

func checkC1(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgedTCP(e, g, r, func(c *forgedCloud) error {
		c.answer = nil
		c.PowerOn()
		c.Within(time.Minute, func() bool { return len(c.conns) > 1 && len(c.conns[1].s.Bytes()) >= c1Size }) // it gives up after 20 s, and comes again
		if !c.expect("R-15", "the device connects again when it gets no answer", len(c.conns) >= 2) {
			return nil
		}
		id := c.DeviceID()
		want := gen.Cat(c.nonce, id[:], rawRSA(c.DeviceRSA()).SPKI())
		var all [][]byte
		for _, k := range c.conns[:2] {
			c1 := k.s.Bytes()
			if !Equal(r, "R-15", c.name, "bytes of C1", len(c1), c1Size) {
				return nil
			}
			all = append(all, c1)
			block := rawRSA(c.CloudKey()).Private(c1)
			padding := block[2 : len(block)-len(want)-1]
			c.expect("R-15", "C1 is a block of type 2 with 39 bytes of padding, none of them zero",
				block[0] == 0 && block[1] == 2 && len(padding) == 39 && !bytes.Contains(padding, []byte{0}) && block[2+39] == 0)
			c.expect("R-15", "C1 holds nonce, id and key at their offsets", bytes.Equal(block[len(block)-len(want):], want))
		}
		c.expect("R-15", "the padding is drawn anew for every C1", !bytes.Equal(all[0], all[1]))
		return nil
	})
}

func checkCloudProof(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for what, bend := range inOrder(map[string]struct {
		requirement string
		answer      func(c *forgedCloud) []byte
	}{
		"an S with a flipped bit": {"R-16", func(c *forgedCloud) []byte { return gen.Flip(c.right(nil), answerSize-1, 0) }},
		"an S by another key": {"R-16", func(c *forgedCloud) []byte {
			return gen.Answer(rawRSA(otherKeys().cloud), rawRSA(c.DeviceRSA()), c.credentials, nil)
		}},
		"an S with a DigestInfo": {"R-16", func(c *forgedCloud) []byte {
			c2 := c.right(nil)[:c2Size]
			info := gen.Cat(gen.Hex("3021300906052b0e03021a05000414"), gen.CredentialsMAC(c.credentials, c2))
			return gen.Cat(c2, rawRSA(c.CloudKey()).Private(gen.SignatureBlock(c1Size, info)))
		}},
		"a C2 that does not decrypt": {"R-17", func(c *forgedCloud) []byte { return gen.Cat(bytes.Repeat([]byte{0x17}, c2Size), c.right(nil)[c2Size:]) }},
		"an answer of other bytes":   {"R-17", func(*forgedCloud) []byte { return bytes.Repeat([]byte{0x2a}, answerSize) }},
	}) {
		err := withForgedTCP(e, g, r, func(c *forgedCloud) error {
			c.answer = func([]byte) []byte { return bend.answer(c) }
			c.PowerOn()
			closed := func() bool { return c.conn0().s.Closed != clock.Never }
			if !c.Within(2*time.Second, closed) {
				c.Patient(closed)
			}
			k := c.conn0()
			c.expect(bend.requirement, what+": the device closes", !k.s.IsOpen())
			c.expect(bend.requirement, what+": the device sends no frame", !k.spoke())
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func checkFirstID(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgedTCP(e, g, r, func(c *forgedCloud) error {
		c.PowerOn()
		c.Run(40 * time.Second) // two pings
		k := c.conn0()
		if !c.expect("R-18", "the device speaks", len(k.messages) > 1) {
			return nil
		}
		hello := k.messages[0].wire
		c.expect("R-18", "the first frame is Hello", len(hello) > 6 && hello[1] == 2 && bytes.Contains(hello, []byte{0xb1, 'h'}))
		const first = 0xa1a0 + 1 // salt a0a1, little-endian, and one
		next := first
		for i, m := range k.messages {
			if !c.expect("R-7", fmt.Sprintf("frame %d begins where the one before it says", i+1), len(m.wire) >= 4) {
				return nil
			}
			if m.wire[0]>>4&3 == gen.Acknowledgement {
				continue
			}
			if !Equal(r, "R-18", c.name, fmt.Sprintf("the ID of message %d", i+1), int(m.wire[2])<<8|int(m.wire[3]), next) {
				return nil
			}
			next++
		}
		return nil
	})
}

// stalledTime is how long checkStalledCloud takes.
const stalledTime = 80 * time.Second

// stall is how long a device waits for bytes over TCP.
const stall = 20 * time.Second

func checkStalledCloud(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	judge := func(c *forgedCloud, what string, k *cloudConn, since clock.Instant) {
		took := k.s.Closed.Sub(since)
		c.expect("R-19", fmt.Sprintf("%s: the device closes after 20 s (it did %s)", what, howLate(k.s.Closed, since)),
			k.s.Closed != clock.Never && took >= stall-slack && took <= stall+slack+c.Tolerance())
	}
	err := withForgedTCP(e, g, r, func(c *forgedCloud) error {
		c.nonce = nil
		c.PowerOn()
		if err := c.Takes(stalledTime); err != nil {
			return err
		}
		c.Run(25 * time.Second)
		judge(c, "no nonce", c.conn0(), c.conn0().s.Opened)
		return nil
	})
	if err != nil {
		return err
	}
	err = withForgedTCP(e, g, r, func(c *forgedCloud) error {
		c.answer = nil
		c.PowerOn()
		c.Run(10 * time.Second)
		k := c.conn0()
		if !c.expect("R-19", "the device sends C1", len(k.s.Pieces) > 0) {
			return nil
		}
		c.Write(k.s, c.right(nil)[:100])
		c.Run(15 * time.Second)
		judge(c, "an answer that trickles", k, k.s.Pieces[0].At)
		return nil
	})
	if err != nil {
		return err
	}
	return withForgedTCP(e, g, r, func(c *forgedCloud) error {
		c.PowerOn()
		c.Calm(time.Second)
		k := c.conn0()
		began := c.Now()
		c.acks = false // no frame follows the one that stalls
		c.Write(k.s, gen.Cat([]byte{0, 64}, bytesOfFF(16)))
		c.Run(10 * time.Second)
		c.Write(k.s, bytesOfFF(16))
		c.Run(15 * time.Second)
		judge(c, "a frame that trickles", k, began)
		return nil
	})
}

// helloPatience is how long a device waits for the answer to its Hello over TCP.
func helloPatience(platform pdc.Platform) time.Duration {
	const core = 0
	if platform == core {
		return 2 * time.Second
	}
	return 4 * time.Second
}

func checkSilentTCPCloud(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	err := withForgedTCP(e, g, r, func(c *forgedCloud) error {
		c.hello, c.acks = false, false
		c.PowerOn()
		c.Run(8 * time.Second)
		k, want := c.conn0(), helloPatience(c.Profile.Board.Platform)
		if !c.expect("R-20", "the device says Hello", len(k.messages) > 0) {
			return nil
		}
		took := k.s.Closed.Sub(k.messages[0].at)
		c.expect("R-20", fmt.Sprintf("the device closes %v after a Hello without answer (it did %s)", want, howLate(k.s.Closed, k.messages[0].at)),
			k.s.Closed != clock.Never && took >= want-100*time.Millisecond && took <= want+time.Second+c.Tolerance())
		return nil
	})
	if err != nil {
		return err
	}
	return withForgedTCP(e, g, r, func(c *forgedCloud) error {
		c.PowerOn()
		c.Run(10 * time.Second)
		k := c.conn0()
		c.acks = false
		if !c.expect("R-21", "the device is connected", k.s.IsOpen() && len(k.messages) > 0) {
			return nil
		}
		c.Act(func(_ clock.Instant, _ *peer.Raw, out *peer.Out) { k.say(ping, out) })
		silent := c.Now()
		c.Run(30 * time.Second)
		pinged := clock.Never
		for _, m := range k.messages {
			if m.at > silent && len(m.wire) == 4 && m.wire[0] == 0x40 {
				pinged = m.at
				break
			}
		}
		after := pinged.Sub(silent)
		c.expect("R-21", fmt.Sprintf("a ping comes 15 s after the last input (it did %s)", howLate(pinged, silent)), after >= 15*time.Second-slack/4 && after <= 16*time.Second+c.Tolerance())
		took := k.s.Closed.Sub(silent)
		c.expect("R-21", fmt.Sprintf("the device closes 10 s after a ping without answer (25 s after the last input; it did %s)", howLate(k.s.Closed, silent)),
			k.s.Closed != clock.Never && took >= 25*time.Second-slack/4 && took <= 27*time.Second+c.Tolerance())
		return nil
	})
}
