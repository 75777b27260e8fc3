package pdc

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// A protoField is one field of a protobuf message.
type protoField struct {
	num   int
	typ   protowire.Type
	value uint64 // of a varint, fixed32 or fixed64 field
	bytes []byte // of a length-delimited field
}

func (f protoField) isVarint() bool  { return f.typ == protowire.VarintType }
func (f protoField) isFixed32() bool { return f.typ == protowire.Fixed32Type }
func (f protoField) isFixed64() bool { return f.typ == protowire.Fixed64Type }
func (f protoField) isBytes() bool   { return f.typ == protowire.BytesType }

// uint32 stores a varint of at most 32 bits.
func (f protoField) uint32(v *uint32) bool {
	*v = uint32(f.value)
	return f.isVarint() && f.value <= math.MaxUint32
}

// fixed32 stores a fixed32.
func (f protoField) fixed32(v *uint32) bool {
	*v = uint32(f.value)
	return f.isFixed32()
}

// string stores a length-delimited field as text.
func (f protoField) string(v *string) bool {
	*v = string(f.bytes)
	return f.isBytes()
}

// raw stores a length-delimited field as bytes, empty but not nil for none.
func (f protoField) raw(v *[]byte) bool {
	*v = f.bytes
	if *v == nil {
		*v = []byte{}
	}
	return f.isBytes()
}

// protoFields calls field for every field of a protobuf message of kind k, in
// their order. Field returns false when the field is not of the type that the
// message has it in; it is asked about unknown ones too and must accept them.
func protoFields(k Kind, b []byte, field func(protoField) bool) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fault(k, "protobuf", "broken tag")
		}
		b = b[n:]
		f := protoField{num: int(num), typ: typ}
		switch typ {
		case protowire.VarintType:
			f.value, n = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			f.value, n = protowire.ConsumeFixed64(b)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			f.value = uint64(v)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return faultf(k, "protobuf", "field %d truncated", num)
		}
		b = b[n:]
		if !field(f) {
			return faultf(k, "protobuf", "field %d has the wrong type or is out of range", num)
		}
	}
	return nil
}

// The append functions leave a zero value out (proto3). The always variants
// are for fields with presence.

func appendProtoUint(b []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	b = protowire.AppendTag(b, num, protowire.VarintType)
	return protowire.AppendVarint(b, v)
}

func appendProtoFixed32(b []byte, num protowire.Number, v uint32) []byte {
	if v == 0 {
		return b
	}
	b = protowire.AppendTag(b, num, protowire.Fixed32Type)
	return protowire.AppendFixed32(b, v)
}

func appendProtoFixed64Always(b []byte, num protowire.Number, v uint64) []byte {
	b = protowire.AppendTag(b, num, protowire.Fixed64Type)
	return protowire.AppendFixed64(b, v)
}

func appendProtoString(b []byte, num protowire.Number, v string) []byte {
	if v == "" {
		return b
	}
	return appendProtoStringAlways(b, num, v)
}

func appendProtoStringAlways(b []byte, num protowire.Number, v string) []byte {
	b = protowire.AppendTag(b, num, protowire.BytesType)
	return protowire.AppendString(b, v)
}

func appendProtoBytes(b []byte, num protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return appendProtoBytesAlways(b, num, v)
}

func appendProtoBytesAlways(b []byte, num protowire.Number, v []byte) []byte {
	b = protowire.AppendTag(b, num, protowire.BytesType)
	return protowire.AppendBytes(b, v)
}
