package lightssl

import (
	"crypto/rsa"
	"io"
	"math/big"

	"github.com/muster/muster/protocol/seed"
)

// DeviceKeyMax is the size of the largest private key that a device stores, in
// bytes of DER.
const DeviceKeyMax = 612

// The integers of a PKCS #1 RSAPrivateKey after its version (RFC 8017 Appendix
// A.1.2), with their nominal widths in bytes for RSA-1024. A width is met by as
// many bytes, or by one more that is a leading zero.
var deviceKeyFields = [...]struct {
	name  string
	width int
}{
	{"N", 128}, {"e", 3}, {"d", 128}, {"p", 64}, {"q", 64}, {"dp", 64}, {"dq", 64}, {"qinv", 64},
}

// GenerateDeviceKey returns an RSA-1024 key that a device can read, drawn from r
// alone: keys are drawn until all integers have their nominal width. It panics
// when r fails.
//
// Device OS: the parser works by position and tells a leading zero from the low
// bit of the length, so it misreads a key with a shortened integer
// (communication/src/handshake.cpp).
func GenerateDeviceKey(r io.Reader) *rsa.PrivateKey {
	for {
		if key := seed.RSA(r, 8*deviceKeySize); Nominal(key) {
			return key
		}
	}
}

// GenerateCloudKey returns an RSA-2048 key with e = 65537, drawn from r alone. It
// panics when r fails.
func GenerateCloudKey(r io.Reader) *rsa.PrivateKey { return seed.RSA(r, 8*cloudKeySize) }

// Nominal reports whether a device can read key: RSA-1024, e = 65537, and no
// integer of its DER shortened.
func Nominal(key *rsa.PrivateKey) bool {
	if key.N.BitLen() != 8*deviceKeySize || key.E != exponent || len(key.Primes) != 2 {
		return false
	}
	for i, n := range deviceKeyIntegers(key) {
		width := deviceKeyFields[i].width
		if size := n.BitLen()/8 + 1; size != width && size != width+1 {
			return false
		}
	}
	return true
}

// deviceKeyIntegers returns the integers of key in the order of deviceKeyFields.
func deviceKeyIntegers(key *rsa.PrivateKey) [len(deviceKeyFields)]*big.Int {
	p, q, one := key.Primes[0], key.Primes[1], big.NewInt(1)
	return [...]*big.Int{
		key.N, big.NewInt(int64(key.E)), key.D, p, q,
		new(big.Int).Mod(key.D, new(big.Int).Sub(p, one)),
		new(big.Int).Mod(key.D, new(big.Int).Sub(q, one)),
		new(big.Int).ModInverse(q, p),
	}
}

// AppendDeviceKey appends the private key as a device stores it: PKCS #1
// RSAPrivateKey in DER, at most [DeviceKeyMax] bytes. It panics when key is not
// [Nominal].
func AppendDeviceKey(b []byte, key *rsa.PrivateKey) []byte {
	if !Nominal(key) {
		panic("lightssl: a private key that a device cannot read")
	}
	body := []byte{0x02, 1, 0} // version: two primes
	for _, n := range deviceKeyIntegers(key) {
		body = appendInteger(body, n)
	}
	b = append(b, 0x30, 0x82, byte(len(body)>>8), byte(len(body)))
	return append(b, body...)
}

// appendInteger appends a positive n as DER, at most 255 bytes.
func appendInteger(b []byte, n *big.Int) []byte {
	size := n.BitLen()/8 + 1 // one bit for the sign
	b = append(b, 0x02)
	if size >= 0x80 {
		b = append(b, 0x81)
	}
	b = append(b, byte(size))
	return append(b, n.FillBytes(make([]byte, size))...)
}

// ParseDeviceKey reads a device's private key in DER, with any bytes behind it, as
// flash pages have them. The error is a [*KeyError]: the key is not PKCS #1, not
// consistent, or a device could not read it.
func ParseDeviceKey(der []byte) (*rsa.PrivateKey, error) {
	if len(der) < 4 || der[0] != 0x30 || der[1] != 0x82 {
		return nil, keyError("not a PKCS #1 private key of RSA-1024")
	}
	size := int(der[2])<<8 | int(der[3])
	if size+4 > min(len(der), DeviceKeyMax) {
		return nil, keyError("private key of %d bytes is cut, or longer than %d", size+4, DeviceKeyMax)
	}
	rest := der[4 : 4+size]
	version, rest, ok := cutInteger(rest)
	if !ok || version.Sign() != 0 {
		return nil, keyError("version of the private key is not 0")
	}
	var n [len(deviceKeyFields)]*big.Int
	for i, field := range deviceKeyFields {
		before := len(rest)
		if n[i], rest, ok = cutInteger(rest); !ok {
			return nil, keyError("%s of the private key is cut or malformed", field.name)
		}
		if header := 2 + field.width/0x80; before-len(rest) != header+field.width && before-len(rest) != header+field.width+1 {
			return nil, keyError("%s of the private key is not %d bytes: a device would misread the key", field.name, field.width)
		}
	}
	if len(rest) > 0 {
		return nil, keyError("bytes behind qinv in the private key")
	}
	return assemble(n)
}

// assemble makes a key of its integers and checks that they belong together.
func assemble(n [len(deviceKeyFields)]*big.Int) (*rsa.PrivateKey, error) {
	if n[0].BitLen() != 8*deviceKeySize || n[1].Cmp(big.NewInt(exponent)) != 0 {
		return nil, keyError("private key is not RSA-1024 with e = 65537")
	}
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: n[0], E: exponent},
		D:         n[2],
		Primes:    []*big.Int{n[3], n[4]},
	}
	if key.Validate() != nil {
		return nil, keyError("private key is not consistent")
	}
	for i, want := range deviceKeyIntegers(key) {
		if n[i].Cmp(want) != 0 {
			return nil, keyError("%s of the private key does not fit the others", deviceKeyFields[i].name)
		}
	}
	key.Precompute()
	return key, nil
}

// cutInteger reads a DER integer of at most 255 bytes that is not negative.
func cutInteger(b []byte) (n *big.Int, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != 0x02 {
		return nil, nil, false
	}
	size, b := int(b[1]), b[2:]
	if size == 0x81 {
		if len(b) == 0 || b[0] < 0x80 {
			return nil, nil, false
		}
		size, b = int(b[0]), b[1:]
	} else if size >= 0x80 {
		return nil, nil, false
	}
	if size == 0 || len(b) < size || b[0] >= 0x80 || size > 1 && b[0] == 0 && b[1] < 0x80 {
		return nil, nil, false
	}
	return new(big.Int).SetBytes(b[:size]), b[size:], true
}
