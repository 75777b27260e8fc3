package pdc

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// A LedgerUpdated is when a ledger was changed: milliseconds since 1970, which
// count only if Known is set.
type LedgerUpdated struct {
	Milliseconds uint64
	Known        bool
}

// A LedgerRef names a ledger in a [LedgerCall]: the fields that its method has.
type LedgerRef struct {
	Name    string
	ScopeID []byte        // set data, get data, subscribe
	Updated LedgerUpdated // set data, get data, notify update
}

// A LedgerCall is a request about ledgers, in either direction: the protobuf
// message particle.cloud.Request.
type LedgerCall struct {
	Method LedgerMethod
	// Ledgers are those it is about: exactly one in set data and get data,
	// none in reset info.
	Ledgers []LedgerRef
	// Data is the CBOR map of set data, nil for none.
	Data []byte
}

// The fields of particle.cloud.Request: the type is 1, the data of method m is
// m+1.
const ledgerType = 1

// ParseLedgerCall reads the payload of a whole [LedgerRequest] or of a
// [LedgerNotify]. Unknown fields are passed over.
func ParseLedgerCall(payload []byte) (LedgerCall, error) {
	var c LedgerCall
	var data [LedgerResetInfo + 1][]byte
	err := protoFields(KindLedgerRequest, payload, func(f protoField) bool {
		switch {
		case f.num == ledgerType:
			c.Method = LedgerMethod(f.value)
			return f.isVarint() && f.value >= uint64(LedgerGetInfo) && f.value <= uint64(LedgerResetInfo)
		case f.num >= 2 && f.num <= int(LedgerResetInfo)+1:
			data[f.num-1] = f.bytes
			return f.isBytes()
		}
		return true
	})
	if err != nil {
		return LedgerCall{}, err
	}
	if c.Method == 0 {
		return LedgerCall{}, fault(KindLedgerRequest, "PDC-8.9", "no type")
	}
	if err := c.parse(data[c.Method]); err != nil {
		return LedgerCall{}, err
	}
	return c, nil
}

func (c *LedgerCall) parse(b []byte) error {
	if c.Method == LedgerSetData || c.Method == LedgerGetData {
		ref, err := parseLedgerRef(b, 2, 3, &c.Data)
		c.Ledgers = []LedgerRef{ref}
		return err
	}
	scope, updated := 2, 0
	if c.Method == LedgerNotifyUpdate {
		scope, updated = 0, 2
	}
	return protoFields(KindLedgerRequest, b, func(f protoField) bool {
		if f.num != 1 || c.Method == LedgerResetInfo {
			return true
		}
		if !f.isBytes() || len(c.Ledgers) == LedgersMax {
			return false
		}
		ref := LedgerRef{Name: string(f.bytes)}
		if c.Method != LedgerGetInfo {
			var err error
			if ref, err = parseLedgerRef(f.bytes, scope, updated, nil); err != nil {
				return false
			}
		}
		c.Ledgers = append(c.Ledgers, ref)
		return true
	})
}

// parseLedgerRef reads a message with a name in field 1 and the others in the
// given fields, 0 for none. Data is in field 10.
func parseLedgerRef(b []byte, scope, updated int, data *[]byte) (LedgerRef, error) {
	var ref LedgerRef
	err := protoFields(KindLedgerRequest, b, func(f protoField) bool {
		switch {
		case f.num == 1:
			return f.string(&ref.Name)
		case f.num == scope:
			return f.raw(&ref.ScopeID)
		case f.num == updated:
			ref.Updated = LedgerUpdated{Milliseconds: f.value, Known: true}
			return f.isFixed64()
		case f.num == ledgerDataField && data != nil:
			return f.raw(data)
		}
		return true
	})
	return ref, err
}

// ledgerDataField is the number of every data field: the last, because a device
// reads the head of a message and streams the rest.
const ledgerDataField = 10

// Append appends the payload to b, its fields in the order of their numbers.
func (c LedgerCall) Append(b []byte) []byte {
	b = appendProtoUint(b, ledgerType, uint64(c.Method))
	return appendProtoBytesAlways(b, protowire.Number(c.Method)+1, c.body())
}

func (c LedgerCall) body() []byte {
	var b []byte
	switch c.Method {
	case LedgerSetData, LedgerGetData:
		for _, ref := range c.Ledgers[:min(1, len(c.Ledgers))] {
			b = ref.append(b, 2, 3)
		}
		if c.Data != nil {
			b = appendProtoBytesAlways(b, ledgerDataField, c.Data)
		}
	case LedgerGetInfo:
		for _, ref := range c.Ledgers {
			b = appendProtoStringAlways(b, 1, ref.Name)
		}
	case LedgerSubscribe:
		for _, ref := range c.Ledgers {
			b = appendProtoBytesAlways(b, 1, ref.append(nil, 2, 0))
		}
	case LedgerNotifyUpdate:
		for _, ref := range c.Ledgers {
			b = appendProtoBytesAlways(b, 1, ref.append(nil, 0, 2))
		}
	default:
		// Reset info has no body.
	}
	return b
}

func (r LedgerRef) append(b []byte, scope, updated protowire.Number) []byte {
	b = appendProtoString(b, 1, r.Name)
	if scope != 0 {
		b = appendProtoBytes(b, scope, r.ScopeID)
	}
	if updated != 0 && r.Updated.Known {
		b = appendProtoFixed64Always(b, updated, r.Updated.Milliseconds)
	}
	return b
}
