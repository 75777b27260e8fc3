package lightssl

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
)

// Credentials are the random bytes that a cloud sends in C2: AES key (16), first
// IV of both directions (16) and salt (8). They are secret.
type Credentials [CredentialsSize]byte

// Key returns the AES-128 key of both directions.
func (c *Credentials) Key() []byte { return c[:16] }

// IV returns the IV of the first frame of either direction.
func (c *Credentials) IV() []byte { return c[16:32] }

// Salt returns the 8 bytes that seed what a device numbers.
func (c *Credentials) Salt() []byte { return c[32:] }

// FirstID returns the CoAP message ID of the device's first message. An Exchange
// is made with the one before it.
//
// Device OS: the salt is read in little-endian order and the counter steps before
// its first use (communication/src/lightssl_message_channel.cpp).
func (c *Credentials) FirstID() uint16 { return binary.LittleEndian.Uint16(c.Salt()) + 1 }

// CoreFirstID is FirstID of the Core, which reads the salt in big-endian order.
func (c *Credentials) CoreFirstID() uint16 { return binary.BigEndian.Uint16(c.Salt()) + 1 }

// mac is what S signs: HMAC-SHA1 with all credentials as key over C2.
func (c *Credentials) mac(c2 []byte) []byte {
	h := hmac.New(sha1.New, c[:])
	h.Write(c2)
	return h.Sum(nil)
}
