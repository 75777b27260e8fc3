package conformance

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"sync"
	"time"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/seed"
)

// Sizes of the pieces of the handshake over TCP, in bytes.
const (
	c1Size     = 256
	c2Size     = 128
	answerSize = 384
)

// otherKeys are keys that nobody registered or pins.
var otherKeys = sync.OnceValue(func() (k struct{ device, cloud *rsa.PrivateKey }) {
	k.device = lightssl.GenerateDeviceKey(seed.Bytes(2, "forgery/device"))
	k.cloud = seed.RSA(seed.Bytes(2, "forgery/cloud"), 2048)
	return k
})

// otherECKey is a key over UDP that no device pins.
var otherECKey = sync.OnceValue(func() *ecdsa.PrivateKey { return seed.P256(seed.Bytes(2, "forgery/cloud")) })

// A forgedStream is a device over TCP whose every byte is made by package gen.
type forgedStream struct {
	w        *forgery
	s        *peer.RawStream
	up, down *gen.Frames
	hears    bool     // has subscribed to what it elicits
	given    bool     // was given some of it
	taken    int      // bytes of the cloud's frames that were opened
	id       uint16   // message ID of the last message
	heard    [][]byte // what came before the Hello was answered
}

// dial opens a connection.
func (w *forgery) dial() *forgedStream {
	c := &forgedStream{w: w, s: w.Dial()}
	w.Patient(func() bool { return len(c.nonce()) == nonceSize || c.s.Closed != clock.Never })
	return c
}

// nonce is what the cloud said first.
func (c *forgedStream) nonce() []byte {
	all := c.s.Bytes()
	return all[:min(len(all), nonceSize)]
}

// answer is what the cloud said after the nonce and before the frames.
func (c *forgedStream) answer() []byte {
	all := c.s.Bytes()
	return all[min(len(all), nonceSize):min(len(all), nonceSize+answerSize)]
}

// c1 is the right C1, with or without the device's key.
func (c *forgedStream) c1(withKey bool) []byte {
	var spki []byte
	if withKey {
		spki = rawRSA(c.w.DeviceRSA()).SPKI()
	}
	return c.c1Of(c.nonce(), spki)
}

// c1Of is a C1 with another nonce or key.
func (c *forgedStream) c1Of(nonce, spki []byte) []byte {
	id := c.w.DeviceID()
	return gen.C1(rawPublic(c.w.CloudRSA()), nonce, id[:], spki, nil)
}

// credentials decrypts C2 of the answer, nil if it is not right.
func (c *forgedStream) credentials() []byte {
	if len(c.answer()) < answerSize {
		return nil
	}
	block := rawRSA(c.w.DeviceRSA()).Private(c.answer()[:c2Size])
	const size = 40
	padding := block[2 : len(block)-size-1]
	if !bytes.HasPrefix(block, []byte{0, 2}) || bytes.IndexByte(padding, 0) >= 0 || block[len(block)-size-1] != 0 {
		return nil
	}
	return block[len(block)-size:]
}

// signed reports whether S signs the credentials without a DigestInfo.
func (c *forgedStream) signed(credentials []byte) bool {
	mac := gen.CredentialsMAC(credentials, c.answer()[:c2Size])
	return bytes.Equal(rawPublic(c.w.CloudRSA()).Public(c.answer()[c2Size:]), gen.SignatureBlock(c1Size, mac))
}

// offer sends C1 in pieces and waits for the answer, or for the end: RSA takes some clouds
// long.
func (c *forgedStream) offer(pieces ...[]byte) {
	c.w.Write(c.s, pieces...)
	c.w.Patient(func() bool { return len(c.answer()) == answerSize || !c.s.IsOpen() })
}

// shake sends C1 in pieces and takes the answer.
func (c *forgedStream) shake(pieces ...[]byte) error {
	c.offer(pieces...)
	credentials := c.credentials()
	if credentials == nil {
		return errors.New("the cloud does not answer C1")
	}
	c.up, c.down = gen.FramesFrom(credentials), gen.FramesFrom(credentials)
	c.id = uint16(credentials[33])<<8 | uint16(credentials[32])
	return nil
}

// greet says Hello, and describes itself when it is asked to.
func (c *forgedStream) greet() {
	c.tell(c.w.Hello().Message(c.w.Profile.Dialect()).Append(nil))
	c.w.Patient(func() bool { return c.waiting() > 0 || !c.s.IsOpen() })
	messages, _ := c.frames()
	for _, m := range messages {
		c.heard = append(c.heard, m)
		if reply := replyTo(m); reply != nil {
			c.w.Write(c.s, c.up.Seal(reply))
		}
	}
}

// streamOnline returns a forged device over TCP that has said Hello.
func (w *forgery) streamOnline() (*forgedStream, error) {
	c := w.dial()
	if err := c.shake(c.c1(true)); err != nil {
		return nil, err
	}
	c.greet()
	return c, nil
}

// tell sends a message with the next message ID, and returns the ID.
func (c *forgedStream) tell(message []byte) uint16 {
	c.id++
	c.w.Write(c.s, c.up.Seal(gen.Set(message, 2, byte(c.id>>8), byte(c.id))))
	return c.id
}

// elicit does what forged.elicit does.
func (c *forgedStream) elicit(name string, data []byte) {
	if c.w.Sees(target.Prompting) {
		c.w.Event(name, data)
		return
	}
	name += c.w.Salt() // others of the account hear it too
	if !c.hears {
		c.hears = true
		c.tell(subscribing(name))
	}
	before := c.waiting()
	c.tell(publishing(name, data))
	// An acknowledgement comes, and the event.
	if !c.w.Within(elicitTime, func() bool { return c.waiting() > before+1 }) && !c.given {
		_ = c.w.Needs(target.Prompting) // it does not give devices their own events
	}
	c.given = true
}

// waiting counts the frames that frames has not returned.
func (c *forgedStream) waiting() int {
	n := 0
	for rest := c.s.Bytes()[nonceSize+answerSize+c.taken:]; len(rest) >= 2; n++ {
		size := 2 + int(rest[0])<<8 + int(rest[1])
		if size > len(rest) {
			break
		}
		rest = rest[size:]
	}
	return n
}

// frames returns the messages of the cloud since the last call, and whether each
// frame is as it has to be. An acknowledgement is sent for none: over TCP nobody
// waits for one.
func (c *forgedStream) frames() (messages [][]byte, ok bool) {
	rest := c.s.Bytes()[nonceSize+answerSize+c.taken:]
	for len(rest) >= 2 {
		n := 2 + int(rest[0])<<8 + int(rest[1])
		if n > len(rest) {
			return messages, false
		}
		plaintext, opened := c.down.Open(rest[:n])
		if !opened {
			return messages, false
		}
		messages = append(messages, plaintext)
		c.taken += n
		rest = rest[n:]
	}
	return messages, len(rest) == 0
}

// closed reports whether the cloud has closed within a second, without a byte
// behind the first n.
func (c *forgedStream) closed(n int) bool {
	c.w.Within(time.Second, func() bool { return !c.s.IsOpen() })
	return !c.s.IsOpen() && len(c.s.Bytes()) == n
}
