package coap

// An UploadStep says what an ACK was to an [Upload].
type UploadStep uint8

// The steps.
const (
	// UploadNext: send the block that Block returns.
	UploadNext UploadStep = 1 + iota
	// UploadDone: the last block was answered; its code is the result.
	UploadDone
	// UploadFailed: the answer to a block was not 2.31.
	UploadFailed
)

// String returns the name of s.
func (s UploadStep) String() string { return [...]string{"invalid", "next", "done", "failed"}[s] }

// An Upload sends a request body in blocks (RFC 7959 Section 2.5, Block1), each
// in a request with an ID and a token of its own.
type Upload struct {
	Body []byte
	SZX  uint8

	// AnyAck advances on every ACK, whatever its code.
	//
	// Device OS: so for a describe (communication/src/description.cpp). The new
	// channel wants 2.31 for each block but the last.
	AnyAck bool

	num uint32
}

// Block returns the payload of the current block and its Block1 value. Cut is
// false when the whole body fits one block and the option is left out.
func (u *Upload) Block() (payload []byte, b Block, cut bool) {
	payload, b = blockOf(u.Body, u.num, u.SZX)
	return payload, b, len(u.Body) > b.Size()
}

// Acknowledged takes the answer to the current block, whose code is Empty when
// the ACK is. An owner whose answer comes separately passes that one on.
func (u *Upload) Acknowledged(code Code) UploadStep {
	_, b := blockOf(u.Body, u.num, u.SZX)
	switch {
	case !b.More:
		return UploadDone
	case !u.AnyAck && code != Continue:
		return UploadFailed
	}
	u.num++
	return UploadNext
}

// blockOf cuts block num out of body. It is empty when num lies beyond.
func blockOf(body []byte, num uint32, szx uint8) ([]byte, Block) {
	b := Block{Num: num, SZX: szx}
	from := min(int(num)*b.Size(), len(body))
	to := min(from+b.Size(), len(body))
	b.More = to < len(body)
	return body[from:to], b
}
