package dtls

// A certificateVerify is the body of a CertificateVerify (RFC 5246 Section
// 7.4.8): the proof of the client's key over all messages before it.
type certificateVerify struct {
	hash      byte
	algorithm byte
	signature []byte
}

// parseCertificateVerify parses the body.
func parseCertificateVerify(b []byte) (v certificateVerify, ok bool) {
	r := reader{b: b}
	v.hash, v.algorithm, v.signature = r.uint8(), r.uint8(), r.vector16()
	return v, r.done()
}
