package pdc

import "github.com/muster/muster/protocol/coap"

// An UpdateFinish ends an update of OTA protocol v3, or cancels it (PDC-6.7).
type UpdateFinish struct {
	Token []byte // 1 to 8 bytes
	// DiscardData makes the device forget what it has of the file.
	DiscardData bool
	Cancel      bool
}

// ParseUpdateFinish reads an UpdateFinish.
func ParseUpdateFinish(m coap.Message) (UpdateFinish, error) {
	if err := checkRequest(KindUpdateFinish, m); err != nil {
		return UpdateFinish{}, err
	}
	for _, id := range [...]coap.OptionID{coap.DiscardData, coap.CancelUpdate} {
		if v, _ := m.Option(id); len(v) != 0 {
			return UpdateFinish{}, &Error{
				Kind: KindUpdateFinish, Rule: "PDC-6.7", Reason: "option is not empty", Answer: coap.ServiceUnavailable,
			}
		}
	}
	return UpdateFinish{
		Token: m.Token, DiscardData: m.Has(coap.DiscardData), Cancel: m.Has(coap.CancelUpdate),
	}, nil
}

// Message returns the message for a device.
func (f UpdateFinish) Message(Dialect) coap.Message {
	m := request(coap.Confirmable, coap.POST, "F", f.Token)
	if f.DiscardData {
		m.Options = append(m.Options, coap.Opaque(coap.DiscardData, nil))
	}
	if f.Cancel {
		m.Options = append(m.Options, coap.Opaque(coap.CancelUpdate, nil))
	}
	return m
}
