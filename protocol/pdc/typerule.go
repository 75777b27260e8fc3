package pdc

import "github.com/muster/muster/protocol/coap"

// A typeRule says which CoAP types a kind may have.
type typeRule uint8

const (
	typeAny           typeRule = iota
	typeByTransport            // CON over UDP, NON over TCP
	typeCon                    // CON
	typeNon                    // NON
	typeAck                    // ACK
	typeRst                    // RST
	typeConOrNon               // the sender chooses
	typeAckOrNon               // ACK to a CON, NON to a NON
	typeAckOrCon               // piggybacked or separate
	typeForced                 // by transport, unless the application forces one
	typeConBefore62            // CON up to 6.1, then by transport
	typeConTCPBefore2          // CON up to 1.x, then by transport
	typeAckBefore2             // piggybacked up to 1.x, then CON
	typeAckBefore15            // piggybacked up to 1.4, then by transport

	numTypeRules
)

// typeRuleText is how the catalogue writes the rules.
var typeRuleText = [numTypeRules]string{
	typeAny:           "any",
	typeByTransport:   "CON/NON",
	typeCon:           "CON",
	typeNon:           "NON",
	typeAck:           "ACK",
	typeRst:           "RST",
	typeConOrNon:      "CON or NON",
	typeAckOrNon:      "ACK/NON",
	typeAckOrCon:      "ACK or CON",
	typeForced:        "CON/NON or forced",
	typeConBefore62:   "CON (≤6.1), CON/NON",
	typeConTCPBefore2: "CON (TCP NON ≥2.0)",
	typeAckBefore2:    "ACK ≤1.x, CON ≥2.0",
	typeAckBefore15:   "ACK ≤1.4; CON/NON ≥1.5",
}

// String returns the rule as the catalogue writes it.
func (r typeRule) String() string { return typeRuleText[r] }

func (r typeRule) allows(d Dialect, t coap.Type) bool {
	con, non, ack := t == coap.Confirmable, t == coap.NonConfirmable, t == coap.Acknowledgement
	switch r {
	case typeByTransport:
		return t == d.con()
	case typeCon:
		return con
	case typeNon:
		return non
	case typeAck:
		return ack
	case typeRst:
		return t == coap.Reset
	case typeConOrNon, typeForced:
		return con || non
	case typeAckOrNon:
		return ack || non
	case typeAckOrCon:
		return ack || con
	case typeConBefore62:
		return d.System < OS6_2 && con || d.System >= OS6_2 && t == d.con()
	case typeConTCPBefore2:
		return d.System < OS2_0 && con || d.System >= OS2_0 && t == d.con()
	case typeAckBefore2:
		return d.System < OS2_0 && ack || d.System >= OS2_0 && con
	case typeAckBefore15:
		return d.System < OS1_5 && ack || d.System >= OS1_5 && t == d.con()
	default:
		return true
	}
}

// possible reports whether some dialect allows type t: what a parser, which
// knows no dialect, can ask.
func (r typeRule) possible(t coap.Type) bool { return possibleTypes[r]&(1<<(t&3)) != 0 }

// possibleTypes has a bit for every type that a rule allows to some dialect.
var possibleTypes = func() (sets [numTypeRules]uint8) {
	for r := range numTypeRules {
		for t := coap.Confirmable; t <= coap.Reset; t++ {
			for _, system := range [...]uint16{OS0_5, OS1_5, OS2_0, OS6_2} {
				if r.allows(Dialect{System: system, UDP: true}, t) || r.allows(Dialect{System: system}, t) {
					sets[r] |= 1 << t
				}
			}
		}
	}
	return sets
}()
