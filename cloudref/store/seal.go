package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// A session lives for weeks, and who reads its record reads its traffic. So
// session records are encrypted where they are stored, with a key that lies in
// a file of its own.
//
// A sealed record:
//
//	0   1   version, 1
//	1   16  salt: names the run of the program that wrote it
//	17  8   counter, big-endian: numbers the records of that run
//	25  …   AES-256-GCM ciphertext and tag
//
// Each run derives its own key from the salt (HKDF-SHA-256), so that a counter
// can serve as nonce: random nonces under one key would have to end after 2^32
// records, which a busy cloud writes in two days.
//
// What this does not do: notice that someone who can write the disk has put
// back an older record of the same device.
const (
	sealVersion = 1
	saltLen     = 16
	sealHeadLen = 1 + saltLen + 8
	keyLen      = 32
)

// errSeal says that a record was not sealed with this key for this place.
var errSeal = errors.New("store: the session record does not decrypt")

type salt [saltLen]byte

// A sealer encrypts and decrypts records. It is safe for concurrent use.
type sealer struct {
	master  [keyLen]byte
	salt    salt // of this run
	aead    cipher.AEAD
	counter atomic.Uint64

	mu    sync.RWMutex
	known map[salt]cipher.AEAD // of runs whose records were read
}

func newSealer(master [keyLen]byte) *sealer {
	s := &sealer{master: master, known: map[salt]cipher.AEAD{}}
	rand.Read(s.salt[:]) // never fails: it ends the program instead
	s.aead = s.derive(s.salt)
	s.known[s.salt] = s.aead
	return s
}

func (s *sealer) derive(run salt) cipher.AEAD {
	key, err := hkdf.Key(sha256.New, s.master[:], run[:], "muster session record", keyLen)
	if err != nil {
		panic(fmt.Sprintf("store: HKDF: %v", err))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(fmt.Sprintf("store: AES: %v", err))
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(fmt.Sprintf("store: GCM: %v", err))
	}
	return aead
}

// keyID names the master key without telling anything of it.
func (s *sealer) keyID() string {
	id, err := hkdf.Key(sha256.New, s.master[:], nil, "muster key id", 8)
	if err != nil {
		panic(fmt.Sprintf("store: HKDF: %v", err))
	}
	return hex.EncodeToString(id)
}

// seal encrypts plain for the place that it will be stored in.
func (s *sealer) seal(place, plain []byte) []byte {
	b := make([]byte, sealHeadLen, sealHeadLen+len(plain)+s.aead.Overhead())
	b[0] = sealVersion
	copy(b[1:], s.salt[:])
	n := s.counter.Add(1)
	binary.BigEndian.PutUint64(b[1+saltLen:], n)
	nonce := nonceOf(n)
	return s.aead.Seal(b, nonce[:], plain, place)
}

// open decrypts b in place.
func (s *sealer) open(place, b []byte) ([]byte, error) {
	if err := checkVersion("session", b, sealVersion, sealHeadLen); err != nil {
		return nil, err
	}
	run := salt(b[1:])
	nonce := nonceOf(binary.BigEndian.Uint64(b[1+saltLen:]))
	s.mu.RLock()
	aead, known := s.known[run]
	s.mu.RUnlock()
	if !known {
		aead = s.derive(run)
	}
	plain, err := aead.Open(b[sealHeadLen:sealHeadLen], nonce[:], b[sealHeadLen:], place)
	if err != nil {
		return nil, errSeal
	}
	if !known { // only now: a damaged record must not fill the map
		s.mu.Lock()
		s.known[run] = aead
		s.mu.Unlock()
	}
	return plain, nil
}

func nonceOf(n uint64) (nonce [12]byte) {
	binary.BigEndian.PutUint64(nonce[4:], n)
	return nonce
}
