package pdc

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// A LedgerResult is the outcome of a [LedgerCall].
type LedgerResult int32

// The results (PDC-8.9).
const (
	LedgerOK               LedgerResult = 0
	LedgerError            LedgerResult = 1
	LedgerNotFound         LedgerResult = 2
	LedgerInvalidDirection LedgerResult = 3
	LedgerScopeChanged     LedgerResult = 4
	LedgerInvalidData      LedgerResult = 5
	LedgerTooLarge         LedgerResult = 6
)

// A LedgerScope is whose a ledger is.
type LedgerScope uint32

// The scopes.
const (
	LedgerScopeDevice  LedgerScope = 1
	LedgerScopeProduct LedgerScope = 2
	LedgerScopeOwner   LedgerScope = 3
)

// A LedgerDirection is which way a ledger is synchronised.
type LedgerDirection uint32

// The directions.
const (
	LedgerDeviceToCloud LedgerDirection = 1
	LedgerCloudToDevice LedgerDirection = 2
)

// A LedgerInfo is what the cloud tells of one ledger: all of it in the reply to
// get info, name and time in the reply to subscribe.
type LedgerInfo struct {
	Name      string
	ScopeID   []byte
	Scope     LedgerScope
	Direction LedgerDirection
	Updated   LedgerUpdated
}

// A LedgerReply is the answer to a [LedgerCall] of a device: the protobuf
// message particle.cloud.Response. A ledger that a successful reply to get info
// leaves out does not exist for the device.
type LedgerReply struct {
	Method  LedgerMethod // of the call; 0 when the reply has a result only
	Result  LedgerResult
	Message string
	Ledgers []LedgerInfo  // get info, subscribe
	Updated LedgerUpdated // get data
	Data    []byte        // get data: CBOR, nil for none
}

// The fields of particle.cloud.Response: the data of method m is m+2.
const (
	ledgerResult  = 1
	ledgerMessage = 2
)

// ParseLedgerReply reads the payload of a whole [LedgerResponse].
func ParseLedgerReply(payload []byte) (LedgerReply, error) {
	var r LedgerReply
	var body []byte
	err := protoFields(KindLedgerResponse, payload, func(f protoField) bool {
		switch {
		case f.num == ledgerResult:
			r.Result = LedgerResult(protowire.DecodeZigZag(f.value))
			return f.isVarint()
		case f.num == ledgerMessage:
			return f.string(&r.Message)
		case f.num >= 3 && f.num <= int(LedgerResetInfo)+2:
			r.Method, body = LedgerMethod(f.num-2), f.bytes
			return f.isBytes()
		}
		return true
	})
	if err != nil {
		return LedgerReply{}, err
	}
	if err := r.parse(body); err != nil {
		return LedgerReply{}, err
	}
	return r, nil
}

func (r *LedgerReply) parse(b []byte) error {
	return protoFields(KindLedgerResponse, b, func(f protoField) bool {
		switch r.Method {
		case LedgerGetInfo, LedgerSubscribe:
			if f.num != 1 {
				return true
			}
			info, err := parseLedgerInfo(f.bytes, r.Method)
			if err != nil || !f.isBytes() || len(r.Ledgers) == LedgersMax {
				return false
			}
			r.Ledgers = append(r.Ledgers, info)
		case LedgerGetData:
			switch f.num {
			case 1:
				r.Updated = LedgerUpdated{Milliseconds: f.value, Known: true}
				return f.isFixed64()
			case ledgerDataField:
				return f.raw(&r.Data)
			}
		default:
			// The other replies have no body.
		}
		return true
	})
}

func parseLedgerInfo(b []byte, method LedgerMethod) (LedgerInfo, error) {
	var info LedgerInfo
	updated := 5
	if method == LedgerSubscribe {
		updated = 2
	}
	err := protoFields(KindLedgerResponse, b, func(f protoField) bool {
		switch f.num {
		case 1:
			return f.string(&info.Name)
		case updated:
			info.Updated = LedgerUpdated{Milliseconds: f.value, Known: true}
			return f.isFixed64()
		case 2:
			return f.raw(&info.ScopeID)
		case 3:
			return f.uint32((*uint32)(&info.Scope))
		case 4:
			return f.uint32((*uint32)(&info.Direction))
		}
		return true
	})
	return info, err
}

// Append appends the payload to b: the result first if it is not OK, the data
// of the method last (C-54). The zero Ledgers are the correct answer of a cloud
// without ledgers.
func (r LedgerReply) Append(b []byte) []byte {
	b = appendProtoUint(b, ledgerResult, protowire.EncodeZigZag(int64(r.Result)))
	b = appendProtoString(b, ledgerMessage, r.Message)
	if r.Method == 0 {
		return b
	}
	return appendProtoBytesAlways(b, protowire.Number(r.Method)+2, r.body())
}

func (r LedgerReply) body() []byte {
	var b []byte
	switch r.Method {
	case LedgerGetInfo, LedgerSubscribe:
		for _, info := range r.Ledgers {
			b = appendProtoBytesAlways(b, 1, info.append(nil, r.Method))
		}
	case LedgerGetData:
		if r.Updated.Known {
			b = appendProtoFixed64Always(b, 1, r.Updated.Milliseconds)
		}
		if r.Data != nil {
			b = appendProtoBytesAlways(b, ledgerDataField, r.Data)
		}
	default:
		// The other replies have no body.
	}
	return b
}

func (i LedgerInfo) append(b []byte, method LedgerMethod) []byte {
	b = appendProtoString(b, 1, i.Name)
	if method == LedgerSubscribe {
		if i.Updated.Known {
			b = appendProtoFixed64Always(b, 2, i.Updated.Milliseconds)
		}
		return b
	}
	b = appendProtoBytes(b, 2, i.ScopeID)
	b = appendProtoUint(b, 3, uint64(i.Scope))
	b = appendProtoUint(b, 4, uint64(i.Direction))
	if i.Updated.Known {
		b = appendProtoFixed64Always(b, 5, i.Updated.Milliseconds)
	}
	return b
}
