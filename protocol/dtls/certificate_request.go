package dtls

// certificateRequest is the body of a CertificateRequest (RFC 5246 Section
// 7.4.4): one type, ecdsa_sign; one algorithm, ecdsa with SHA-256; no names.
// Device OS ignores the content, but sends no Certificate without the message.
var certificateRequest = []byte{1, 64, 0, 2, algorithmP256 >> 8, algorithmP256 & 0xff, 0, 0}

// parseCertificateRequest reports whether a CertificateRequest is well-formed.
func parseCertificateRequest(b []byte) bool {
	r := reader{b: b}
	r.vector8()
	algorithms := r.vector16()
	r.vector16()
	return r.done() && len(algorithms)%2 == 0
}
