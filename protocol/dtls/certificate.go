package dtls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
)

// spkiPrefix begins the SubjectPublicKeyInfo of an uncompressed P-256 key
// (RFC 5480 Section 2); the point of 65 bytes follows.
var spkiPrefix = []byte{
	0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
	0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
}

// SPKISize is the length of the SubjectPublicKeyInfo of a P-256 key in bytes.
const SPKISize = 26 + pointSize

// SPKI returns the SubjectPublicKeyInfo of a P-256 key in DER. It panics for
// other curves.
func SPKI(key *ecdsa.PublicKey) []byte {
	point, err := key.Bytes()
	if err != nil || len(point) != pointSize {
		panic("dtls: not a P-256 key")
	}
	return append(append(make([]byte, 0, SPKISize), spkiPrefix...), point...)
}

// ParseSPKI returns the P-256 key of a SubjectPublicKeyInfo in DER, which must
// be of the form that SPKI makes. ok is false for anything else.
func ParseSPKI(spki []byte) (key *ecdsa.PublicKey, ok bool) {
	point, ok := bytes.CutPrefix(spki, spkiPrefix)
	if !ok {
		return nil, false
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	return key, err == nil
}

// appendRawKey appends the body of a Certificate with a raw key: one length and
// the SPKI (RFC 7250 Section 3).
func appendRawKey(b, spki []byte) []byte { return appendVector24(b, spki) }

// parseRawKey returns the SPKI.
func parseRawKey(b []byte) (spki []byte, ok bool) {
	r := reader{b: b}
	spki = r.vector24()
	return spki, r.done() && len(spki) > 0
}

// appendChain appends the body of a Certificate with an X.509 chain
// (RFC 5246 Section 7.4.2).
func appendChain(b []byte, chain [][]byte) []byte {
	var list []byte
	for _, cert := range chain {
		list = appendVector24(list, cert)
	}
	return appendVector24(b, list)
}

// maxChain bounds the certificates of a chain.
const maxChain = 8

// parseChain returns the certificates of a chain, at least one, in DER.
func parseChain(b []byte) (chain [][]byte, ok bool) {
	r := reader{b: b}
	list := reader{b: r.vector24()}
	if !r.done() {
		return nil, false
	}
	for len(list.b) > 0 && len(chain) < maxChain {
		chain = append(chain, list.vector24())
	}
	return chain, list.done() && len(chain) > 0
}

// The tags of DER that lead to the key of a certificate.
const (
	derInteger  = 0x02
	derSequence = 0x30
	derVersion  = 0xa0
)

// certificateSPKI returns the SubjectPublicKeyInfo of an X.509 certificate
// (RFC 5280 Section 4.1). It judges nothing else: that is for VerifyChain.
func certificateSPKI(cert []byte) (spki []byte, ok bool) {
	outer := reader{b: cert}
	tbs := reader{b: outer.der(derSequence)}
	inner := reader{b: tbs.der(derSequence)}
	if len(inner.b) > 0 && inner.b[0] == derVersion {
		inner.der(derVersion)
	}
	inner.der(derInteger)  // serial number
	inner.der(derSequence) // signature
	inner.der(derSequence) // issuer
	inner.der(derSequence) // validity
	inner.der(derSequence) // subject
	front := inner.b
	inner.der(derSequence)
	if inner.bad || tbs.bad || outer.bad || len(outer.b) > 0 {
		return nil, false
	}
	return front[:len(front)-len(inner.b)], true
}

// der takes an element with the given tag and returns its content.
func (r *reader) der(tag byte) []byte {
	if r.uint8() != tag {
		r.bad, r.b = true, nil
	}
	size := int(r.uint8())
	switch size {
	case 0x81:
		size = int(r.uint8())
	case 0x82:
		size = int(r.uint16())
	default:
		if size >= 0x80 { // no certificate here has 64 KiB
			r.bad, r.b = true, nil
		}
	}
	return r.take(size)
}
