package dtls

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
)

// The parameters of AES_128_CCM_8 (RFC 6655 Sections 3 and 4).
const (
	keySize      = 16
	saltSize     = 4 // implicit part of the nonce
	explicitSize = 8 // explicit part, at the front of a record's body
	tagSize      = 8
	nonceSize    = saltSize + explicitSize
	// overhead is what protection adds to a plaintext.
	overhead = explicitSize + tagSize

	blockSize = aes.BlockSize
	// maxAAD is the longest additional data: that of RFC 9146 Section 5.3.
	maxAAD = 8 + 1 + 1 + 1 + 2 + 8 + MaxCIDSize + 2
	// The flags of the first blocks with a tag of 8 and a length of 3 bytes
	// (RFC 3610 Sections 2.2 and 2.3).
	macFlags     = 1<<6 | (tagSize-2)/2<<3 | (15 - nonceSize - 1)
	counterFlags = 15 - nonceSize - 1
)

// A ccm is a cipher and the memory that one operation needs. The memory is here
// because what goes into an interface method would otherwise be allocated.
type ccm struct {
	block   cipher.Block
	nonce   [nonceSize]byte
	aad     [maxAAD]byte
	aadSize int
	mac     [blockSize]byte
	counter [blockSize]byte
	stream  [blockSize]byte
}

// expand returns the cipher of a key.
func expand(key *[keySize]byte) cipher.Block {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic("dtls: " + err.Error()) // the size is right
	}
	return block
}

// startMAC begins CBC-MAC (RFC 3610 Section 2.2) with the first block and the
// additional data, which is never empty and shorter than 2^16 - 2^8.
func (c *ccm) startMAC(size int) {
	c.mac[0] = macFlags
	copy(c.mac[1:], c.nonce[:])
	c.mac[13], c.mac[14], c.mac[15] = byte(size>>16), byte(size>>8), byte(size)
	c.block.Encrypt(c.mac[:], c.mac[:])
	c.mac[0] ^= byte(c.aadSize >> 8)
	c.mac[1] ^= byte(c.aadSize)
	n := subtle.XORBytes(c.mac[2:], c.mac[2:], c.aad[:c.aadSize])
	c.block.Encrypt(c.mac[:], c.mac[:])
	c.updateMAC(c.aad[n:c.aadSize])
}

// updateMAC adds b, padded with zeros to whole blocks.
func (c *ccm) updateMAC(b []byte) {
	for len(b) > 0 {
		n := subtle.XORBytes(c.mac[:], c.mac[:], b)
		c.block.Encrypt(c.mac[:], c.mac[:])
		b = b[n:]
	}
}

// crypt encrypts or decrypts b in place (RFC 3610 Section 2.3).
func (c *ccm) crypt(b []byte) {
	c.counter[0] = counterFlags
	copy(c.counter[1:], c.nonce[:])
	for i := 1; len(b) > 0; i++ {
		c.counter[13], c.counter[14], c.counter[15] = byte(i>>16), byte(i>>8), byte(i)
		c.block.Encrypt(c.stream[:], c.counter[:])
		if len(b) >= blockSize { // two words are quicker than the general loop
			binary.NativeEndian.PutUint64(b, binary.NativeEndian.Uint64(b)^binary.NativeEndian.Uint64(c.stream[:]))
			binary.NativeEndian.PutUint64(b[8:], binary.NativeEndian.Uint64(b[8:])^binary.NativeEndian.Uint64(c.stream[8:]))
			b = b[blockSize:]
			continue
		}
		b = b[subtle.XORBytes(b, b, c.stream[:]):]
	}
}

// tag turns the MAC into the tag.
func (c *ccm) tag() []byte {
	c.counter[0] = counterFlags
	copy(c.counter[1:], c.nonce[:])
	c.counter[13], c.counter[14], c.counter[15] = 0, 0, 0
	c.block.Encrypt(c.stream[:], c.counter[:])
	subtle.XORBytes(c.mac[:], c.mac[:], c.stream[:])
	return c.mac[:tagSize]
}

// seal encrypts the end of b from start on in place and appends the tag. Nonce
// and additional data are set.
func (c *ccm) seal(b []byte, start int) []byte {
	c.startMAC(len(b) - start)
	c.updateMAC(b[start:])
	c.crypt(b[start:])
	return append(b, c.tag()...)
}

// open decrypts b, which ends with the tag, in place and returns the plaintext.
// When the tag is wrong it restores b, so that another key can be tried, unless
// force lets it go on.
func (c *ccm) open(b []byte, force bool) ([]byte, bool) {
	text, tag := b[:len(b)-tagSize], b[len(b)-tagSize:]
	c.crypt(text)
	c.startMAC(len(text))
	c.updateMAC(text)
	if subtle.ConstantTimeCompare(c.tag(), tag) == 1 || force {
		return text, true
	}
	c.crypt(text)
	return nil, false
}

// Ciphers caches expanded AES keys, 0.5 KiB each, for the sessions that a
// goroutine serves most. Without it, each record expands its key anew: 0.4 µs
// and one allocation, against the memory for keys that are used every 23
// minutes. It is not safe for concurrent use.
type Ciphers struct {
	work  ccm
	slots []cipherSlot // a power of two
}

type cipherSlot struct {
	key   [keySize]byte
	block cipher.Block // nil when the slot is free
}

// NewCiphers returns a cache for n keys, a power of two. A session uses two.
func NewCiphers(n int) *Ciphers {
	if n <= 0 || n&(n-1) != 0 {
		panic(fmt.Sprintf("dtls: a cache for %d ciphers", n))
	}
	return &Ciphers{slots: make([]cipherSlot, n)}
}

// get returns working memory with the cipher of key, valid until the next get.
// A nil cache works, and allocates.
func (c *Ciphers) get(key *[keySize]byte) *ccm {
	if c == nil {
		return &ccm{block: expand(key)}
	}
	// Keys are uniformly random, so any of their bytes is a hash.
	slot := &c.slots[binary.LittleEndian.Uint32(key[:])&uint32(len(c.slots)-1)]
	if slot.block == nil || slot.key != *key {
		slot.key, slot.block = *key, expand(key)
	}
	c.work.block = slot.block
	return &c.work
}
