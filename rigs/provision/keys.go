package provision

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/muster/muster/protocol/keyblob"
	"github.com/muster/muster/protocol/lightssl"
)

// errNoDeviceKey is a board that never started, or whose memory is erased.
var errNoDeviceKey = errors.New("the board has no device key: let it start once, so that it makes one")

// errBadDeviceKey is a key that is there, but no device could use it.
var errBadDeviceKey = errors.New("the board's device key is unusable: write a new one (particle keys new), or erase it and let the board start, so that it makes one")

// A publicKey is that of a device.
type publicKey struct {
	pem       string
	algorithm string // as the API names it
}

// devicePublicKey returns the public half of the private key in a board's memory,
// behind which there may be anything. The errors tell nothing of the key.
func devicePublicKey(t keyblob.Transport, memory []byte) (publicKey, error) {
	der := cut(memory)
	if der == nil {
		return publicKey{}, errNoDeviceKey
	}
	if t == keyblob.TCP {
		key, err := lightssl.ParseDeviceKey(der)
		if err != nil {
			return publicKey{}, fmt.Errorf("%w: %w", errBadDeviceKey, err)
		}
		return spki(&key.PublicKey, "rsa")
	}
	key, err := x509.ParseECPrivateKey(der)
	if err != nil || key.Curve != elliptic.P256() {
		return publicKey{}, fmt.Errorf("%w: not an EC private key on P-256", errBadDeviceKey)
	}
	return spki(&key.PublicKey, "ecc")
}

func spki[K *rsa.PublicKey | *ecdsa.PublicKey](key K, algorithm string) (publicKey, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return publicKey{}, err
	}
	return publicKey{string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), algorithm}, nil
}

// cut returns the DER structure at the beginning of b, nil if there is none.
func cut(b []byte) []byte {
	if len(b) < 4 || b[0] != 0x30 {
		return nil
	}
	size := 0
	switch {
	case b[1] < 0x80:
		size = 2 + int(b[1])
	case b[1] == 0x81:
		size = 3 + int(b[2])
	case b[1] == 0x82:
		size = 4 + int(b[2])<<8 + int(b[3])
	}
	if size == 0 || size > len(b) {
		return nil
	}
	return b[:size]
}

// PublicKey returns the public half of a device key that was saved, SPKI in DER.
// The error tells nothing of the key.
func (r *Record) PublicKey() ([]byte, error) {
	if r.Device == nil {
		return nil, errNoDeviceKey
	}
	t := keyblob.UDP
	if r.Transport == keyblob.TCP.String() {
		t = keyblob.TCP
	}
	key, err := devicePublicKey(t, r.Device.Data)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode([]byte(key.pem))
	return block.Bytes, nil
}
