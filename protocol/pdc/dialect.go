package pdc

import "github.com/muster/muster/protocol/coap"

// A Dialect says what one device speaks. Both sides hold the one of the
// device: the device its own, the cloud the one that Hello told
// ([Hello.Dialect]). It is eight bytes and comparable.
type Dialect struct {
	// System is the system module version of the device's Device OS, see the
	// OS constants. Zero is older than everything.
	System   uint16
	Platform Platform
	// MaxMessage is the largest CoAP message in bytes that the device takes
	// and sends at present, 0 for the compiled limit of System and Platform.
	MaxMessage uint16
	// UDP is true for DTLS over UDP, false for AES over TCP.
	UDP bool
	// OTA3 is true when the device speaks OTA protocol v3, and then only that
	// (Hello flag 0x80).
	OTA3 bool
}

// NewDialect returns what a board of the platform with that system module
// version speaks by default, over its default transport.
func NewDialect(system uint16, p Platform) Dialect {
	return Dialect{
		System:   system,
		Platform: p,
		UDP:      p.DefaultUDP(),
		OTA3:     system >= OS3_0 && p.Gen3(),
	}
}

// Over returns d over the given transport.
func (d Dialect) Over(udp bool) Dialect {
	d.UDP = udp
	return d
}

// Refine returns d with the system module version that a describe told. Hellos
// before 3.0 do not carry it.
func (d Dialect) Refine(system uint16) Dialect {
	d.System = system
	return d
}

// Ledger reports whether the device has the new CoAP channel and with it
// ledgers: 5.8, 5.9, 6.1 and 6.2, but not 6.0.
//
// The 5.4 ledger preview has them too; its number does not tell.
func (d Dialect) Ledger() bool {
	return d.System >= OS5_8 && d.System < OS6_0 || d.System >= OS6_1
}

// letterE returns the first path segment of an event that the device
// publishes: Device OS 6.2 knows private events only.
func (d Dialect) letterE(private bool) string {
	if private || d.System >= OS6_2 {
		return "E"
	}
	return "e"
}

// con is the type of most device messages: CON where the network loses them,
// NON over TCP.
func (d Dialect) con() coap.Type {
	if d.UDP {
		return coap.Confirmable
	}
	return coap.NonConfirmable
}

// A Reliability is how a message that may be either is sent.
type Reliability uint8

// The reliabilities.
const (
	ByTransport Reliability = iota // CON over UDP, NON over TCP
	Confirmed                      // CON, over TCP too
	Unconfirmed                    // NON, over UDP too
)

func (r Reliability) coapType(d Dialect) coap.Type {
	switch r {
	case Confirmed:
		return coap.Confirmable
	case Unconfirmed:
		return coap.NonConfirmable
	default:
		return d.con()
	}
}

// reliabilityOf is what a parsed message shows: what was meant by default
// cannot be told from what was forced.
func reliabilityOf(t coap.Type) Reliability {
	if t == coap.Confirmable {
		return Confirmed
	}
	return Unconfirmed
}
