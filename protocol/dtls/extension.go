package dtls

import "encoding/binary"

// The extensions that this package knows. Others are ignored in a ClientHello.
const (
	extGroups       = 10     // supported_groups, RFC 8422 Section 5.1
	extPointFormats = 11     // ec_point_formats, RFC 8422 Section 5.1
	extAlgorithms   = 13     // signature_algorithms, RFC 5246 Section 7.4.1.4.1
	extClientType   = 19     // client_certificate_type, RFC 7250 Section 3
	extServerType   = 20     // server_certificate_type, RFC 7250 Section 3
	extMasterSecret = 23     // extended_master_secret, RFC 7627 Section 5.1
	extCID          = 54     // connection_id, RFC 9146 Section 3
	extDeviceOSCID  = 254    // Device OS: connection_id before RFC 9146 had a number
	extRenegotiated = 0xff01 // renegotiation_info, RFC 5746 Section 3.2
)

// The codes of the one cipher suite and what belongs to it.
const (
	suiteCCM8         = 0xc0ae // TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8, RFC 7251 Section 2
	suiteRenegotiated = 0x00ff // TLS_EMPTY_RENEGOTIATION_INFO_SCSV, RFC 5746 Section 3.3
	groupP256         = 23     // secp256r1
	algorithmP256     = 0x0403 // ecdsa with SHA-256
	typeX509          = 0      // certificate types, RFC 7250 Section 3
	typeRawKey        = 2
	compressionNull   = 0
	randomSize        = 32
)

// appendExtension appends one extension.
func appendExtension(b []byte, t uint16, body []byte) []byte {
	return appendVector16(binary.BigEndian.AppendUint16(b, t), body)
}

// walkExtensions calls visit for each extension in b and reports whether b is
// well-formed and visit was always content.
func walkExtensions(b []byte, visit func(t uint16, body []byte) bool) bool {
	r := reader{b: b}
	for len(r.b) > 0 {
		t, body := r.uint16(), r.vector16()
		if r.bad || !visit(t, body) {
			return false
		}
	}
	return true
}
