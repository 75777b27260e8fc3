package dtls

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
)

const (
	// masterSize is the length of a master secret (RFC 5246 Section 8.1).
	masterSize = 48
	// keyBlockSize is two keys and two salts (RFC 6655 Section 3: no MAC keys).
	keyBlockSize = 2 * (keySize + saltSize)
)

// A prf is P_SHA256 (RFC 5246 Section 5) with one secret. It is not safe for
// concurrent use.
type prf struct {
	mac hash.Hash
}

func newPRF(secret []byte) prf { return prf{hmac.New(sha256.New, secret)} }

// fill fills out from a label and a seed in two parts.
func (p prf) fill(out []byte, label string, seed1, seed2 []byte) {
	buf := make([]byte, 0, 2*sha256.Size+128)
	buf = append(append(append(buf, label...), seed1...), seed2...)
	seed, a, block := buf, buf[len(buf):], []byte(nil)
	p.mac.Reset()
	p.mac.Write(seed)
	a = p.mac.Sum(a)
	for len(out) > 0 {
		p.mac.Reset()
		p.mac.Write(a)
		p.mac.Write(seed)
		block = p.mac.Sum(block[:0])
		if out = out[copy(out, block):]; len(out) > 0 {
			p.mac.Reset()
			p.mac.Write(a)
			a = p.mac.Sum(a[:0])
		}
	}
}

// master returns the master secret. With a session hash it is the extended one
// (RFC 7627 Section 4).
//
// Device OS: never extended, also when the server sends extension 23.
func master(premaster []byte, client, server *[randomSize]byte, sessionHash []byte) (m [masterSize]byte) {
	p := newPRF(premaster)
	if sessionHash != nil {
		p.fill(m[:], "extended master secret", sessionHash, nil)
	} else {
		p.fill(m[:], "master secret", client[:], server[:])
	}
	return m
}

// keyBlock returns the key block (RFC 5246 Section 6.3) of a master secret.
func (p prf) keyBlock(client, server *[randomSize]byte) (block [keyBlockSize]byte) {
	p.fill(block[:], "key expansion", server[:], client[:])
	return block
}

// The labels of Finished (RFC 5246 Section 7.4.9).
const (
	labelClient = "client finished"
	labelServer = "server finished"
)

// verifyData returns the body of Finished for a master secret and the hash of a
// transcript.
func (p prf) verifyData(label string, transcript []byte) (v [verifySize]byte) {
	p.fill(v[:], label, transcript, nil)
	return v
}
