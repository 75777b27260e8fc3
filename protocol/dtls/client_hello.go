package dtls

import (
	"encoding/binary"
	"slices"
)

// A clientHello is the body of a ClientHello (RFC 6347 Section 4.2.1). Its
// slices alias what it was parsed from.
type clientHello struct {
	version     uint16
	random      [randomSize]byte
	sessionID   []byte
	cookie      []byte
	suites      []byte
	compression []byte
	extensions  []byte

	// What the extensions say; nil when they are absent.
	groups, algorithms, pointFormats []byte
	clientTypes, serverTypes         []byte
	cid, deviceOSCID                 []byte
	masterSecret, renegotiated       bool
}

// parseFront parses what comes before the cipher suites, which is all that a
// Gate needs. The rest may be missing.
func (h *clientHello) parseFront(r *reader) bool {
	h.version = r.uint16()
	copy(h.random[:], r.take(randomSize))
	h.sessionID, h.cookie = r.vector8(), r.vector8()
	return !r.bad && len(h.sessionID) <= 32
}

// parseClientHello parses the body of a ClientHello.
func parseClientHello(b []byte) (h clientHello, ok bool) {
	r := reader{b: b}
	if !h.parseFront(&r) {
		return h, false
	}
	h.suites, h.compression = r.vector16(), r.vector8()
	if len(r.b) > 0 { // extensions are optional
		h.extensions = r.vector16()
	}
	if !r.done() || len(h.suites) < 2 || len(h.suites)%2 != 0 || len(h.compression) == 0 {
		return h, false
	}
	return h, walkExtensions(h.extensions, h.setExtension)
}

// setExtension takes one extension and reports whether it is well-formed.
// Unknown ones are ignored (RFC 5246 Section 7.4.1.4).
func (h *clientHello) setExtension(t uint16, body []byte) bool {
	r := reader{b: body}
	switch t {
	case extGroups:
		h.groups = present(r.vector16())
	case extAlgorithms:
		h.algorithms = present(r.vector16())
	case extPointFormats:
		h.pointFormats = present(r.vector8())
	case extClientType:
		h.clientTypes = present(r.vector8())
	case extServerType:
		h.serverTypes = present(r.vector8())
	case extCID:
		h.cid = present(r.vector8())
	case extDeviceOSCID:
		h.deviceOSCID = present(r.vector8())
	case extMasterSecret:
		h.masterSecret = true
	case extRenegotiated:
		h.renegotiated = true
		r.vector8()
	default:
		return true
	}
	return r.done()
}

// present makes an empty slice differ from an absent one.
func present(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// unknownExtension reports whether there is an extension that this package does
// not know.
func (h *clientHello) unknownExtension() bool {
	known := []uint16{
		extGroups, extPointFormats, extAlgorithms, extClientType, extServerType, extMasterSecret, extCID, extDeviceOSCID, extRenegotiated,
	}
	return !walkExtensions(h.extensions, func(t uint16, _ []byte) bool { return slices.Contains(known, t) })
}

// append appends the body, with extensions as they are.
func (h *clientHello) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, h.version)
	b = append(b, h.random[:]...)
	b = appendVector8(b, h.sessionID)
	b = appendVector8(b, h.cookie)
	b = appendVector16(b, h.suites)
	b = appendVector8(b, h.compression)
	if h.extensions == nil {
		return b
	}
	return appendVector16(b, h.extensions)
}

// hello returns the ClientHello of a client, without a cookie.
func (c *ClientConfig) hello(random *[randomSize]byte) clientHello {
	h := clientHello{version: version12, random: *random, compression: []byte{compressionNull}}
	if c.Faults.Version != 0 {
		h.version = c.Faults.Version
	}
	suites := []uint16{suiteCCM8, suiteRenegotiated}
	if c.Faults.CipherSuites != nil {
		suites = c.Faults.CipherSuites
	}
	h.suites = appendUint16s(nil, suites)
	types := c.helloExtensions()
	if c.Faults.Extensions != nil {
		types = c.Faults.Extensions
	}
	h.extensions = []byte{}
	for _, t := range types {
		h.extensions = appendExtension(h.extensions, t, c.extension(t))
	}
	return h
}

// helloExtensions returns the extensions of a ClientHello.
//
// Device OS: in exactly this order.
func (c *ClientConfig) helloExtensions() []uint16 {
	types := make([]uint16, 0, 8)
	if c.Profile == DeviceOS {
		types = append(types, extAlgorithms, extGroups, extPointFormats)
		if c.habit().cid {
			types = append(types, extDeviceOSCID)
		}
		return append(types, extClientType, extServerType)
	}
	types = append(types, extGroups, extPointFormats, extAlgorithms)
	if c.Certificate == nil {
		types = append(types, extClientType)
	}
	types = append(types, extServerType)
	if !c.NoExtendedMasterSecret {
		types = append(types, extMasterSecret)
	}
	if c.CID != nil {
		types = append(types, extCID)
	}
	return types
}

// extension returns the body of an extension of ClientHello, empty for an
// unknown one.
func (c *ClientConfig) extension(t uint16) []byte {
	switch t {
	case extAlgorithms:
		return appendVector16(nil, appendUint16s(nil, c.habit().algorithms))
	case extGroups:
		groups := []uint16{groupP256}
		if c.Faults.Groups != nil {
			groups = c.Faults.Groups
		}
		return appendVector16(nil, appendUint16s(nil, groups))
	case extPointFormats:
		return []byte{1, 0} // uncompressed
	case extDeviceOSCID:
		return []byte{0} // send none to me, give one to me
	case extCID:
		return appendVector8(nil, c.CID)
	case extClientType:
		return []byte{1, typeRawKey}
	case extServerType:
		if c.Profile == Standard {
			return []byte{2, typeRawKey, typeX509}
		}
		return []byte{1, typeRawKey}
	case extRenegotiated:
		return []byte{0}
	default:
		return nil
	}
}
