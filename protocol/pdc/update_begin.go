package pdc

import (
	"encoding/binary"

	"github.com/muster/muster/protocol/coap"
)

// The stores of a legacy update (PDC-6.2). From 2.x on only StoreFirmware is
// taken.
const (
	StoreFirmware    = 0
	StoreSystem      = 1 // or external flash
	StoreApplication = 128
)

// An UpdateBegin offers a legacy update (PDC-6.2). An empty ACK accepts it, and
// an [UpdateReady] follows; an [UpdateBeginRefusal] refuses it.
type UpdateBegin struct {
	Token []byte // one byte
	// Save is true for the form with path s, which a device treats alike.
	Save bool
	// Defaults is true for the form without a payload: all defaults, slow.
	Defaults  bool
	Fast      bool   // fast OTA offered
	ChunkSize uint16 // bytes; 0 for the default, 512
	Length    uint32 // of the file in bytes; 0 for the most there can be
	Store     uint8
	Address   uint32 // 0 for firmware
}

// updateBeginSize is the size of the payload.
const updateBeginSize = 12

// DefaultChunkSize is the legacy chunk size in bytes when none is given.
const DefaultChunkSize = 512

// ParseUpdateBegin reads an UpdateBegin.
func ParseUpdateBegin(m coap.Message) (UpdateBegin, error) {
	if err := checkRequest(KindUpdateBegin, m); err != nil {
		return UpdateBegin{}, err
	}
	u := UpdateBegin{Token: m.Token, Save: m.PathChar() == 's'}
	switch {
	case len(m.Payload) == 0:
		u.Defaults = true
	case len(m.Payload) < updateBeginSize:
		return UpdateBegin{}, faultf(KindUpdateBegin, "PDC-6.2", "payload of %d bytes, want 12", len(m.Payload))
	default:
		u.decode(m.Payload)
	}
	return u, nil
}

func (u *UpdateBegin) decode(b []byte) {
	u.Fast = b[0]&1 != 0
	u.ChunkSize = binary.BigEndian.Uint16(b[1:])
	u.Length = binary.BigEndian.Uint32(b[3:])
	u.Store = b[7]
	u.Address = binary.BigEndian.Uint32(b[8:])
}

// Message returns the message for a device.
func (u UpdateBegin) Message(Dialect) coap.Message {
	char := "u"
	if u.Save {
		char = "s"
	}
	m := request(coap.Confirmable, coap.POST, char, u.Token)
	if u.Defaults {
		return m
	}
	b := make([]byte, 1, updateBeginSize)
	if u.Fast {
		b[0] = 1
	}
	b = binary.BigEndian.AppendUint16(b, u.ChunkSize)
	b = binary.BigEndian.AppendUint32(b, u.Length)
	b = append(b, u.Store)
	m.Payload = binary.BigEndian.AppendUint32(b, u.Address)
	return m
}

// OnDeviceUpdateBegin reads an UpdateBegin as a board does.
//
// Device OS: the payload is looked at only when the message has at least 20
// bytes and byte 7 is the payload marker.
func OnDeviceUpdateBegin(wire []byte) UpdateBegin {
	u := UpdateBegin{Token: token4(wire), Defaults: true}
	if len(wire) > 6 {
		u.Save = wire[6] == 's'
	}
	if len(wire) >= 8+updateBeginSize && wire[7] == 0xff {
		u.Defaults = false
		u.decode(wire[8:])
	}
	return u
}

// An UpdateBeginRefusal is the ACK that refuses an [UpdateBegin]: 4.00 without
// a token up to 1.1, then 5.03 with it.
type UpdateBeginRefusal struct {
	Token []byte // that of the request, not sent up to 1.1
}

// ParseUpdateBeginRefusal reads an UpdateBeginRefusal.
func ParseUpdateBeginRefusal(m coap.Message) (UpdateBeginRefusal, error) {
	err := checkResponse(KindUpdateBeginRefusal, m, coap.BadRequest, coap.ServiceUnavailable)
	if err != nil {
		return UpdateBeginRefusal{}, err
	}
	return UpdateBeginRefusal{Token: m.Token}, nil
}

// Message returns the message of a device of dialect d.
func (r UpdateBeginRefusal) Message(d Dialect) coap.Message {
	if d.System < OS1_2 {
		return coap.Message{Type: coap.Acknowledgement, Code: coap.BadRequest}
	}
	return coap.Message{Type: coap.Acknowledgement, Code: coap.ServiceUnavailable, Token: r.Token}
}
