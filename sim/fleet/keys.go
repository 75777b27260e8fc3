package fleet

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/sim/device"
)

// Keys are the private keys of the devices of a fleet. It is safe for concurrent
// use.
//
// P-256 keys (UDP) are not held but derived from a secret of the run and the
// device's id when they are asked for: they cost no memory. RSA keys (TCP) take
// some 20 ms of CPU each to make, so they are made ahead, by MakeRSA. Devices may
// share them, where a cloud lets a key belong to several devices. Keys of a seed
// are made of a pool of primes instead, a different key for each device.
type Keys struct {
	source keySource
	rsaMax int

	cache [keyCache]atomic.Pointer[cached]

	making sync.Mutex // held while keys are made, so that no two get one number
	mu     sync.RWMutex
	own    map[device.ID]crypto.PrivateKey // loaded, and RSA
	pool   []*rsa.PrivateKey
	shared int

	primes *primes            // nil: RSA keys have primes of their own
	pairs  map[device.ID]pair // RSA keys of primes
	pair   pair               // of the next key; held by making
}

// keyCache is how many derived keys are kept at hand, for the handshakes that
// are under way.
const keyCache = 1 << 10

type cached struct {
	id  device.ID
	key crypto.PrivateKey
}

// A keySource gives an endless stream of bytes for the keys of one device, or of
// one number in the pool.
type keySource func(name string) io.Reader

// NewKeys returns keys from crypto/rand, for runs with real peers. Of the RSA
// keys there are rsaMax at most, which devices then share; 0: one a device.
func NewKeys(rsaMax int) *Keys {
	var secret [32]byte
	if _, err := rand.Read(secret[:]); err != nil {
		panic("fleet: no random bytes: " + err.Error()) // crypto/rand never fails
	}
	return newKeys(rsaMax, func(name string) io.Reader { return &expander{secret: secret[:], name: name} })
}

// SeededKeys returns keys that are the same for the same seed. Whoever knows the
// seed has them all: they are for tests, in virtual time, and of fleets so large
// that a file for each key is too much. With rsaMax 0 each device over TCP has an RSA
// key of its own, but the keys share primes.
func SeededKeys(run uint64, rsaMax int) *Keys {
	k := newKeys(rsaMax, func(name string) io.Reader { return seed.Bytes(run, "key/"+name) })
	if rsaMax <= 0 {
		k.primes, k.pairs, k.pair = &primes{run: run}, make(map[device.ID]pair), pair{1, 0}
	}
	return k
}

// SeededMark returns the mark of the fleet that has [SeededKeys], for [ID].
func SeededMark(run uint64) uint32 { return seed.Stream(run, "fleet/mark").Uint32() }

func newKeys(rsaMax int, source keySource) *Keys {
	if rsaMax <= 0 {
		rsaMax = math.MaxInt
	}
	return &Keys{source: source, rsaMax: rsaMax, own: make(map[device.ID]crypto.PrivateKey)}
}

// Get returns the key of a device: what Config.Key wants. A device that was
// given none has a P-256 key.
func (k *Keys) Get(id device.ID) crypto.PrivateKey {
	k.mu.RLock()
	key := k.own[id]
	rsaPair, isRSA := k.pairs[id]
	k.mu.RUnlock()
	if key != nil {
		return key
	}
	slot := &k.cache[(int(id[10])<<8|int(id[11]))%keyCache]
	if c := slot.Load(); c != nil && c.id == id {
		return c.key
	}
	c := &cached{id: id}
	if isRSA {
		c.key = k.primes.key(rsaPair)
	} else {
		c.key = seed.P256(k.source(id.String()))
	}
	slot.Store(c)
	return c.key
}

// set gives a device a key.
func (k *Keys) set(id device.ID, key crypto.PrivateKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.own[id] = key
}

