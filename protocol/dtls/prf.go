package dtls

import (
	"crypto/hmac"
	"crypto/sha256"
)

const (
	// masterSize is the length of a master secret (RFC 5246 Section 8.1).
	masterSize = 48
	// keyBlockSize is two keys and two salts (RFC 6655 Section 3: no MAC keys).
	keyBlockSize = 2 * (keySize + saltSize)
)

// prf fills out with P_SHA256 (RFC 5246 Section 5) of a secret, a label and a
// seed in two parts.
func prf(out, secret []byte, label string, seed1, seed2 []byte) {
	mac := hmac.New(sha256.New, secret)
	seed := make([]byte, 0, 128)
	seed = append(append(append(seed, label...), seed1...), seed2...)
	mac.Write(seed)
	a := mac.Sum(make([]byte, 0, sha256.Size))
	block := make([]byte, 0, sha256.Size)
	for len(out) > 0 {
		mac.Reset()
		mac.Write(a)
		mac.Write(seed)
		block = mac.Sum(block[:0])
		out = out[copy(out, block):]
		if len(out) > 0 {
			mac.Reset()
			mac.Write(a)
			a = mac.Sum(a[:0])
		}
	}
}

// master returns the master secret. With a session hash it is the extended one
// (RFC 7627 Section 4).
//
// Device OS: never extended, also when the server sends extension 23.
func master(premaster []byte, client, server *[randomSize]byte, sessionHash []byte) (m [masterSize]byte) {
	if sessionHash != nil {
		prf(m[:], premaster, "extended master secret", sessionHash, nil)
	} else {
		prf(m[:], premaster, "master secret", client[:], server[:])
	}
	return m
}

// keyBlock returns the key block (RFC 5246 Section 6.3).
func keyBlock(m *[masterSize]byte, client, server *[randomSize]byte) (block [keyBlockSize]byte) {
	prf(block[:], m[:], "key expansion", server[:], client[:])
	return block
}

// The labels of Finished (RFC 5246 Section 7.4.9).
const (
	labelClient = "client finished"
	labelServer = "server finished"
)

// verifyData returns the body of Finished for the hash of a transcript.
func verifyData(m *[masterSize]byte, label string, transcript []byte) (v [verifySize]byte) {
	prf(v[:], m[:], label, transcript, nil)
	return v
}
