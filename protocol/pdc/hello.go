package pdc

import (
	"encoding/binary"

	"github.com/muster/muster/protocol/coap"
)

// HelloFlags are the flags of a [Hello].
type HelloFlags uint16

// The flags, with the Device OS release that brought each.
const (
	HelloUpdated           HelloFlags = 0x0001 // ≤0.5: the last update was applied
	HelloMetrics           HelloFlags = 0x0002 // 0.8: answers a metrics describe
	HelloImmediateUpdates  HelloFlags = 0x0004 // 1.2: understands particle/device/updates/*
	HelloHandshakeComplete HelloFlags = 0x0008 // reserved, never set
	HelloGoodbye           HelloFlags = 0x0010 // 2.0: sends Goodbye
	HelloDescribe          HelloFlags = 0x0020 // 2.0: describes itself unasked
	HelloCompressed        HelloFlags = 0x0040 // 2.0: takes compressed and combined images
	HelloOTA3              HelloFlags = 0x0080 // 3.0: speaks OTA protocol v3 instead of the legacy one
)

// HelloFlags returns the flags that a device of dialect d sets when no update
// was applied (PDC-2.1).
func (d Dialect) HelloFlags() HelloFlags {
	var f HelloFlags
	if d.System >= OS0_8 {
		f |= HelloMetrics
	}
	if d.System >= OS1_2 {
		f |= HelloImmediateUpdates
	}
	if d.System >= OS2_0 {
		f |= HelloGoodbye | HelloDescribe
		if d.Platform.Gen3() {
			f |= HelloCompressed
		}
	}
	if d.OTA3 {
		f |= HelloOTA3
	}
	return f
}

// A Hello is the first message of a session (PDC-2.1). It has no token. Over
// UDP an empty ACK answers it, over TCP a [ServerHello].
type Hello struct {
	ProductID      uint16 // defaults to the platform id
	ProductVersion uint16 // 0xffff when not set
	Flags          HelloFlags
	// NoPlatform is true for the oldest Core form, which ends here.
	NoPlatform bool
	Platform   Platform
	DeviceID   []byte // 12 bytes over UDP, nil over TCP

	// Since 3.0, zero before.
	System     uint16 // system module version
	MaxMessage uint16 // largest CoAP message in bytes
	MaxBinary  uint32 // largest module in bytes, 0 for no limit
	ChunkSize  uint16 // legacy OTA, in bytes
}

// The sizes of a Hello's parts.
const (
	helloOldest   = 6  // without a platform
	helloShort    = 8  // ≤2.x TCP
	helloIDAt     = 10 // device id
	helloExtended = 10 // behind the device id since 3.0
)

// ParseHello reads any form of Hello. A field that is missing at the end is
// zero; what follows the known fields belongs to later versions and is left
// unread (C-3).
func ParseHello(m coap.Message) (Hello, error) {
	var h Hello
	if err := check(KindHello, m); err != nil {
		return h, err
	}
	b := m.Payload
	if len(b) < helloOldest {
		return h, faultf(KindHello, "C-3", "payload of %d bytes, want at least %d", len(b), helloOldest)
	}
	h.ProductID = binary.BigEndian.Uint16(b)
	h.ProductVersion = binary.BigEndian.Uint16(b[2:])
	h.Flags = HelloFlags(binary.BigEndian.Uint16(b[4:]))
	if len(b) < helloShort {
		h.NoPlatform = true
		return h, nil
	}
	h.Platform = Platform(binary.BigEndian.Uint16(b[6:]))
	if len(b) < helloIDAt {
		return h, nil
	}
	n := int(b[9])
	if n != 0 && n != deviceIDSize || helloIDAt+n > len(b) {
		return Hello{}, faultf(KindHello, "PDC-2.1", "device id of %d bytes in a payload of %d", n, len(b))
	}
	if n != 0 {
		h.DeviceID = b[helloIDAt : helloIDAt+n]
	}
	h.parseExtended(b[helloIDAt+n:])
	return h, nil
}

func (h *Hello) parseExtended(b []byte) {
	if len(b) >= 2 {
		h.System = binary.BigEndian.Uint16(b)
	}
	if len(b) >= 4 {
		h.MaxMessage = binary.BigEndian.Uint16(b[2:])
	}
	if len(b) >= 8 {
		h.MaxBinary = binary.BigEndian.Uint32(b[4:])
	}
	if len(b) >= helloExtended {
		h.ChunkSize = binary.BigEndian.Uint16(b[8:])
	}
}

// Message returns the Hello that a device of dialect d sends.
func (h Hello) Message(d Dialect) coap.Message {
	m := request(d.con(), coap.POST, "h", nil)
	b := make([]byte, 0, helloIDAt+deviceIDSize+helloExtended)
	b = binary.BigEndian.AppendUint16(b, h.ProductID)
	b = binary.BigEndian.AppendUint16(b, h.ProductVersion)
	b = binary.BigEndian.AppendUint16(b, uint16(h.Flags))
	if !h.NoPlatform {
		b = binary.BigEndian.AppendUint16(b, uint16(h.Platform))
		b = h.appendID(b, d)
	}
	m.Payload = b
	return m
}

func (h Hello) appendID(b []byte, d Dialect) []byte {
	if d.System < OS3_0 && !d.UDP {
		return b
	}
	b = append(b, 0, byte(len(h.DeviceID)))
	b = append(b, h.DeviceID...)
	if d.System < OS3_0 {
		return b
	}
	b = binary.BigEndian.AppendUint16(b, h.System)
	b = binary.BigEndian.AppendUint16(b, h.MaxMessage)
	b = binary.BigEndian.AppendUint32(b, h.MaxBinary)
	return binary.BigEndian.AppendUint16(b, h.ChunkSize)
}

// Dialect returns what the device that sent h over the given transport speaks.
// A Hello of 2.x or older tells the version only by its flags: the result then
// has the oldest release that sets them, until a describe tells more
// ([Dialect.Refine]).
func (h Hello) Dialect(udp bool) Dialect {
	d := Dialect{
		System:     h.System,
		Platform:   h.Platform,
		MaxMessage: h.MaxMessage,
		UDP:        udp,
		OTA3:       h.Flags&HelloOTA3 != 0,
	}
	if d.System != 0 {
		return d
	}
	switch {
	case h.Flags&(HelloGoodbye|HelloDescribe|HelloCompressed) != 0:
		d.System = OS2_0
	case h.Flags&HelloImmediateUpdates != 0:
		d.System = OS1_2
	case h.Flags&HelloMetrics != 0:
		d.System = OS0_8
	default:
		d.System = OS0_5
	}
	return d
}
