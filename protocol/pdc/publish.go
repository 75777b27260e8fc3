package pdc

import "github.com/muster/muster/protocol/coap"

// DefaultTTL is the time to live of an event in seconds when it says none.
const DefaultTTL = 60

// A Publish is an event from a device (PDC-4.1). An empty ACK answers it; a
// token-less 4.00 says slow down.
type Publish struct {
	// Token is empty up to 6.2. A later event that has one wants a response.
	Token   []byte
	Private bool   // path E; always since 6.2
	Name    string // at most 64 bytes, slashes included
	// Data is nil for none. Empty but not nil is an empty string, which ends
	// in a lone payload marker up to 2.x and is none afterwards.
	Data []byte
	// TTL is in seconds and counts only if HasTTL is set; otherwise it is
	// DefaultTTL.
	TTL    uint32
	HasTTL bool
	// Format counts only if HasFormat is set; otherwise it is FormatText.
	// Never before 6.2.
	Format      ContentFormat
	HasFormat   bool
	Reliability Reliability
}

// ParsePublish reads a Publish: the name in one segment or in several, Max-Age
// of 0 to 4 bytes, any Content-Format (C-23, C-24). Unknown options are passed
// over.
func ParsePublish(m coap.Message) (Publish, error) {
	p := Publish{Token: m.Token, Private: m.PathChar() == 'E', Name: nameOf(m), Data: dataOf(m)}
	if err := check(KindPublish, m); err != nil {
		return Publish{}, err
	}
	if p.Name == "" {
		return Publish{}, fault(KindPublish, "PDC-4.1", "no event name")
	}
	err := eventOptions(KindPublish, m, &p.TTL, &p.HasTTL, &p.Format, &p.HasFormat)
	if err != nil {
		return Publish{}, err
	}
	p.Reliability = reliabilityOf(m.Type)
	return p, nil
}

// dataOf returns the payload, empty but not nil for a lone marker.
func dataOf(m coap.Message) []byte {
	if m.LoneMarker {
		return []byte{}
	}
	return m.Payload
}

// eventOptions reads the options that a publish and a delivery share.
func eventOptions(k Kind, m coap.Message, ttl *uint32, hasTTL *bool, f *ContentFormat, hasFormat *bool) error {
	if m.Has(coap.MaxAge) {
		v, ok := m.Uint(coap.MaxAge)
		if !ok {
			return fault(k, "C-23", "Max-Age of more than 4 bytes")
		}
		*ttl, *hasTTL = v, true
	}
	if m.Has(coap.ContentFormat) {
		v, ok := m.Uint(coap.ContentFormat)
		if !ok || v > 0xffff {
			return fault(k, "C-23", "Content-Format above 65535")
		}
		*f, *hasFormat = ContentFormat(v), true
	}
	return nil
}

// Message returns the message of a device of dialect d. A TTL of DefaultTTL is
// left out.
func (p Publish) Message(d Dialect) coap.Message {
	m := request(p.Reliability.coapType(d), coap.POST, d.letterE(p.Private), p.Token,
		coap.Text(coap.URIPath, p.Name))
	if d.System >= OS6_2 && p.HasFormat && p.Format != FormatText {
		m.Options = append(m.Options, coap.Uint(coap.ContentFormat, uint32(p.Format)))
	}
	if p.HasTTL && p.TTL != DefaultTTL {
		m.Options = append(m.Options, maxAge(d, p.TTL))
	}
	m.Payload = p.Data
	m.LoneMarker = d.System < OS3_0 && p.Data != nil && len(p.Data) == 0
	return m
}

// maxAge returns the Max-Age option of an event.
//
// Device OS: always three bytes up to 6.1, then 0, 1, 2 or 4.
func maxAge(d Dialect, ttl uint32) coap.Option {
	if d.System < OS6_2 {
		return coap.Opaque(coap.MaxAge, coap.AppendUintFixed(nil, ttl, 3))
	}
	return coap.Uint(coap.MaxAge, ttl)
}
