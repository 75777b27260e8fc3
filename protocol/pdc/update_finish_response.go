package pdc

import (
	"encoding/json"
	"strconv"

	"github.com/muster/muster/protocol/coap"
)

// TransferStats are what a device counted during a transfer (PDC-6.7).
type TransferStats struct {
	Received   uint32 `json:"recv_chunks"`
	Duplicate  uint32 `json:"dup_chunks"`
	OutOfOrder uint32 `json:"ooo_chunks"`
	SentAcks   uint32 `json:"sent_acks"`
	// ProcessingTime is in milliseconds.
	ProcessingTime uint32 `json:"proc_time"`
}

// An UpdateFinishResponse answers an [UpdateFinish] (PDC-6.7). The device
// applies the update when this message is acknowledged, not before.
type UpdateFinishResponse struct {
	Token []byte // that of the request
	// Stats is nil in the answer to a cancellation.
	Stats *TransferStats
	// Refused is the code of an error response, 0 for 2.04.
	Refused    coap.Code
	Diagnostic Diagnostic
	// Piggybacked is true when the refusal is the ACK: the request was
	// malformed.
	Piggybacked bool
}

// ParseUpdateFinishResponse reads an UpdateFinishResponse.
func ParseUpdateFinishResponse(m coap.Message) (UpdateFinishResponse, error) {
	r := UpdateFinishResponse{Token: m.Token, Piggybacked: m.Type == coap.Acknowledgement}
	if isError(m.Code) {
		r.Refused, r.Diagnostic = failed(m)
		return r, nil
	}
	if err := checkResponse(KindUpdateFinishResponse, m, coap.Changed); err != nil {
		return UpdateFinishResponse{}, err
	}
	if len(m.Payload) == 0 {
		return r, nil
	}
	r.Stats = new(TransferStats)
	if err := json.Unmarshal(m.Payload, r.Stats); err != nil {
		return UpdateFinishResponse{}, faultf(KindUpdateFinishResponse, "PDC-6.7", "statistics: %v", err)
	}
	return r, nil
}

// Message returns the message of a device.
func (r UpdateFinishResponse) Message(Dialect) coap.Message {
	m := coap.Message{Type: coap.Confirmable, Code: coap.Changed, Token: r.Token}
	switch {
	case r.Refused != 0:
		m.Code, m.Payload = r.Refused, r.Diagnostic.Append(nil)
		if r.Piggybacked {
			m.Type = coap.Acknowledgement
		}
	case r.Stats != nil:
		m.Payload = r.Stats.append(nil)
	}
	return m
}

func (s TransferStats) append(b []byte) []byte {
	for _, f := range [...]struct {
		name  string
		value uint32
	}{
		{`{"recv_chunks":`, s.Received},
		{`,"dup_chunks":`, s.Duplicate},
		{`,"ooo_chunks":`, s.OutOfOrder},
		{`,"sent_acks":`, s.SentAcks},
		{`,"proc_time":`, s.ProcessingTime},
	} {
		b = strconv.AppendUint(append(b, f.name...), uint64(f.value), 10)
	}
	return append(b, '}')
}
