package cloudref

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
)

// errDeviceKey says what a file with a device's key may hold.
var errDeviceKey = errors.New("not a device key: want P-256 (over UDP) or RSA-1024 (over TCP), public or private, PEM or DER")

// ParseDeviceKey reads a device's key, PEM or DER, public or private. Of a private
// key only the public half is returned, as SubjectPublicKeyInfo in DER: p256 for
// devices over UDP, or rsa for those over TCP; the other is nil.
func ParseDeviceKey(file []byte) (p256, rsa1024 []byte, err error) {
	der := file
	if block, _ := pem.Decode(file); block != nil {
		der = block.Bytes
	}
	switch key := anyKey(der).(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return nil, nil, fmt.Errorf("%w: it is on the curve %s", errDeviceKey, key.Params().Name)
		}
		return dtls.SPKI(key), nil, nil
	case *rsa.PublicKey:
		spki, err := x509.MarshalPKIXPublicKey(key)
		if err == nil {
			_, err = lightssl.ParseDeviceSPKI(spki)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%w: it is RSA-%d with exponent %d", errDeviceKey, key.N.BitLen(), key.E)
		}
		return nil, spki, nil
	default:
		return nil, nil, errDeviceKey
	}
}

// anyKey returns the public key in der, nil if there is none. A device's flash
// page has bytes behind the key.
func anyKey(der []byte) any {
	if key, err := x509.ParsePKIXPublicKey(der); err == nil {
		return key
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return &key.PublicKey
	}
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		switch key := key.(type) {
		case *ecdsa.PrivateKey:
			return &key.PublicKey
		case *rsa.PrivateKey:
			return &key.PublicKey
		}
		return nil
	}
	if key, err := lightssl.ParseDeviceKey(der); err == nil {
		return &key.PublicKey
	}
	if key, err := x509.ParsePKCS1PublicKey(der); err == nil {
		return key
	}
	if trimmed := trimPage(der); len(trimmed) < len(der) {
		return anyKey(trimmed)
	}
	return nil
}

// trimPage cuts what is behind a DER structure.
func trimPage(der []byte) []byte {
	size := 0
	switch {
	case len(der) > 2 && der[0] == 0x30 && der[1] < 0x80:
		size = 2 + int(der[1])
	case len(der) > 3 && der[0] == 0x30 && der[1] == 0x81:
		size = 3 + int(der[2])
	case len(der) > 4 && der[0] == 0x30 && der[1] == 0x82:
		size = 4 + int(der[2])<<8 + int(der[3])
	}
	if size == 0 || size > len(der) {
		return der
	}
	return bytes.Clone(der[:size])
}
