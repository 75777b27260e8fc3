package dtls

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
)

// pointSize is an uncompressed point of P-256.
const pointSize = 65

// paramsSize is curve type 1, group 2, length 1 and the point.
const paramsSize = 4 + pointSize

// curveNamed is the curve type of RFC 8422 Section 5.4.
const curveNamed = 3

// signatureECDSA is the second byte of a signature algorithm.
const signatureECDSA = 3

// The hashes of a signature algorithm's first byte (RFC 5246 Section 7.4.1.4.1).
const (
	hashSHA1   = 2
	hashSHA224 = 3
	hashSHA256 = 4
	hashSHA384 = 5
	hashSHA512 = 6
)

// A serverKeyExchange is the body of a ServerKeyExchange (RFC 8422 Section
// 5.4). Its slices alias what it was parsed from.
type serverKeyExchange struct {
	params    []byte // what is signed behind the randoms
	point     []byte
	hash      byte
	algorithm byte
	signature []byte
}

// parseServerKeyExchange parses the body. The group must be P-256.
func parseServerKeyExchange(b []byte) (k serverKeyExchange, ok bool) {
	r := reader{b: b}
	curve, group := r.uint8(), r.uint16()
	k.point = r.vector8()
	k.hash, k.algorithm, k.signature = r.uint8(), r.uint8(), r.vector16()
	if !r.done() || curve != curveNamed || group != groupP256 || len(k.point) != pointSize {
		return k, false
	}
	k.params = b[:paramsSize]
	return k, true
}

// appendParams appends the part that is signed.
func appendParams(b, point []byte) []byte {
	b = binary.BigEndian.AppendUint16(append(b, curveNamed), groupP256)
	return appendVector8(b, point)
}

// appendSignature appends hash, algorithm and signature.
func appendSignature(b []byte, hash byte, signature []byte) []byte {
	return appendVector16(append(b, hash, signatureECDSA), signature)
}

// signedParams returns what ServerKeyExchange signs.
func signedParams(client, server *[randomSize]byte, params []byte) []byte {
	b := make([]byte, 0, 2*randomSize+paramsSize)
	return append(append(append(b, client[:]...), server[:]...), params...)
}

// digest returns the hash of b, nil for an unknown hash.
func digest(hash byte, b []byte) ([]byte, crypto.Hash) {
	switch hash {
	case hashSHA1:
		d := sha1.Sum(b)
		return d[:], crypto.SHA1
	case hashSHA224:
		d := sha256.Sum224(b)
		return d[:], crypto.SHA224
	case hashSHA256:
		d := sha256.Sum256(b)
		return d[:], crypto.SHA256
	case hashSHA384:
		d := sha512.Sum384(b)
		return d[:], crypto.SHA384
	case hashSHA512:
		d := sha512.Sum512(b)
		return d[:], crypto.SHA512
	default:
		return nil, 0
	}
}

// sign returns the deterministic signature (RFC 6979) of a digest. Randomness
// is neither needed nor wanted: equal runs give equal bytes.
func sign(key *ecdsa.PrivateKey, digest []byte, hash crypto.Hash) []byte {
	signature, err := key.Sign(nil, digest, hash)
	if err != nil {
		panic("dtls: signing: " + err.Error()) // not a P-256 key
	}
	return signature
}
