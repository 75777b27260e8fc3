package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/clock"
)

func tcpSuite() Suite {
	return Suite{
		Name: "tcp",
		Text: "the key exchange and the frames of the TCP transport, to the byte, in virtual time",
		Checks: []Check{
			{
				Name: "nonce", Text: "40 random bytes come first and unasked, and nothing more until C1",
				Provoke: "a puppet connects twice and says nothing", Observe: "the bytes of either stream over 20 s",
				Requirements: []string{"R-1"}, Skip: onlyTCP, Run: checkNonce,
			},
			{
				Name: "answer", Text: "C1 is taken byte by byte, and answered with C2 and an S that a device accepts",
				Provoke: "a puppet sends C1 one byte at a time", Observe: "C2 decrypted with the device's key, S verified against it",
				Requirements: []string{"R-2", "R-3"}, Skip: onlyTCP, Run: checkAnswer,
			},
			{
				Name: "refusals", Text: "each bad C1 ends in a close without a byte",
				Provoke:      "puppets send another nonce, what does not decrypt, too little, an unknown id, another key",
				Observe:      "the end of each stream, and that nothing follows the nonce",
				Requirements: []string{"R-4"}, Skip: onlyTCP, Run: checkRefusals,
			},
			{
				Name: "core-form", Text: "the form of C1 without a key is answered under the registered key",
				Provoke: "a puppet sends the short C1", Observe: "C2 decrypted with the registered key",
				Requirements: []string{"R-5"}, Skip: onlyTCP, Run: checkCoreForm,
			},
			{
				Name: "registered-key", Text: "a key that is offered for a registered id changes nothing",
				Provoke: "a puppet offers another key twice, then the registered one", Observe: "who gets an answer",
				Requirements: []string{"R-6"}, Skip: onlyTCP, Run: checkRegisteredKey,
			},
			{
				Name: "frames", Text: "frames of every length are chained and padded as they have to be, both ways",
				Provoke:      "a puppet sends messages of many lengths, and the cloud is made to",
				Observe:      "every frame of the cloud, opened by another implementation, and the acknowledgements in them",
				Requirements: []string{"R-7", "R-8"}, Skip: onlyTCP, Run: checkFrames,
			},
			{
				Name: "whole-length", Text: "no segment ends between the two bytes of a frame's length",
				Provoke: "the cloud is made to send many frames", Observe: "where the writes of the cloud end",
				Requirements: []string{"R-9"}, Skip: onlyTCP, Run: checkWholeLength,
			},
			{
				Name: "bad-frames", Text: "a frame of a bad length or with bad padding ends the connection within a second",
				Provoke: "a puppet that is connected sends one", Observe: "the end of the stream, and that no frame follows",
				Requirements: []string{"R-10"}, Skip: onlyTCP, Run: checkForgedFrames,
			},
			{
				Name: "first-message", Text: "a connection that does not begin with Hello is closed",
				Provoke: "a puppet pings before it has said Hello", Observe: "the end of the stream, and that no frame is sent",
				Requirements: []string{"R-11"}, Skip: onlyTCP, Run: checkFirstMessage,
			},
			{
				Name: "hello", Text: "Hello is answered within four seconds, and a ping with its own message id",
				Provoke: "a puppet says Hello and pings", Observe: "when the answers come, and their bytes",
				Requirements: []string{"R-12", "R-13"}, Skip: onlyTCP, Run: checkHelloAnswer,
			},
			{
				Name: "stalled-device", Text: "a device that stalls is dropped after 30 s, one that is silent later",
				Provoke: "puppets stop before C1, before Hello and after it", Observe: "when each stream ends",
				Requirements: []string{"R-14"}, Skip: onlyTCP, Run: checkStalledDevice,
			},
			{
				Name: "c1", Text: "C1 holds nonce, id and key at their offsets, under a padding that is new each time",
				Provoke: "a puppet cloud gives the same nonce twice", Observe: "both C1, decrypted with the cloud's key",
				Requirements: []string{"R-15"}, Skip: onlyTCP, Run: checkC1,
			},
			{
				Name: "cloud-proof", Text: "a device refuses an answer that does not prove the cloud, and sends no frame",
				Provoke:      "puppet clouds answer with a bent S and with a C2 that does not decrypt",
				Observe:      "the end of the stream, and that nothing follows C1",
				Requirements: []string{"R-16", "R-17"}, Skip: onlyTCP, Run: checkCloudProof,
			},
			{
				Name: "first-id", Text: "Hello is the first frame, with the message id of the salt, and the next ones count on",
				Provoke: "a puppet cloud gives credentials with a known salt", Observe: "the message ids in the device's frames",
				Requirements: []string{"R-7", "R-18"}, Skip: onlyTCP, Run: checkFirstID,
			},
			{
				Name: "stalled-cloud", Text: "a device gives a cloud that stalls 20 s, whatever trickles in",
				Provoke: "puppet clouds stop before the nonce, in the answer and in a frame", Observe: "when the device closes",
				Requirements: []string{"R-19"}, Skip: onlyTCP, Run: checkStalledCloud,
			},
			{
				Name: "silent-cloud", Text: "a device closes 4 s after a Hello without answer, and 10 s after a ping without one",
				Provoke: "puppet clouds fall silent before and after the Hello's answer", Observe: "when the device pings, and when it closes",
				Requirements: []string{"R-20", "R-21"}, Skip: onlyTCP, Run: checkSilentTCPCloud,
			},
		},
	}
}

