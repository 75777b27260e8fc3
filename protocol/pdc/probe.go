package pdc

import "encoding/binary"

// The layout of a reachability probe.
const (
	probeType     = 252
	probeVersion  = 0xfefd
	probeEpochMin = 0x8000
	probeHeader   = 13
	// ProbeMin and ProbeMax are the sizes of the shortest and the longest
	// probe in bytes.
	ProbeMin = probeHeader + 1
	ProbeMax = 525
)

// ProbeForm is how a release of Device OS fills the six sequence bytes.
type ProbeForm uint8

// The forms.
const (
	// ProbeCounter has a 32-bit counter and two zero bytes: 5.6 to 5.8, 6.0
	// and 6.1. Its payload has at most 255 bytes.
	ProbeCounter ProbeForm = iota
	// ProbeTimed has 32 bits of the sender's milliseconds and a 16-bit
	// counter: 5.9 and 6.2. Its payload has at most 511 bytes.
	ProbeTimed
)

// ProbeForm returns the form that a device of dialect d sends and whether it
// sends probes at all: since 5.6 on boards of the third generation.
func (d Dialect) ProbeForm() (ProbeForm, bool) {
	const os5_6, os5_9 = 5600, 5900
	if d.System < os5_6 || !d.Platform.Gen3() {
		return 0, false
	}
	if d.System >= os5_9 && d.System < OS6_0 || d.System >= OS6_2 {
		return ProbeTimed, true
	}
	return ProbeCounter, true
}

// PayloadMax returns the longest payload of the form in bytes.
func (f ProbeForm) PayloadMax() int {
	if f == ProbeTimed {
		return 511
	}
	return 255
}

// A Probe is a datagram by which a device asks whether the cloud is reachable
// over one of its interfaces (TRN-5.5). It looks like a DTLS record but belongs
// to no session, and the cloud sends it back unchanged.
type Probe struct {
	Interface uint16  // index of the network interface, below 0x8000
	Sequence  [6]byte // see Counter and Milliseconds
	Payload   []byte  // random bytes
}

// IsProbe reports whether a datagram claims to be a probe: its first byte is
// 252.
func IsProbe(datagram []byte) bool { return len(datagram) > 0 && datagram[0] == probeType }

// A ProbeError says why a datagram is not a probe and must not be echoed.
type ProbeError struct{ Reason string }

// Error returns the reason.
func (e *ProbeError) Error() string { return "pdc: probe: " + e.Reason }

// ParseProbe reads a probe. Without an error the datagram may be echoed to its
// source, byte for byte, within the limits of rate. The result aliases
// it.
func ParseProbe(datagram []byte) (Probe, error) {
	switch n := len(datagram); {
	case n < ProbeMin || n > ProbeMax:
		return Probe{}, &ProbeError{"size is not 14 to 525 bytes"}
	case datagram[0] != probeType:
		return Probe{}, &ProbeError{"content type is not 252"}
	case binary.BigEndian.Uint16(datagram[1:]) != probeVersion:
		return Probe{}, &ProbeError{"version is not fefd"}
	case binary.BigEndian.Uint16(datagram[3:]) < probeEpochMin:
		return Probe{}, &ProbeError{"epoch is below 0x8000"}
	case int(binary.BigEndian.Uint16(datagram[11:])) != n-probeHeader:
		return Probe{}, &ProbeError{"length is not that of the payload"}
	}
	p := Probe{
		Interface: binary.BigEndian.Uint16(datagram[3:]) &^ probeEpochMin,
		Payload:   datagram[probeHeader:],
	}
	copy(p.Sequence[:], datagram[5:])
	return p, nil
}

// NewProbe returns a probe of the given form. Milliseconds count in ProbeTimed
// only, and of its counter the low 16 bits.
func NewProbe(form ProbeForm, iface uint16, counter, milliseconds uint32, payload []byte) Probe {
	p := Probe{Interface: iface, Payload: payload}
	if form == ProbeTimed {
		binary.BigEndian.PutUint32(p.Sequence[:], milliseconds)
		binary.BigEndian.PutUint16(p.Sequence[4:], uint16(counter))
		return p
	}
	binary.BigEndian.PutUint32(p.Sequence[:], counter)
	return p
}

// Counter returns the counter of a probe of the given form.
func (p Probe) Counter(form ProbeForm) uint32 {
	if form == ProbeTimed {
		return uint32(binary.BigEndian.Uint16(p.Sequence[4:]))
	}
	return binary.BigEndian.Uint32(p.Sequence[:])
}

// Milliseconds returns the sender's clock in a probe of form ProbeTimed.
func (p Probe) Milliseconds() uint32 { return binary.BigEndian.Uint32(p.Sequence[:]) }

// Append appends the datagram to b.
func (p Probe) Append(b []byte) []byte {
	b = append(b, probeType)
	b = binary.BigEndian.AppendUint16(b, probeVersion)
	b = binary.BigEndian.AppendUint16(b, probeEpochMin|p.Interface)
	b = append(b, p.Sequence[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.Payload)))
	return append(b, p.Payload...)
}
