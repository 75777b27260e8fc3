package fleet

import (
	"context"
	"crypto/rsa"
	"fmt"
	"math/big"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/seed"
)

// primes make RSA keys for tests out of a small pool of primes: every two of them
// are a key, so that a few hundred give each of many thousand devices a key of its
// own, for little more than a multiplication.
//
// Keys that share primes are no secrets: the greatest common divisor of two moduli
// tells the primes of both. They are made of seeds only, which are none either.
type primes struct {
	run  uint64
	list atomic.Pointer[[]*big.Int] // of primeBits, the two top bits set
}

func (p *primes) all() []*big.Int {
	if list := p.list.Load(); list != nil {
		return *list
	}
	return nil
}

const (
	primeBits   = 512
	rsaExponent = 65537
)

// A pair is a key: the numbers of two primes, the greater first.
type pair struct{ high, low uint32 }

// next returns the pair after p. The order is 1,0 2,0 2,1 3,0 and so on: more
// primes do not change it.
func (p pair) next() pair {
	if p.low+1 < p.high {
		return pair{p.high, p.low + 1}
	}
	return pair{p.high + 1, 0}
}

// grow makes primes until there are n, on all cores. Each follows from its number.
func (p *primes) grow(ctx context.Context, n int, progress func(done, of int)) error {
	old := p.all()
	have := len(old)
	if have >= n {
		return nil
	}
	list := append(old[:have:have], make([]*big.Int, n-have)...)
	another := oneByOne(n-have, progress)
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n-have) {
		wait.Go(func() {
			for ctx.Err() == nil {
				i := have + int(next.Add(1)) - 1
				if i >= n {
					return
				}
				list[i] = seed.Prime(seed.Bytes(p.run, fmt.Sprintf("prime/%d", i)), primeBits)
				another()
			}
		})
	}
	wait.Wait()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("fleet: making primes: %w", err)
	}
	p.list.Store(&list)
	return nil
}

// key returns the key of a pair; nil if a device could not read it.
func (p *primes) key(at pair) *rsa.PrivateKey {
	key := p.slow(at)
	if key != nil {
		key.Precompute()
	}
	return key
}

// slow is key without what makes the key fast to use.
func (p *primes) slow(at pair) *rsa.PrivateKey {
	list := p.all()
	a, b, one := list[at.high], list[at.low], big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(a, one), new(big.Int).Sub(b, one))
	d := new(big.Int).ModInverse(big.NewInt(rsaExponent), phi)
	if d == nil {
		return nil // e divides phi
	}
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(a, b), E: rsaExponent},
		D:         d, Primes: []*big.Int{a, b},
	}
	if !lightssl.Nominal(key) {
		return nil
	}
	return key
}

// assign returns the pairs of the next n keys, from the pair from on.
func (p *primes) assign(ctx context.Context, from pair, n int, progress func(done, of int)) (list []pair, next pair, err error) {
	for at := from; len(list) < n; at = at.next() {
		if int(at.high) >= len(p.all()) {
			// Each prime makes as many keys as there were before it.
			more := len(p.all()) + 1
			for keys := more - 1; keys < n-len(list); more++ {
				keys += more
			}
			if err := p.grow(ctx, more, progress); err != nil {
				return nil, from, err
			}
		}
		if p.slow(at) != nil {
			list = append(list, at)
		}
		next = at.next()
		if err := ctx.Err(); err != nil {
			return nil, from, fmt.Errorf("fleet: making RSA keys: %w", err)
		}
	}
	return list, next, nil
}