func checkNonce(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		a, b := w.dial(), w.dial()
		w.Run(20 * time.Second)
		for _, c := range []*forgedStream{a, b} {
			Equal(r, "R-1", w.name, "bytes that the cloud says unasked", len(c.s.Bytes()), nonceSize)
			if len(c.s.Pieces) > 0 {
				w.expect("R-1", "the nonce comes within 5 s", c.s.Pieces[0].At.Sub(c.s.Opened) <= 5*time.Second)
			}
		}
		w.expect("R-1", "two connections begin with different nonces", !bytes.Equal(a.nonce(), b.nonce()))
		return nil
	})
}

func checkAnswer(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		whole, pieces := w.dial(), w.dial()
		whole.offer(whole.c1(true))
		var bytewise [][]byte
		for _, b := range pieces.c1(true) {
			bytewise = append(bytewise, []byte{b})
		}
		pieces.offer(bytewise...)
		Equal(r, "R-2", w.name, "bytes of the answer to C1 byte by byte", len(pieces.answer()), answerSize)
		Equal(r, "R-3", w.name, "bytes of the answer to C1", len(whole.s.Bytes())-nonceSize, answerSize)
		credentials := whole.credentials()
		if w.expect("R-3", "C2 holds 40 bytes under the device's key", credentials != nil) {
			w.expect("R-3", "S signs the HMAC of C2 and nothing else", whole.signed(credentials))
			w.expect("R-3", "two connections get different credentials", !bytes.Equal(credentials, pieces.credentials()))
		}
		return nil
	})
}

func checkRefusals(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		id := w.DeviceID()
		cloud, spki := rawPublic(w.CloudRSA()), rawRSA(w.DeviceRSA()).SPKI()
		for what, forge := range inOrder(map[string]func(c *forgedStream) []byte{
			"another nonce":         func(c *forgedStream) []byte { return c.c1Of(gen.Flip(c.nonce(), 39, 0), spki) },
			"C1 without a block":    func(*forgedStream) []byte { return gen.Cat([]byte{0}, bytes.Repeat([]byte{0x5a}, c1Size-1)) },
			"C1 above the modulus":  func(*forgedStream) []byte { return bytesOfFF(c1Size) },
			"a zero in the padding": func(c *forgedStream) []byte { return gen.C1(cloud, c.nonce(), id[:], spki, gen.Flip(ones(39), 3, 0)) },
			"too few bytes":         func(c *forgedStream) []byte { return gen.C1(cloud, c.nonce(), id[:11], nil, nil) },
			"an unknown id":         func(c *forgedStream) []byte { return gen.C1(cloud, c.nonce(), gen.Flip(id[:], 11, 7), spki, nil) },
			"another key":           func(c *forgedStream) []byte { return c.c1Of(c.nonce(), rawRSA(otherKeys().device).SPKI()) },
		}) {
			c := w.dial()
			if len(c.nonce()) < nonceSize {
				return errors.New("the cloud does not speak first")
			}
			c.offer(forge(c))
			w.expect("R-4", what+": the connection ends without a byte", c.closed(nonceSize))
		}
		return nil
	})
}

