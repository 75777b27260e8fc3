package dtls

// appendHelloVerifyRequest appends the body of a HelloVerifyRequest
// (RFC 6347 Section 4.2.1).
func appendHelloVerifyRequest(b []byte, version uint16, cookie []byte) []byte {
	return appendVector8(append(b, byte(version>>8), byte(version)), cookie)
}

// parseHelloVerifyRequest returns the cookie, which is 1 to 255 bytes.
//
// Device OS: takes either version, whatever is negotiated later, as RFC 6347
// Section 4.2.1 asks.
func parseHelloVerifyRequest(b []byte) (cookie []byte, ok bool) {
	r := reader{b: b}
	version := r.uint16()
	cookie = r.vector8()
	return cookie, r.done() && len(cookie) > 0 && (version == version10 || version == version12)
}
