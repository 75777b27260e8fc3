package pdc

// ParseSystemDescribe reads a system describe of Device OS 5.5 and later: the
// protobuf message particle.cloud.SystemDescribe (PDC-3.6). It has no platform,
// which Hello has. Unknown fields are passed over.
func ParseSystemDescribe(payload []byte) (SystemDescribe, error) {
	var s SystemDescribe
	err := protoFields(KindDescribeResponse, payload, func(f protoField) bool {
		switch f.num {
		case 1:
			m, ok := parseModule(f)
			s.Modules = append(s.Modules, m)
			return ok
		case 2:
			return f.string(&s.IMEI)
		case 3:
			return f.string(&s.ICCID)
		case 4:
			return f.string(&s.ModemFirmware)
		case 5:
			a, ok := parseAsset(f)
			s.Assets = append(s.Assets, a)
			return ok
		case 6:
			s.ProtectedState = f.value != 0
			return f.isVarint()
		case 7:
			return f.raw(&s.EnvVarsHash) && len(f.bytes) <= 32
		}
		return true
	})
	if err != nil {
		return SystemDescribe{}, err
	}
	return s, nil
}

// message calls field for the fields of the message in f.
func (f protoField) message(field func(protoField) bool) bool {
	return f.isBytes() && protoFields(KindDescribeResponse, f.bytes, field) == nil
}

// small stores a varint of at most 8 bits.
func (f protoField) small(v *uint8) bool {
	*v = uint8(f.value)
	return f.isVarint() && f.value <= 0xff
}

func parseModule(f protoField) (m ModuleInfo, ok bool) {
	ok = f.message(func(f protoField) bool {
		switch f.num {
		case 1:
			return f.small((*uint8)(&m.Function))
		case 2:
			return f.uint32(&m.Index)
		case 3:
			return f.uint32(&m.Version)
		case 4:
			return f.small((*uint8)(&m.Store))
		case 5:
			return f.uint32(&m.MaxSize)
		case 6:
			return f.fixed32((*uint32)(&m.Checked))
		case 7:
			return f.fixed32((*uint32)(&m.Passed))
		case 8:
			return f.raw(&m.Hash)
		case 9:
			d, ok := parseDependency(f)
			m.Dependencies = append(m.Dependencies, d)
			return ok
		case 10:
			a, ok := parseAsset(f)
			m.Assets = append(m.Assets, a)
			return ok
		case 11:
			return f.uint32(&m.Size)
		case 12:
			m.Security = new(ModuleSecurity)
			return parseSecurity(f, m.Security)
		}
		return true
	})
	return m, ok
}

func parseDependency(f protoField) (d ModuleDependency, ok bool) {
	ok = f.message(func(f protoField) bool {
		switch f.num {
		case 1:
			return f.small((*uint8)(&d.Function))
		case 2:
			return f.uint32(&d.Index)
		case 3:
			return f.uint32(&d.Version)
		}
		return true
	})
	return d, ok
}

func parseAsset(f protoField) (a AssetInfo, ok bool) {
	ok = f.message(func(f protoField) bool {
		switch f.num {
		case 1:
			return f.raw(&a.Hash)
		case 2:
			return f.string(&a.Name)
		case 3:
			return f.uint32(&a.Size)
		case 4:
			return f.uint32(&a.StorageSize)
		}
		return true
	})
	return a, ok
}

func parseSecurity(f protoField, s *ModuleSecurity) bool {
	return f.message(func(f protoField) bool {
		switch f.num {
		case 1:
			return f.uint32(&s.Mode)
		case 2:
			return f.raw(&s.Fingerprint)
		}
		return true
	})
}

// AppendProto appends the protobuf form to b. Zero values are left out.
func (s SystemDescribe) AppendProto(b []byte) []byte {
	for _, m := range s.Modules {
		b = appendProtoBytesAlways(b, 1, m.appendProto(nil))
	}
	b = appendProtoString(b, 2, s.IMEI)
	b = appendProtoString(b, 3, s.ICCID)
	b = appendProtoString(b, 4, s.ModemFirmware)
	for _, a := range s.Assets {
		b = appendProtoBytesAlways(b, 5, a.appendProto(nil))
	}
	if s.ProtectedState {
		b = appendProtoUint(b, 6, 1)
	}
	if s.EnvVarsHash != nil {
		b = appendProtoBytesAlways(b, 7, s.EnvVarsHash)
	}
	return b
}

func (m ModuleInfo) appendProto(b []byte) []byte {
	b = appendProtoUint(b, 1, uint64(m.Function))
	b = appendProtoUint(b, 2, uint64(m.Index))
	b = appendProtoUint(b, 3, uint64(m.Version))
	b = appendProtoUint(b, 4, uint64(m.Store))
	b = appendProtoUint(b, 5, uint64(m.MaxSize))
	b = appendProtoFixed32(b, 6, uint32(m.Checked))
	b = appendProtoFixed32(b, 7, uint32(m.Passed))
	if m.Hash != nil {
		b = appendProtoBytesAlways(b, 8, m.Hash)
	}
	for _, d := range m.Dependencies {
		body := appendProtoUint(nil, 1, uint64(d.Function))
		body = appendProtoUint(body, 2, uint64(d.Index))
		b = appendProtoBytesAlways(b, 9, appendProtoUint(body, 3, uint64(d.Version)))
	}
	for _, a := range m.Assets {
		b = appendProtoBytesAlways(b, 10, a.appendProto(nil))
	}
	b = appendProtoUint(b, 11, uint64(m.Size))
	if m.Security != nil {
		body := appendProtoUint(nil, 1, uint64(m.Security.Mode))
		b = appendProtoBytesAlways(b, 12, appendProtoBytes(body, 2, m.Security.Fingerprint))
	}
	return b
}

func (a AssetInfo) appendProto(b []byte) []byte {
	b = appendProtoBytes(b, 1, a.Hash)
	b = appendProtoString(b, 2, a.Name)
	b = appendProtoUint(b, 3, uint64(a.Size))
	return appendProtoUint(b, 4, uint64(a.StorageSize))
}