// ones is n bytes of one, a padding of which one bit makes a zero.
func ones(n int) []byte { return bytes.Repeat([]byte{1}, n) }

func checkCoreForm(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		c := w.dial()
		c.offer(c.c1(false))
		if !Equal(r, "R-5", w.name, "bytes of the answer to the short C1", len(c.answer()), answerSize) {
			return nil
		}
		credentials := c.credentials()
		w.expect("R-5", "C2 is for the registered key", credentials != nil && c.signed(credentials))
		return nil
	})
}

func checkRegisteredKey(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		for _, when := range []string{"once", "twice"} {
			c := w.dial()
			c.offer(c.c1Of(c.nonce(), rawRSA(otherKeys().device).SPKI()))
			w.expect("R-6", "another key, offered "+when+", gets nothing", c.closed(nonceSize))
		}
		c := w.dial()
		c.offer(c.c1(true))
		w.expect("R-6", "the registered key is still the one", c.credentials() != nil)
		return nil
	})
}

// frameLengths are those of messages around the size of a block and the limits of
// releases, in bytes.
var frameLengths = []int{15, 16, 17, 31, 32, 33, 607, 767, 927, 1119}

// eventOf is a Confirmable event whose message has n bytes.
func eventOf(n int) []byte {
	m := gen.CoAP{Type: gen.Confirmable, Code: 2, Options: gen.Path("E", "x")}.Bytes()
	if n <= len(m) {
		return m
	}
	return gen.Cat(m, []byte{0xff}, bytes.Repeat([]byte{'x'}, n-len(m)-1))
}

func checkFrames(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		c, err := w.streamOnline()
		if err != nil {
			return err
		}
		_, ok := c.frames()
		for _, n := range frameLengths {
			id := c.tell(eventOf(n))
			messages, opened := c.frames()
			ok = ok && opened
			w.expect("R-8", fmt.Sprintf("a message of %d bytes is taken and acknowledged", n), acksOf(messages, id) == 1)
		}
		// One of sixteen lengths is a multiple of the block.
		for n := range 16 {
			c.elicit("frames", bytes.Repeat([]byte{'y'}, n))
			messages, opened := c.frames()
			ok = ok && opened && len(messages) > 0
		}
		w.expect("R-7", "every frame of the cloud begins where the one before it says", ok)
		w.expect("R-8", "every frame of the cloud has 1 to 16 bytes of padding", ok)
		return nil
	})
}

// acksOf counts the acknowledgements of an ID.
func acksOf(messages [][]byte, id uint16) int {
	n := 0
	for _, m := range messages {
		if len(m) >= 4 && m[0]>>4 == 6 && m[2] == byte(id>>8) && m[3] == byte(id) {
			n++
		}
	}
	return n
}

func checkWholeLength(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		c, err := w.streamOnline()
		if err != nil {
			return err
		}
		for n := range 16 {
			c.tell(ping)
			c.elicit("frames", bytes.Repeat([]byte{'y'}, n))
		}
		all, begins := c.s.Bytes(), map[int]bool{}
		for at := nonceSize + answerSize; at+2 <= len(all); at += 2 + int(all[at])<<8 + int(all[at+1]) {
			begins[at] = true
		}
		end := 0
		for _, p := range c.s.Pieces {
			end += len(p.Data)
			w.expect("R-9", "a segment ends within a length", !begins[end-1])
		}
		w.expect("R-9", "there are frames", len(begins) > 16)
		return nil
	})
}

