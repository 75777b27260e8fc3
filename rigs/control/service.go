package control

import (
	"encoding/binary"
	"fmt"
)

// Sizes in bytes.
const (
	// ReplySize is what a host asks for in INIT, CHECK and RESET.
	//
	// Device OS: less than 64 is refused (high-speed devices need it).
	ReplySize = 64
	// TransferMax is the longest data stage of a control transfer: Linux's
	// usbfs, and libusb, take no more.
	TransferMax = 4096
)

// Directions, as the first byte of a setup packet: vendor request to the device.
const (
	hostToDevice = 0x40
	deviceToHost = 0xc0
)

// A service is the second byte of a setup packet (Device OS: 1 to 15 are
// reserved for these).
type service uint8

const (
	serviceInit  service = 1
	serviceCheck service = 2
	serviceSend  service = 3
	serviceRecv  service = 4
	serviceReset service = 5
	// serviceRaw is a request without the machine: it is done in the interrupt,
	// so it works on a board whose threads hang. Its index is the Kind.
	serviceRaw service = 0x50
)

// A Setup is a USB setup packet (USB 2.0, Section 9.3).
type Setup struct {
	Type, Request        uint8
	Value, Index, Length uint16
}

// In reports whether the data stage goes to the host.
func (s Setup) In() bool { return s.Type&0x80 != 0 }

func initSetup(kind Kind, size int) Setup {
	return Setup{deviceToHost, uint8(serviceInit), uint16(size), uint16(kind), ReplySize}
}

func checkSetup(id uint16) Setup {
	return Setup{deviceToHost, uint8(serviceCheck), 0, id, ReplySize}
}

func sendSetup(id uint16, size int) Setup {
	return Setup{hostToDevice, uint8(serviceSend), 0, id, uint16(size)}
}

func recvSetup(id uint16, size uint32) Setup {
	return Setup{deviceToHost, uint8(serviceRecv), 0, id, uint16(size)}
}

// resetSetup cancels a request, all of them for id 0.
func resetSetup(id uint16) Setup {
	return Setup{deviceToHost, uint8(serviceReset), 0, id, ReplySize}
}

// A status is the outcome of a service request.
type status uint16

const (
	statusOK       status = 0
	statusError    status = 1
	statusPending  status = 2
	statusBusy     status = 3 // 4 requests are active
	statusNoMemory status = 4
	statusNotFound status = 5
)

// String returns the status in words.
func (s status) String() string {
	names := [...]string{"ok", "error", "pending", "busy", "no memory", "not found"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("status %d", uint16(s))
}

// Flags of a reply: which fields are there, in this order.
const (
	hasStatus = 1 << iota
	hasID
	hasSize
	hasResult
)

// A reply is the data stage of INIT, CHECK and RESET: flags (4), status (2), then
// what the flags say, little-endian.
type reply struct {
	flags  uint32
	status status
	id     uint16
	size   uint32 // of the reply's payload in bytes
	result int32  // a system error
}

func parseReply(b []byte) (r reply, err error) {
	le := binary.LittleEndian
	if len(b) < 6 {
		return r, fmt.Errorf("%w: a reply of %d bytes", errProtocol, len(b))
	}
	r.flags, r.status = le.Uint32(b), status(le.Uint16(b[4:]))
	if r.flags&hasStatus == 0 {
		return r, fmt.Errorf("%w: a reply without a status", errProtocol)
	}
	rest := b[6:]
	take := func(flag uint32, n int) []byte {
		if r.flags&flag == 0 {
			return nil
		}
		if len(rest) < n {
			err = fmt.Errorf("%w: a reply that ends early", errProtocol)
			return nil
		}
		field := rest[:n]
		rest = rest[n:]
		return field
	}
	if f := take(hasID, 2); f != nil {
		r.id = le.Uint16(f)
	}
	if f := take(hasSize, 4); f != nil {
		r.size = le.Uint32(f)
	}
	if f := take(hasResult, 4); f != nil {
		r.result = int32(le.Uint32(f))
	}
	return r, err
}

func (r reply) bytes() []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, r.flags|hasStatus)
	b = le.AppendUint16(b, uint16(r.status))
	if r.flags&hasID != 0 {
		b = le.AppendUint16(b, r.id)
	}
	if r.flags&hasSize != 0 {
		b = le.AppendUint32(b, r.size)
	}
	if r.flags&hasResult != 0 {
		b = le.AppendUint32(b, uint32(r.result))
	}
	return b
}
