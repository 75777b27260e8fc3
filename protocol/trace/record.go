package trace

import (
	"encoding/hex"
	"fmt"

	"github.com/muster/muster/protocol/dtls"
)

// A Unit is what a Record is.
type Unit uint8

// The units.
const (
	DTLS   Unit = iota // a DTLS record
	Nonce              // TCP: the cloud's first 40 bytes
	C1                 // TCP: 256 bytes of the device
	Answer             // TCP: C2 and S of the cloud, 384 bytes
	Frame              // TCP: length and ciphertext
	Probe              // UDP: a reachability probe or its echo
	numUnits
)

var units = [numUnits]string{"record", "nonce", "C1", "C2|S", "frame", "probe"}

// String returns the unit's name.
func (u Unit) String() string {
	if u >= numUnits {
		return fmt.Sprintf("unit(%d)", uint8(u))
	}
	return units[u]
}

// A State says whether a record could be read.
type State uint8

// The states.
const (
	Plain    State = iota // not protected
	Opened                // protected, and authentic where the transport can tell
	Sealed                // protected, no key for it
	Rejected              // protected, and the keys that should fit do not
	Broken                // its content is not what it claims to be
	numStates
)

var states = [numStates]string{"plain", "opened", "sealed", "rejected", "broken"}

// String returns the state in a word.
func (s State) String() string {
	if s >= numStates {
		return fmt.Sprintf("state(%d)", uint8(s))
	}
	return states[s]
}

// A Record is one DTLS record, or one unit of the TCP transport.
type Record struct {
	Unit  Unit
	State State
	// Type is the content type on the wire, Content the real one, which differs
	// for 25, 253 and 254. DTLS only.
	Type, Content dtls.ContentType
	Version       uint16
	Epoch         uint16
	Sequence      uint64
	CID           dtls.CID
	// Trailer is the device id behind a record of type 254.
	Trailer DeviceID
	// Size is what the record takes in its packet, headers of the record and
	// trailer included; Length what its length field says; both in bytes.
	Size, Length int
	// Padding is the number of zeros behind the real type, or of padding bytes of
	// a frame.
	Padding int
	// ExplicitNonce are the 8 bytes before the ciphertext of a protected record.
	ExplicitNonce [8]byte

	// Repeated is true when a record with this epoch and sequence was seen before
	// in this direction. Reused is true when that one had other bytes, which
	// breaks the cipher.
	Repeated, Reused bool

	Handshake []Handshake
	Alert     *Alert
	Message   *Message
	// Why a record is Sealed, Rejected or Broken.
	Problem string
}

// An Alert is one alert.
type Alert struct {
	Level       dtls.AlertLevel
	Description dtls.AlertDescription
}

// String returns level and description.
func (a *Alert) String() string { return fmt.Sprintf("alert %d %v", a.Level, a.Description) }

// String returns a few words without application data.
func (r *Record) String() string {
	s := r.Unit.String()
	if r.Unit == DTLS {
		s = fmt.Sprintf("%d #%d", uint8(r.Type), r.Sequence)
		if r.Epoch != 1 {
			s = fmt.Sprintf("%d #%d.%d", uint8(r.Type), r.Epoch, r.Sequence)
		}
	}
	if r.State != Plain && r.State != Opened {
		s += " " + r.State.String()
		if r.Problem != "" {
			s += " (" + r.Problem + ")"
		}
	}
	if r.Reused {
		s += " SEQUENCE REUSED"
	} else if r.Repeated {
		s += " repeated"
	}
	for i := range r.Handshake {
		s += " " + r.Handshake[i].String()
	}
	if r.Alert != nil {
		s += " " + r.Alert.String()
	}
	if r.Message != nil {
		s += " " + r.Message.String()
	}
	return s
}

// Lines returns everything about the record, application data included, a line
// each.
func (r *Record) Lines() []string {
	lines := []string{r.line()}
	for i := range r.Handshake {
		lines = append(lines, r.Handshake[i].line())
	}
	if r.Alert != nil {
		lines = append(lines, fmt.Sprintf("alert level=%d description=%d", r.Alert.Level, r.Alert.Description))
	}
	if m := r.Message; m != nil {
		lines = append(lines, "plaintext "+hex.EncodeToString(m.Wire), "coap "+m.Text())
	}
	return lines
}

// line describes the record itself.
func (r *Record) line() string {
	switch r.Unit {
	case Nonce, C1, Answer, Probe:
		return fmt.Sprintf("%v (%d bytes)", r.Unit, r.Size)
	case Frame:
		s := fmt.Sprintf("frame length=%d", r.Length)
		if r.State == Opened {
			return s + fmt.Sprintf(" padding=%d", r.Padding)
		}
		return s + " " + r.State.String()
	default: // DTLS
	}
	s := fmt.Sprintf("record type=%d %s version=%04x epoch=%d seq=%d", uint8(r.Type), typeName(r.Type), r.Version, r.Epoch, r.Sequence)
	if r.CID.Len() > 0 {
		s += fmt.Sprintf(" cid=%v", r.CID)
	}
	s += fmt.Sprintf(" length=%d", r.Length)
	switch r.State {
	case Opened:
		s += fmt.Sprintf(" -> %s", typeName(r.Content))
		if r.CID.Len() > 0 {
			s += fmt.Sprintf(", padding %d", r.Padding)
		}
	case Sealed, Rejected, Broken:
		s += " " + r.State.String()
	default: // Plain needs no word
	}
	return s
}

func typeName(t dtls.ContentType) string {
	switch t {
	case dtls.TypeCID:
		return "cid"
	case dtls.TypeMovedCID:
		return "cid(253)"
	case dtls.TypeMovedTrailer:
		return "moved(254)"
	default: // of TLS
		return t.String()
	}
}
