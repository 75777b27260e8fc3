package pdc

import (
	"encoding/binary"

	"github.com/muster/muster/protocol/coap"
)

// GoodbyeFields say which values a [Goodbye] has.
type GoodbyeFields uint32

// The values, in the order in which they are sent.
const (
	GoodbyeCloudReason   GoodbyeFields = 0x01
	GoodbyeResetReason   GoodbyeFields = 0x02
	GoodbyeSleep         GoodbyeFields = 0x04
	GoodbyeNetworkReason GoodbyeFields = 0x08

	goodbyeKnown = GoodbyeCloudReason | GoodbyeResetReason | GoodbyeSleep | GoodbyeNetworkReason
)

// A Goodbye tells the cloud that the device is about to disconnect (PDC-2.5),
// since 2.0. A value counts only when its bit is in Fields.
type Goodbye struct {
	Fields        GoodbyeFields
	CloudReason   CloudDisconnectReason
	ResetReason   ResetReason
	SleepSeconds  uint32
	NetworkReason NetworkDisconnectReason
}

// ParseGoodbye reads a Goodbye. Values of later versions, which follow the
// known ones, are left unread.
func ParseGoodbye(m coap.Message) (Goodbye, error) {
	var g Goodbye
	if err := check(KindGoodbye, m); err != nil {
		return g, err
	}
	b := m.Payload
	var fields uint32
	if !varint(&b, &fields) {
		return g, fault(KindGoodbye, "C-14", "no flag word")
	}
	g.Fields = GoodbyeFields(fields) & goodbyeKnown
	for _, f := range [...]struct {
		field GoodbyeFields
		value *uint32
	}{
		{GoodbyeCloudReason, (*uint32)(&g.CloudReason)},
		{GoodbyeResetReason, (*uint32)(&g.ResetReason)},
		{GoodbyeSleep, &g.SleepSeconds},
		{GoodbyeNetworkReason, (*uint32)(&g.NetworkReason)},
	} {
		if g.Fields&f.field != 0 && !varint(&b, f.value) {
			return Goodbye{}, fault(KindGoodbye, "C-14", "value truncated or above 32 bits")
		}
	}
	return g, nil
}

// varint takes one unsigned LEB128 number off b.
func varint(b *[]byte, v *uint32) bool {
	n, size := binary.Uvarint(*b)
	if size <= 0 || n > 1<<32-1 {
		return false
	}
	*b, *v = (*b)[size:], uint32(n)
	return true
}

// Message returns the message of a device of dialect d.
func (g Goodbye) Message(d Dialect) coap.Message {
	m := request(d.con(), coap.POST, "x", nil)
	if !d.UDP {
		m.Options = append(m.Options, coap.Opaque(coap.NoResponse, nil))
	}
	b := binary.AppendUvarint(nil, uint64(g.Fields&goodbyeKnown))
	if g.Fields&GoodbyeCloudReason != 0 {
		b = binary.AppendUvarint(b, uint64(g.CloudReason))
	}
	if g.Fields&GoodbyeResetReason != 0 {
		b = binary.AppendUvarint(b, uint64(g.ResetReason))
	}
	if g.Fields&GoodbyeSleep != 0 {
		b = binary.AppendUvarint(b, uint64(g.SleepSeconds))
	}
	if g.Fields&GoodbyeNetworkReason != 0 {
		b = binary.AppendUvarint(b, uint64(g.NetworkReason))
	}
	m.Payload = b
	return m
}