// MakeRSA gives RSA keys to devices that have none yet, making as many new ones
// as there may be, on all cores. progress, if not nil, hears how many of the new
// ones are there.
func (k *Keys) MakeRSA(ctx context.Context, ids []device.ID, progress func(done, of int)) error {
	k.making.Lock()
	defer k.making.Unlock()
	k.mu.RLock()
	have := len(k.pool)
	var need []device.ID
	for _, id := range ids {
		if _, paired := k.pairs[id]; !paired && k.own[id] == nil {
			need = append(need, id)
		}
	}
	k.mu.RUnlock()
	if k.primes != nil {
		next, err := k.pairUp(ctx, k.pair, 0, need, progress)
		if err == nil {
			k.pair = next
		}
		return err
	}
	made, err := k.makePool(ctx, have, min(len(need), k.rsaMax-have), progress)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pool = append(k.pool, made...)
	for i, id := range need {
		if i < len(made) {
			k.own[id] = made[i]
			continue
		}
		k.own[id] = k.pool[i%len(k.pool)]
		k.shared++
	}
	return nil
}

// pairUp gives each device a key of two primes: of those from one pair on, without
// the first few, which others have. It returns the pair behind them.
func (k *Keys) pairUp(ctx context.Context, from pair, others int, ids []device.ID, progress func(done, of int)) (pair, error) {
	if progress == nil {
		progress = func(int, int) {}
	}
	list, next, err := k.primes.assign(ctx, from, others+len(ids), progress)
	if err != nil {
		return from, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, id := range ids {
		k.pairs[id] = list[others+i]
	}
	return next, nil
}

// makePool makes n keys, whose numbers begin with first.
func (k *Keys) makePool(ctx context.Context, first, n int, progress func(done, of int)) ([]*rsa.PrivateKey, error) {
	made := make([]*rsa.PrivateKey, max(n, 0))
	var next atomic.Int64
	another := oneByOne(len(made), progress)
	var wait sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(made)) {
		wait.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(made) {
					return
				}
				made[i] = lightssl.GenerateDeviceKey(k.source(fmt.Sprintf("rsa/%d", first+i)))
				another()
			}
		})
	}
	wait.Wait()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("fleet: making RSA keys: %w", err)
	}
	return made, nil
}

// oneByOne returns what several goroutines may call when they have made another of so
// many: progress, if not nil, hears of one after the other.
func oneByOne(of int, progress func(done, of int)) func() {
	if progress == nil {
		return func() {}
	}
	var mu sync.Mutex
	done := 0
	return func() {
		mu.Lock()
		defer mu.Unlock()
		done++
		progress(done, of)
	}
}

// Public returns the public key of a device as a cloud registers it:
// SubjectPublicKeyInfo in DER.
func (k *Keys) Public(id device.ID) []byte {
	switch key := k.Get(id).(type) {
	case *ecdsa.PrivateKey:
		return dtls.SPKI(&key.PublicKey)
	case *rsa.PrivateKey:
		return lightssl.AppendDeviceSPKI(nil, &key.PublicKey)
	default:
		panic("fleet: a key of no known kind")
	}
}

// RSA returns how many different RSA keys there are, and how many devices share
// one with a device before them.
func (k *Keys) RSA() (keys, shared int) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return len(k.pool) + len(k.pairs), k.shared
}

// Primes returns of how many primes the RSA keys are made; 0: of two each.
func (k *Keys) Primes() int {
	if k.primes == nil {
		return 0
	}
	return len(k.primes.all())
}

// An expander derives bytes from a secret: HKDF-Expand (RFC 5869 Section 2.3)
// with SHA-256, the name and a counter of blocks as info.
type expander struct {
	secret []byte
	name   string
	block  int
	rest   []byte
}

// Read never fails.
func (e *expander) Read(b []byte) (int, error) {
	for n := 0; n < len(b); {
		if len(e.rest) == 0 {
			info := fmt.Sprintf("muster device key %s %d", hex.EncodeToString([]byte(e.name)), e.block)
			block, err := hkdf.Expand(sha256.New, e.secret, info, 2*sha256.Size)
			if err != nil {
				return 0, fmt.Errorf("fleet: deriving a key: %w", err)
			}
			e.rest, e.block = block, e.block+1
		}
		c := copy(b[n:], e.rest)
		n, e.rest = n+c, e.rest[c:]
	}
	return len(b), nil
}
