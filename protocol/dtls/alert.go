package dtls

import "fmt"

// An AlertLevel is the first byte of an alert (RFC 5246 Section 7.2).
type AlertLevel uint8

// The alert levels.
const (
	AlertWarning AlertLevel = 1
	AlertFatal   AlertLevel = 2
)

// An AlertDescription is the second byte of an alert (RFC 5246 Section 7.2).
type AlertDescription uint8

// The alerts that Device OS or this package sends.
const (
	CloseNotify            AlertDescription = 0
	UnexpectedMessage      AlertDescription = 10
	BadRecordMAC           AlertDescription = 20
	HandshakeFailure       AlertDescription = 40
	BadCertificate         AlertDescription = 42
	UnsupportedCertificate AlertDescription = 43
	IllegalParameter       AlertDescription = 47
	AccessDenied           AlertDescription = 49
	DecodeError            AlertDescription = 50
	DecryptError           AlertDescription = 51
	ProtocolVersion        AlertDescription = 70
	InternalError          AlertDescription = 80
	NoRenegotiation        AlertDescription = 100
	UnsupportedExtension   AlertDescription = 110
)

var alertNames = map[AlertDescription]string{
	CloseNotify:            "close_notify",
	UnexpectedMessage:      "unexpected_message",
	BadRecordMAC:           "bad_record_mac",
	HandshakeFailure:       "handshake_failure",
	BadCertificate:         "bad_certificate",
	UnsupportedCertificate: "unsupported_certificate",
	IllegalParameter:       "illegal_parameter",
	AccessDenied:           "access_denied",
	DecodeError:            "decode_error",
	DecryptError:           "decrypt_error",
	ProtocolVersion:        "protocol_version",
	InternalError:          "internal_error",
	NoRenegotiation:        "no_renegotiation",
	UnsupportedExtension:   "unsupported_extension",
}

// String returns the name in RFC 5246 and the number.
func (d AlertDescription) String() string {
	if name, ok := alertNames[d]; ok {
		return fmt.Sprintf("%s (%d)", name, uint8(d))
	}
	return fmt.Sprintf("alert %d", uint8(d))
}

// parseAlert returns the two bytes of an alert. An alert is never fragmented
// and never shares a record with another.
func parseAlert(b []byte) (AlertLevel, AlertDescription, bool) {
	if len(b) != 2 || b[0] != byte(AlertWarning) && b[0] != byte(AlertFatal) {
		return 0, 0, false
	}
	return AlertLevel(b[0]), AlertDescription(b[1]), true
}
