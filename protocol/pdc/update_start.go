package pdc

import (
	"github.com/muster/muster/protocol/coap"
)

// An UpdateStart offers an update of OTA protocol v3 (PDC-6.5). An empty ACK
// and an [UpdateStartResponse] answer it; a malformed one gets its error in the
// ACK.
type UpdateStart struct {
	Token    []byte // 1 to 8 bytes
	FileSize uint32 // bytes, above 0
	// SHA256 is of the complete file as sent, 32 bytes; nil for a transfer
	// that cannot be resumed.
	SHA256    []byte
	ChunkSize uint32 // bytes: 512 to [MaxChunkSize], a multiple of 4
	// DiscardData makes the device forget a saved part of a file.
	DiscardData bool
	// ModuleFunction is that of the first module (since 5.5); it counts only
	// if HasModuleFunction is set.
	ModuleFunction    uint8
	HasModuleFunction bool
}

// ParseUpdateStart reads an UpdateStart. It checks what must be there and of
// which size it is; whether the values are in range is [UpdateStart.Check]'s.
func ParseUpdateStart(m coap.Message) (UpdateStart, error) {
	if err := checkRequest(KindUpdateStart, m); err != nil {
		return UpdateStart{}, err
	}
	return parseUpdateStart(m)
}

func parseUpdateStart(m coap.Message) (UpdateStart, error) {
	u := UpdateStart{Token: m.Token, DiscardData: m.Has(coap.DiscardData)}
	var ok bool
	if u.FileSize, ok = m.Uint(coap.FileSize); !ok {
		return UpdateStart{}, badStart("no File-Size")
	}
	if u.ChunkSize, ok = m.Uint(coap.ChunkSize); !ok {
		return UpdateStart{}, badStart("no Chunk-Size")
	}
	if sha, ok := m.Option(coap.FileSHA256); ok {
		if len(sha) != 32 {
			return UpdateStart{}, badStart("File-SHA-256 is not 32 bytes")
		}
		u.SHA256 = sha
	}
	if v, _ := m.Option(coap.DiscardData); len(v) != 0 {
		return UpdateStart{}, badStart("Discard-Data is not empty")
	}
	if m.Has(coap.ModuleFunction) {
		f, ok := m.Uint(coap.ModuleFunction)
		if !ok || f > 0xff {
			return UpdateStart{}, badStart("Module-Function above 255")
		}
		u.ModuleFunction, u.HasModuleFunction = uint8(f), true
	}
	return u, nil
}

// badStart is what a device answers with a 5.03 in the ACK.
func badStart(reason string) *Error {
	return &Error{Kind: KindUpdateStart, Rule: "N-24", Reason: reason, Answer: coap.ServiceUnavailable}
}

// Check reports whether the values are ones that a device of dialect d takes
// (C-40, N-24).
func (u UpdateStart) Check(d Dialect) error {
	limit := MaxChunkSize(d.Limits().Message)
	switch {
	case u.FileSize == 0:
		return badStart("file size 0")
	case u.ChunkSize < MinChunkSize || u.ChunkSize > limit:
		return badStart("chunk size out of range")
	case u.ChunkSize%4 != 0:
		return badStart("chunk size is not a multiple of 4")
	}
	return nil
}

// OnDeviceUpdateStart reads an UpdateStart as a board of dialect d does. The
// *Error's Answer goes into the ACK with the diagnostic -240, without a token
// when the request has none; for a NON request the connection ends too.
func OnDeviceUpdateStart(m coap.Message, d Dialect) (UpdateStart, error) {
	if m.Type != coap.Confirmable {
		e := badStart("not confirmable")
		e.Reaction = Disconnect
		return UpdateStart{Token: m.Token}, e
	}
	if len(m.Token) == 0 {
		return UpdateStart{}, badStart("no token")
	}
	u, err := parseUpdateStart(m)
	if err != nil {
		return UpdateStart{Token: m.Token}, err
	}
	return u, u.Check(d)
}

// Message returns the message for a device. The uint options have their
// shortest form, three bytes included.
func (u UpdateStart) Message(Dialect) coap.Message {
	m := request(coap.Confirmable, coap.POST, "S", u.Token, minimalUint(coap.FileSize, u.FileSize))
	if u.SHA256 != nil {
		m.Options = append(m.Options, coap.Opaque(coap.FileSHA256, u.SHA256))
	}
	m.Options = append(m.Options, minimalUint(coap.ChunkSize, u.ChunkSize))
	if u.DiscardData {
		m.Options = append(m.Options, coap.Opaque(coap.DiscardData, nil))
	}
	if u.HasModuleFunction {
		m.Options = append(m.Options, minimalUint(coap.ModuleFunction, uint32(u.ModuleFunction)))
	}
	return m
}
