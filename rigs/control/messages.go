package control

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/muster/muster/protocol/pdc"
)

// A Mode is what a board does, as it says itself.
type Mode string

// The modes.
const (
	Normal    Mode = "normal"
	Listening Mode = "listening"
)

// A KeyType names a key in a board (Device OS: security_key_type).
type KeyType uint8

// The keys.
const (
	TCPDevicePrivateKey KeyType = 1
	TCPDevicePublicKey  KeyType = 2
	TCPServerPublicKey  KeyType = 3
	UDPDevicePrivateKey KeyType = 4
	UDPDevicePublicKey  KeyType = 5
	UDPServerPublicKey  KeyType = 6
)

// The connections to the cloud, as a board tells them.
var cloudStates = [...]string{"disconnected", "connecting", "connected", "disconnecting"}

// fields calls field for each field of a message. Unknown fields are field's to
// pass over.
func fields(b []byte, field func(num protowire.Number, value uint64, bytes []byte) error) error {
	for len(b) > 0 {
		num, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: %w", errProtocol, protowire.ParseError(n))
		}
		b = b[n:]
		var value uint64
		var data []byte
		switch kind {
		case protowire.VarintType:
			value, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			data, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(num, kind, b)
		}
		if n < 0 {
			return fmt.Errorf("%w: %w", errProtocol, protowire.ParseError(n))
		}
		if err := field(num, value, data); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// parseVarint returns field 1 of a message, 0 when it is not there (proto3).
func parseVarint(b []byte) (v uint64, err error) {
	err = fields(b, func(num protowire.Number, value uint64, _ []byte) error {
		if num == 1 {
			v = value
		}
		return nil
	})
	return v, err
}

// parseBytes returns field 1 of a message, empty when it is not there.
func parseBytes(b []byte) (data []byte, err error) {
	err = fields(b, func(num protowire.Number, _ uint64, bytes []byte) error {
		if num == 1 {
			data = bytes
		}
		return nil
	})
	return data, err
}

// varint returns a message whose field 1 is v.
func varint(v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), v)
}

func appendBytes(b []byte, num protowire.Number, data []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), data)
}

// parseModules reads what a board says of its modules. Field 2, since 5.6.0, has
// the modules of the system describe; field 1 is of before, with numbers of its
// own.
func parseModules(b []byte) ([]pdc.ModuleInfo, error) {
	var old []pdc.ModuleInfo
	var describe []byte // modules are field 1 there
	err := fields(b, func(num protowire.Number, _ uint64, data []byte) error {
		switch num {
		case 1:
			m, err := parseOldModule(data)
			old = append(old, m)
			return err
		case 2:
			describe = appendBytes(describe, 1, data)
		default: // newer than this
		}
		return nil
	})
	if err != nil || describe == nil {
		return old, err
	}
	s, err := pdc.ParseSystemDescribe(describe)
	return s.Modules, err
}

// oldFunctions are the numbers of modules before 5.6.0.
var oldFunctions = [...]pdc.ModuleFunction{
	pdc.ModuleNone, pdc.ModuleBootloader, pdc.ModuleSystemPart, pdc.ModuleUserPart,
	pdc.ModuleMonolithic, pdc.ModuleNCP, pdc.ModuleRadioStack,
}

func oldFunction(v uint64) (pdc.ModuleFunction, error) {
	if v >= uint64(len(oldFunctions)) {
		return 0, fmt.Errorf("%w: module type %d", errProtocol, v)
	}
	return oldFunctions[v], nil
}

// Flags of a module before 5.6.0: checks that failed.
const (
	oldIntegrityFailed  = 1
	oldDependencyFailed = 2
)

func parseOldModule(b []byte) (m pdc.ModuleInfo, err error) {
	m.Checked = pdc.CheckIntegrity | pdc.CheckDependencies
	m.Passed = m.Checked
	err = fields(b, func(num protowire.Number, value uint64, data []byte) (err error) {
		switch num {
		case 1:
			m.Function, err = oldFunction(value)
		case 2:
			m.Index = uint32(value)
		case 3:
			m.Version = uint32(value)
		case 4:
			m.Size = uint32(value)
		case 5:
			if value&oldIntegrityFailed != 0 {
				m.Passed &^= pdc.CheckIntegrity
			}
			if value&oldDependencyFailed != 0 {
				m.Passed &^= pdc.CheckDependencies
			}
		case 6:
			var d pdc.ModuleDependency
			d, err = parseOldDependency(data)
			m.Dependencies = append(m.Dependencies, d)
		default: // newer than this
		}
		return err
	})
	return m, err
}

func parseOldDependency(b []byte) (d pdc.ModuleDependency, err error) {
	err = fields(b, func(num protowire.Number, value uint64, _ []byte) (err error) {
		switch num {
		case 1:
			d.Function, err = oldFunction(value)
		case 2:
			d.Index = uint32(value)
		case 3:
			d.Version = uint32(value)
		default: // newer than this
		}
		return err
	})
	return d, err
}

// AppendModules appends the reply to [ModuleInfo] of Device OS 5.6.0 and later,
// for fakes.
func AppendModules(b []byte, modules []pdc.ModuleInfo) []byte {
	for _, m := range modules {
		describe := pdc.SystemDescribe{Modules: []pdc.ModuleInfo{m}}.AppendProto(nil)
		_ = fields(describe, func(num protowire.Number, _ uint64, data []byte) error { // our own bytes
			if num == 1 {
				b = appendBytes(b, 2, data)
			}
			return nil
		})
	}
	return b
}
