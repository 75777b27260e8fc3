package lightssl

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"

	"github.com/muster/muster/protocol/clock"
)

const (
	prefixSize = 2
	blockSize  = aes.BlockSize
)

// MaxPlaintext is the most that a frame can hold, in bytes. Receivers take far
// less, see [LimitDevice].
const MaxPlaintext = 0xfff0 - 1

// A Session is the framing of an established connection, one side of it: about
// 110 bytes, and the beginning of a frame while the rest is on its way. It is not
// safe for concurrent use.
//
// Device OS: the IV of a frame is the first ciphertext block of the frame before
// in the same direction, not the last (communication/src/lightssl_message_channel.cpp).
type Session struct {
	partial  []byte        // length and body so far of the frame that is coming in
	giveUp   clock.Instant // when it is given up; meaningful while it is not empty
	secrets  Credentials
	sendIV   [blockSize]byte
	nextIV   [blockSize]byte // of the next frame received
	limit    uint16
	faults   FrameFaults
	isDevice bool
	over     bool
}

// NewCloudSession returns the cloud's side of a connection with the given
// credentials.
func NewCloudSession(c *Credentials) *Session { return newSession(c, LimitCloud, false) }

// NewDeviceSession returns the device's side of a connection with the given
// credentials, with a limit for the ciphertext of a frame in bytes; 0 means
// [LimitDevice5_8].
func NewDeviceSession(c *Credentials, limit int) *Session {
	if limit == 0 {
		limit = LimitDevice5_8
	}
	return newSession(c, limit, true)
}

func newSession(c *Credentials, limit int, device bool) *Session {
	if limit < blockSize || limit > 0xffff {
		panic(fmt.Sprintf("lightssl: a frame limit of %d", limit))
	}
	s := &Session{secrets: *c, limit: uint16(limit), isDevice: device}
	copy(s.sendIV[:], c.IV())
	copy(s.nextIV[:], c.IV())
	return s
}

// Credentials returns what the session was made with: the salt tells the first
// message ID. They are secret.
func (s *Session) Credentials() *Credentials { return &s.secrets }

// FirstID returns the message ID of the device's first message.
func (s *Session) FirstID() uint16 { return s.secrets.FirstID() }

// Limit returns the longest ciphertext that s receives, in bytes.
func (s *Session) Limit() int { return int(s.limit) }

// SetFaults replaces the faults of the framing.
func (s *Session) SetFaults(f FrameFaults) { s.faults = f }

// Over reports whether the session has ended.
func (s *Session) Over() bool { return s.over }

// FrameSize returns the size on the wire, length included, of a frame with a
// message of n bytes.
func FrameSize(n int) int { return prefixSize + blockSize*(n/blockSize+1) }

// Seal appends to dst one frame, its length in front, that holds message: the
// two must reach the socket in one write. It panics when message is longer
// than [MaxPlaintext]. message and dst must not overlap.
func (s *Session) Seal(dst, message []byte) []byte {
	if len(message) > MaxPlaintext {
		panic(fmt.Sprintf("lightssl: a message of %d bytes", len(message)))
	}
	if s.faults&FaultEmptyFrame != 0 {
		dst = append(dst, 0, 0)
	}
	start := len(dst)
	dst = append(dst, 0, 0)
	dst = append(dst, message...)
	dst = s.pad(dst, len(message))
	body := dst[start+prefixSize:]
	s.cbc(cipher.NewCBCEncrypter, s.sendIV[:], body)
	s.chain(&s.sendIV, body)
	binary.BigEndian.PutUint16(dst[start:], uint16(len(body)))
	return s.spoil(dst, start)
}

// pad appends the padding of PKCS #7 (RFC 5652 Section 6.3) for a message of n
// bytes: 1 to 16 bytes that each say how many they are.
func (s *Session) pad(dst []byte, n int) []byte {
	p := blockSize - n%blockSize
	if p == blockSize && s.faults&FaultNoPadding != 0 && n > 0 {
		return dst
	}
	for range p {
		dst = append(dst, byte(p))
	}
	if s.faults&FaultBadPadding != 0 {
		dst[len(dst)-1] = 0
	}
	return dst
}

// spoil applies the faults that change a frame after it was made.
func (s *Session) spoil(dst []byte, start int) []byte {
	if s.faults&FaultOddLength != 0 {
		dst = append(dst, 0)
		binary.BigEndian.PutUint16(dst[start:], uint16(len(dst)-start-prefixSize))
	}
	if s.faults&FaultLongFrame != 0 {
		binary.BigEndian.PutUint16(dst[start:], 0xfff0)
	}
	return dst
}

// cbc runs the mode over b, a multiple of 16 bytes, in place. The key is expanded
// each time: a process holds very many Sessions, most of them silent.
func (s *Session) cbc(mode func(cipher.Block, []byte) cipher.BlockMode, iv, b []byte) {
	block, err := aes.NewCipher(s.secrets.Key())
	if err != nil {
		panic(err) // 16 bytes are a key
	}
	mode(block, iv).CryptBlocks(b, b)
}

// chain sets iv to that of the next frame, after one with the given ciphertext.
func (s *Session) chain(iv *[blockSize]byte, ciphertext []byte) {
	switch {
	case s.faults&FaultConstantIV != 0:
	case s.faults&FaultLastBlockIV != 0:
		copy(iv[:], ciphertext[max(0, len(ciphertext)-blockSize):])
	default:
		// Shorter than a block only for a device that is sent nonsense: then
		// the rest of the old IV stays.
		copy(iv[:], ciphertext)
	}
}