func checkForgedFrames(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		for what, forge := range inOrder(map[string]func(c *forgedStream) []byte{
			"no bytes":                           func(*forgedStream) []byte { return []byte{0, 0} },
			"a length that is no multiple of 16": func(*forgedStream) []byte { return gen.Vec(2, bytesOfFF(17)) },
			"more than the limit":                func(c *forgedStream) []byte { return c.up.Seal(make([]byte, 2048)) },
			"a padding of 17":                    func(c *forgedStream) []byte { return c.up.SealPadded(bytes.Repeat([]byte{17}, 32)) },
			"a padding of 0":                     func(c *forgedStream) []byte { return c.up.SealPadded(make([]byte, 16)) },
			"a padding whose bytes differ": func(c *forgedStream) []byte {
				return c.up.SealPadded(gen.Cat(ping, []byte("xxxxxxxxxx"), []byte{3, 2}))
			},
		}) {
			c, err := w.streamOnline()
			if err != nil {
				return err
			}
			before := len(c.s.Bytes())
			w.Write(c.s, forge(c))
			w.expect("R-10", "a frame with "+what+" ends the connection without an answer", c.closed(before))
		}
		return nil
	})
}

func checkFirstMessage(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		c := w.dial()
		if err := c.shake(c.c1(true)); err != nil {
			return err
		}
		c.tell(ping)
		w.expect("R-11", "a ping in place of Hello ends the connection without an answer", c.closed(nonceSize+answerSize))
		return nil
	})
}

func checkHelloAnswer(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		c := w.dial()
		if err := c.shake(c.c1(true)); err != nil {
			return err
		}
		said := w.Now()
		c.greet()
		w.Run(0)
		messages := c.heard
		answered := len(messages) > 0 && len(messages[0]) >= 6 && messages[0][1] == 2 && bytes.Contains(messages[0], []byte{0xb1, 'h'})
		if w.expect("R-12", "a POST to h answers Hello", answered) {
			came := c.firstSince(said)
			w.expect("R-12", fmt.Sprintf("it comes within 4 s (it did %s)", howLate(came, said)), came.Sub(said) < 4*time.Second)
		}
		id := c.tell(ping)
		messages, _ = c.frames()
		want := []byte{0x60, 0, byte(id >> 8), byte(id)}
		found := false
		for _, m := range messages {
			found = found || bytes.Equal(m, want)
		}
		w.expect("R-13", fmt.Sprintf("a ping is answered with % x", want), found)
		return nil
	})
}

// firstSince is when the first bytes behind an instant came.
func (c *forgedStream) firstSince(since clock.Instant) clock.Instant {
	for _, p := range c.s.Pieces {
		if p.At >= since {
			return p.At
		}
	}
	return clock.Never
}

// closedBetween reports whether a stream ended between two times after an instant.
func closedBetween(c *forgedStream, since clock.Instant, earliest, latest time.Duration) bool {
	return c.s.Closed != clock.Never && c.s.Closed.Sub(since) >= earliest && c.s.Closed.Sub(since) <= latest
}

func checkStalledDevice(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		if err := w.Takes(5 * time.Minute); err != nil {
			return err
		}
		c := w.dial()
		w.Run(35 * time.Second)
		w.expect("R-14", "a device that sends no C1 is dropped after 30 s", closedBetween(c, c.s.Opened, 28*time.Second, 32*time.Second))

		c = w.dial()
		if err := c.shake(c.c1(true)); err != nil {
			return err
		}
		answered := w.Now()
		w.Run(35 * time.Second)
		w.expect("R-14", "a device that says no Hello is dropped after 30 s", closedBetween(c, answered, 28*time.Second, 32*time.Second))

		c, err := w.streamOnline()
		if err != nil {
			return err
		}
		greeted := w.Now()
		w.Run(3 * time.Minute)
		w.expect("R-14", "a device that falls silent is dropped, and not before 30 s", closedBetween(c, greeted, 29*time.Second, 2*time.Minute))
		return nil
	})
}
