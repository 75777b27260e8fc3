// Package keyblob is the file that tells a device where its cloud is and what
// key it has ("server_key.der" as flashed): the cloud's public key, then an
// address at a fixed place.
//
//	TCP: RSA-2048 SPKI (294 bytes)  ff …  @384 address (128)   512 bytes
//	UDP: P-256 SPKI (91 bytes)      ff …  @192 address (128)   320 bytes
//
// What this package is not: a judge of the key. It knows its size only; packages
// dtls and lightssl read it.
package keyblob

import (
	"bytes"
	"fmt"
)

// A Transport says which of the two layouts a blob has.
type Transport uint8

// The transports.
const (
	TCP Transport = iota
	UDP
)

// String returns "TCP" or "UDP".
func (t Transport) String() string {
	if t == TCP {
		return "TCP"
	}
	return "UDP"
}

// layouts has a row for each Transport: the first bytes of its key, the size of
// the key, and the offset of the address.
var layouts = [...]struct {
	start   []byte
	keySize int
	address int
}{
	TCP: {[]byte{0x30, 0x82, 0x01, 0x22}, 294, 384},
	UDP: {[]byte{0x30, 0x59}, 91, 192},
}

// KeySize returns the size of the SPKI in bytes: 294 or 91.
func (t Transport) KeySize() int { return layouts[t].keySize }

// Size returns the size of a blob with an address in bytes: 512 or 320.
func (t Transport) Size() int { return layouts[t].address + AddressSize }

// A Blob is a cloud's public key and, unless Address is zero, its address.
type Blob struct {
	Transport Transport
	Key       []byte // SPKI in DER, Transport.KeySize bytes
	Address   Address
}

// A FormatError reports bytes that are not a key blob. Who made the file is at
// fault.
type FormatError struct {
	Reason string
}

// Error returns the reason.
func (e *FormatError) Error() string { return "keyblob: " + e.Reason }

func formatError(format string, args ...any) error {
	return &FormatError{fmt.Sprintf(format, args...)}
}

// Parse decodes b: a blob, or the key alone, in which case the device uses its
// built-in address. Bytes between key and address, and behind the address, are
// not looked at, as devices do not. The result aliases b. The error is a
// [*FormatError].
func Parse(b []byte) (Blob, error) {
	for t := range layouts {
		l := &layouts[t]
		if !bytes.HasPrefix(b, l.start) {
			continue
		}
		if len(b) < l.keySize {
			return Blob{}, formatError("%d bytes hold no key for %s", len(b), Transport(t))
		}
		blob := Blob{Transport: Transport(t), Key: b[:l.keySize:l.keySize]}
		if len(b) <= l.address {
			return blob, nil
		}
		address, err := ParseAddress(b[l.address:])
		blob.Address = address
		return blob, err
	}
	return Blob{}, formatError("no RSA-2048 or P-256 public key at the beginning")
}

// Append appends the encoding of the blob, always with an address block; unused
// bytes are ff, like erased flash. It panics when the key has another size than
// the transport's, or the Address is not valid.
func (blob Blob) Append(b []byte) []byte {
	l := &layouts[blob.Transport]
	if len(blob.Key) != l.keySize || !bytes.HasPrefix(blob.Key, l.start) {
		panic(fmt.Sprintf("keyblob: not a key for %s", blob.Transport))
	}
	b = append(b, blob.Key...)
	b = append(b, bytes.Repeat([]byte{0xff}, l.address-l.keySize)...)
	return blob.Address.Append(b)
}
