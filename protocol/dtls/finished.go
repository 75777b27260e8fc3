package dtls

// verifySize is the length of verify_data (RFC 5246 Section 7.4.9).
const verifySize = 12

// repeatFinal sends ChangeCipherSpec and Finished again, the latter with a
// sequence of its own: no nonce is ever used twice.
func (s *Session) repeatFinal(out *Out) {
	out.send(func(b []byte) []byte { return s.appendFinal(b, out.Ciphers) })
}

// appendFinal appends ChangeCipherSpec and Finished.
func (s *Session) appendFinal(b []byte, c *Ciphers) []byte {
	start := len(b)
	next := s.sendNext
	if s.faults&FaultReuseFinal != 0 {
		s.sendNext = 0
	}
	b = appendRecord(b, TypeChangeCipherSpec, uint64(s.plainNext), []byte{1})
	s.plainNext++
	message := appendMessage(nil, typeFinished, s.finishedNumber, s.finished[:])
	b, err := s.SealWith(c, b, TypeHandshake, message)
	s.sendNext = max(s.sendNext, next)
	if err != nil {
		return b[:start]
	}
	return b
}
