package dtls

import "encoding/binary"

// A serverHello is the body of a ServerHello (RFC 5246 Section 7.4.1.3).
type serverHello struct {
	version     uint16
	random      [randomSize]byte
	sessionID   []byte
	suite       uint16
	compression byte
	extensions  []byte

	// What the extensions say.
	clientType, serverType int    // certificate types, X.509 when absent
	cid, deviceOSCID       []byte // inner part; nil when absent
	badCID                 bool   // inner and outer length differ
	masterSecret           bool
}

// parseServerHello parses the body of a ServerHello. Extensions that are
// unknown or were not offered are ignored, as Device OS does, against
// RFC 5246 Section 7.4.1.4.
func parseServerHello(b []byte) (h serverHello, ok bool) {
	r := reader{b: b}
	h.version = r.uint16()
	copy(h.random[:], r.take(randomSize))
	h.sessionID, h.suite, h.compression = r.vector8(), r.uint16(), r.uint8()
	if len(r.b) > 0 {
		h.extensions = r.vector16()
	}
	if !r.done() || len(h.sessionID) > 32 {
		return h, false
	}
	return h, walkExtensions(h.extensions, h.setExtension)
}

func (h *serverHello) setExtension(t uint16, body []byte) bool {
	r := reader{b: body}
	switch t {
	case extClientType:
		h.clientType = int(r.uint8())
	case extServerType:
		h.serverType = int(r.uint8())
	case extMasterSecret:
		h.masterSecret = true
	case extCID, extDeviceOSCID:
		cid := present(r.vector8())
		if t == extCID {
			h.cid = cid
		} else {
			h.deviceOSCID = cid
		}
		h.badCID = h.badCID || !r.done()
		return true // judged by the client, which knows what it offered
	default:
		return true
	}
	return r.done()
}

// append appends the body; nil extensions leave even their length out.
func (h *serverHello) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, h.version)
	b = append(b, h.random[:]...)
	b = appendVector8(b, h.sessionID)
	b = binary.BigEndian.AppendUint16(b, h.suite)
	b = append(b, h.compression)
	if h.extensions == nil {
		return b
	}
	return appendVector16(b, h.extensions)
}
