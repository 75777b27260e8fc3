package pdc

import "github.com/muster/muster/protocol/coap"

// A Presence is what a Wi-Fi device multicasts to 224.0.1.187:5683 after a full
// handshake, with the message ID 0 (PDC-1.3). It is not for the cloud and
// nothing answers it.
type Presence struct {
	DeviceID []byte // 12 bytes
}

// ParsePresence reads a Presence.
func ParsePresence(m coap.Message) (Presence, error) {
	if err := checkRequest(KindPresence, m); err != nil {
		return Presence{}, err
	}
	if len(m.Payload) != deviceIDSize {
		return Presence{}, faultf(KindPresence, "PDC-1.3", "payload of %d bytes, want 12", len(m.Payload))
	}
	return Presence{DeviceID: m.Payload}, nil
}

// Message returns the message of a device.
func (p Presence) Message(Dialect) coap.Message {
	m := request(coap.NonConfirmable, coap.POST, "h", nil)
	m.Payload = p.DeviceID
	return m
}
