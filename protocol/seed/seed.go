// Package seed derives every random choice of a run from one number.
//
// A run seed is split into named streams ("device/31/jitter"), so that one more
// draw in one part never shifts another. Keys come from streams too, because
// the standard library's key generators ignore the reader they are given (Go
// 1.26) and would make a run unrepeatable.
//
// What this package is not: a source of secrets. A run with real peers draws
// its keys and nonces from crypto/rand and never from a seed.
package seed

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
)

// Bytes returns an endless reader of the bytes of the stream that is named
// part in the run with the given seed. Reads never fail. It is not safe for
// concurrent use.
func Bytes(run uint64, part string) *rand.ChaCha8 {
	return rand.NewChaCha8(sha256.Sum256(fmt.Appendf(nil, "%d/%s", run, part)))
}

// Stream returns the generator of the stream that is named part in the run
// with the given seed: equal arguments give equal draws. It is not safe for
// concurrent use.
func Stream(run uint64, part string) *rand.Rand { return rand.New(Bytes(run, part)) }

// P256 returns a P-256 key whose scalar is the first valid one that r yields,
// 32 bytes a try. It panics when r fails: a seeded reader never does.
//
// ecdsa.GenerateKey cannot be used: it ignores its reader (Go 1.26).
func P256(r io.Reader) *ecdsa.PrivateKey {
	for {
		var scalar [32]byte
		if _, err := io.ReadFull(r, scalar[:]); err != nil {
			panic(fmt.Sprintf("seed: reading a scalar: %v", err))
		}
		// Fails only for zero and for the 2^-32 share of values that are not
		// below the group order.
		if key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar[:]); err == nil {
			return key
		}
	}
}

// Prime returns a prime of exactly bits bits with its two top bits set, so that
// the product of two has exactly 2*bits bits.
func Prime(r io.Reader, bits int) *big.Int {
	buf := make([]byte, (bits+7)/8)
	for {
		if _, err := io.ReadFull(r, buf); err != nil {
			panic(fmt.Sprintf("seed: reading a prime: %v", err))
		}
		p := new(big.Int).SetBytes(buf)
		p.SetBit(p, bits-1, 1).SetBit(p, bits-2, 1).SetBit(p, 0, 1)
		if p.ProbablyPrime(20) {
			return p
		}
	}
}
