package lightssl

import (
	"bytes"
	"crypto/rsa"
	"fmt"
	"math/big"
)

// Device OS reads and writes public keys by offset. Each is a header, N without
// anything in front, and e.
var (
	deviceHeader = []byte{
		0x30, 0x81, 0x9f, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
		0x03, 0x81, 0x8d, 0x00, 0x30, 0x81, 0x89, 0x02, 0x81, 0x81, 0x00,
	}
	cloudHeader = []byte{
		0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
		0x03, 0x82, 0x01, 0x0f, 0x00, 0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00,
	}
	exponentTrailer = []byte{0x02, 0x03, 0x01, 0x00, 0x01}
)

// exponent is e of every key of this protocol.
const exponent = 65537

const (
	deviceKeySize = C2Size // of N, in bytes
	cloudKeySize  = C1Size
)

// A KeyError reports a key that the protocol cannot use. Whoever provisioned it
// is at fault.
type KeyError struct {
	Reason string // never a part of the key
}

// Error returns the reason.
func (e *KeyError) Error() string { return "lightssl: " + e.Reason }

func keyError(format string, args ...any) error { return &KeyError{fmt.Sprintf(format, args...)} }

// ParseDeviceSPKI reads the SubjectPublicKeyInfo of an RSA-1024 key with e =
// 65537, 162 bytes. The error is a [*KeyError].
func ParseDeviceSPKI(b []byte) (*rsa.PublicKey, error) {
	return parseSPKI(b, deviceHeader, deviceKeySize)
}

// ParseCloudSPKI reads the SubjectPublicKeyInfo of an RSA-2048 key with e =
// 65537, 294 bytes. The error is a [*KeyError].
func ParseCloudSPKI(b []byte) (*rsa.PublicKey, error) {
	return parseSPKI(b, cloudHeader, cloudKeySize)
}

func parseSPKI(b, header []byte, size int) (*rsa.PublicKey, error) {
	n, isPrefixed := bytes.CutPrefix(b, header)
	n, isSuffixed := bytes.CutSuffix(n, exponentTrailer)
	if !isPrefixed || !isSuffixed || len(n) != size {
		return nil, keyError("not the public key of RSA-%d with e = 65537 in %d bytes", 8*size, len(header)+size+len(exponentTrailer))
	}
	if n[0] < 0x80 || n[size-1]&1 == 0 {
		return nil, keyError("the modulus has fewer than %d bits or is even", 8*size)
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: exponent}, nil
}

// AppendDeviceSPKI appends the 162 bytes of a device's public key. It panics when
// key is not RSA-1024 with e = 65537.
func AppendDeviceSPKI(b []byte, key *rsa.PublicKey) []byte {
	return appendSPKI(b, deviceHeader, key, deviceKeySize)
}

// AppendCloudSPKI appends the 294 bytes of a cloud's public key. It panics when
// key is not RSA-2048 with e = 65537.
func AppendCloudSPKI(b []byte, key *rsa.PublicKey) []byte {
	return appendSPKI(b, cloudHeader, key, cloudKeySize)
}

func appendSPKI(b, header []byte, key *rsa.PublicKey, size int) []byte {
	mustBe(key, size)
	b = append(b, header...)
	b = append(b, key.N.FillBytes(make([]byte, size))...)
	return append(b, exponentTrailer...)
}

// mustBe panics when key is not of size bytes with the usual exponent: who
// configures a machine must know its keys.
func mustBe(key *rsa.PublicKey, size int) {
	if key == nil || key.N.BitLen() != 8*size || key.E != exponent {
		panic(fmt.Sprintf("lightssl: a key that is not RSA-%d with e = 65537", 8*size))
	}
}
