package pdc

import "github.com/muster/muster/protocol/coap"

// A LedgerMethod is what a ledger request asks for (PDC-8.9).
type LedgerMethod uint8

// The methods. The first four and the answers to the last two come from the
// device.
const (
	LedgerGetInfo      LedgerMethod = 1
	LedgerSetData      LedgerMethod = 2
	LedgerGetData      LedgerMethod = 3
	LedgerSubscribe    LedgerMethod = 4
	LedgerNotifyUpdate LedgerMethod = 5
	LedgerResetInfo    LedgerMethod = 6
)

var ledgerMethods = [...]string{
	"invalid", "get info", "set data", "get data", "subscribe", "notify update", "reset info",
}

// String returns the method in words.
func (m LedgerMethod) String() string { return word(ledgerMethods[:], uint32(m)) }

// The limits of ledgers (PDC-8.9).
const (
	LedgerNameMax  = 32    // bytes
	LedgerScopeMax = 32    // bytes
	LedgersMax     = 20    // of one device
	LedgerDataMax  = 16384 // bytes of CBOR
)

// A LedgerRequest carries a request of the device, or one block of it, or asks
// for the next block of the response (PDC-8.8, 8.9).
type LedgerRequest struct {
	Token []byte // one byte, a fresh one for every block
	// Block1 and RequestTag are those of a request in blocks, else nil. The
	// tag has four bytes and is the same in all of them.
	Block1     *coap.Block
	RequestTag []byte
	// Block2 and ETag ask for a block of the response, else nil.
	Block2 *coap.Block
	ETag   []byte
	// Payload is what [ParseLedgerCall] reads, whole when Block1 is nil.
	Payload []byte
}

// ParseLedgerRequest reads a LedgerRequest.
func ParseLedgerRequest(m coap.Message) (LedgerRequest, error) {
	if err := checkRequest(KindLedgerRequest, m); err != nil {
		return LedgerRequest{}, err
	}
	r := LedgerRequest{Token: m.Token, Payload: m.Payload}
	var ok1, ok2 bool
	r.Block1, ok1 = blockOf(m, coap.Block1)
	r.Block2, ok2 = blockOf(m, coap.Block2)
	if !ok1 || !ok2 {
		return LedgerRequest{}, fault(KindLedgerRequest, "PDC-8.8", "Block1 or Block2 is no block")
	}
	r.ETag, _ = m.Option(coap.ETag)
	r.RequestTag, _ = m.Option(coap.RequestTag)
	if r.Block1 != nil && len(r.RequestTag) == 0 {
		return LedgerRequest{}, fault(KindLedgerRequest, "C-52", "a block without a Request-Tag")
	}
	return r, nil
}

// Message returns the message of a device: the ETag comes before the path.
func (r LedgerRequest) Message(Dialect) coap.Message {
	m := coap.Message{Type: coap.Confirmable, Code: coap.POST, Token: r.Token, Payload: r.Payload}
	if r.ETag != nil {
		m.Options = append(m.Options, coap.Opaque(coap.ETag, r.ETag))
	}
	m.Options = append(m.Options, coap.Text(coap.URIPath, "L"))
	if r.Block2 != nil {
		m.Options = append(m.Options, r.Block2.Option(coap.Block2))
	}
	if r.Block1 != nil {
		m.Options = append(m.Options, r.Block1.Option(coap.Block1))
	}
	if r.RequestTag != nil {
		m.Options = append(m.Options, coap.Opaque(coap.RequestTag, r.RequestTag))
	}
	return m
}

// A LedgerResponse answers a [LedgerRequest]. Never with 2.05, which a device
// takes for the time (C-10).
type LedgerResponse struct {
	Token []byte // that of the request
	// Code is 2.04, 2.31 for every block of a request but the last, or an
	// error. Zero is 2.04.
	Code coap.Code
	// Block1 echoes that of the request, optionally.
	Block1 *coap.Block
	// Block2 and ETag are those of a response in blocks, else nil. The ETag
	// has 1 to 8 bytes, the size exponent is 6.
	Block2 *coap.Block
	ETag   []byte
	// Payload is what [ParseLedgerReply] reads.
	Payload []byte
	// Separate makes it a CON behind an empty ACK.
	Separate bool
}

// ParseLedgerResponse reads a LedgerResponse.
func ParseLedgerResponse(m coap.Message) (LedgerResponse, error) {
	if err := checkRequest(KindLedgerResponse, m); err != nil {
		return LedgerResponse{}, err
	}
	if !coap.IsResponse(m.Code) || m.Code == coap.Content {
		return LedgerResponse{}, faultf(KindLedgerResponse, "C-10", "code %v", m.Code)
	}
	r := LedgerResponse{
		Token: m.Token, Code: m.Code, Payload: m.Payload, Separate: m.Type == coap.Confirmable,
	}
	var ok1, ok2 bool
	r.Block1, ok1 = blockOf(m, coap.Block1)
	r.Block2, ok2 = blockOf(m, coap.Block2)
	if !ok1 || !ok2 {
		return LedgerResponse{}, fault(KindLedgerResponse, "PDC-8.8", "Block1 or Block2 is no block")
	}
	r.ETag, _ = m.Option(coap.ETag)
	if r.Block2 != nil && (len(r.ETag) == 0 || len(r.ETag) > 8 || r.Block2.SZX != coap.SZXMax) {
		return LedgerResponse{}, fault(KindLedgerResponse, "C-53", "a block without an ETag of 1 to 8 bytes and size exponent 6")
	}
	return r, nil
}

// Message returns the message for a device.
func (r LedgerResponse) Message(Dialect) coap.Message {
	m := coap.Message{Type: coap.Acknowledgement, Code: r.Code, Token: r.Token, Payload: r.Payload}
	if r.Separate {
		m.Type = coap.Confirmable
	}
	if m.Code == 0 {
		m.Code = coap.Changed
	}
	if r.ETag != nil {
		m.Options = append(m.Options, coap.Opaque(coap.ETag, r.ETag))
	}
	if r.Block2 != nil {
		m.Options = append(m.Options, r.Block2.Option(coap.Block2))
	}
	if r.Block1 != nil {
		m.Options = append(m.Options, r.Block1.Option(coap.Block1))
	}
	return m
}
