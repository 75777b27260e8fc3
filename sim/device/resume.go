package device

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/profile"
)

// An AppState is what the cloud knows of the device, as checksums (TRN-4.2).
// Only the fields whose bit is set in Valid count.
type AppState struct {
	Valid                              uint8
	Subscriptions, Application, System uint32
	ProtocolFlags                      uint32
	MaxBinary                          uint32
	Version, MaxMessage, ChunkSize     uint16
}

// The bits of AppState.Valid, as in TRN-4.2.
const (
	knownSystem = 1 << iota
	knownApplication
	knownSubscriptions
	knownFlags
	knownVersion
	knownMessage
	knownBinary
	knownChunk
)

// remember copies the fields named by bits from c.
func (s *AppState) remember(c AppState, bits uint8) {
	s.Valid |= bits
	if bits&knownSystem != 0 {
		s.System = c.System
	}
	if bits&knownApplication != 0 {
		s.Application = c.Application
	}
	if bits&knownSubscriptions != 0 {
		s.Subscriptions = c.Subscriptions
	}
	if bits&knownFlags != 0 {
		s.ProtocolFlags, s.Version, s.MaxMessage = c.ProtocolFlags, c.Version, c.MaxMessage
		s.MaxBinary, s.ChunkSize = c.MaxBinary, c.ChunkSize
	}
}

// current returns the present state, all fields set.
func (d *Device) current() AppState {
	// Device OS: what is stored is the limit of the build, what is compared the
	// one of the moment, so that a device on a path of reduced MTU says Hello at
	// every resume (TRN-4.2).
	return AppState{
		Valid:         0xff,
		Subscriptions: d.subscriptionsSum(), Application: d.applicationSum(), System: d.systemSum(),
		ProtocolFlags: d.prof.ProtocolFlags(), MaxBinary: d.prof.MaxBinary(),
		Version: d.systemVersion(), MaxMessage: uint16(d.prof.Dialect().Limits().Message),
		ChunkSize: pdc.DefaultChunkSize,
	}
}

// knowsAll reports whether the cloud of a restored session knows what Hello
// would tell (TRN-4.1).
func (d *Device) knowsAll() bool {
	k, c := d.known, d.current()
	switch {
	case d.faults().AlwaysHello:
		return false
	case d.faults().NeverHello:
		return true
	case !d.has(profile.CachedState):
		return d.helloSent
	case !d.atLeast(pdc.OS2_0):
		// One checksum over three, which exists when all three do.
		const all = knownSystem | knownApplication | knownSubscriptions
		return k.Valid&all == all && k.System == c.System && k.Application == c.Application && k.Subscriptions == c.Subscriptions
	}
	need := uint8(knownSystem | knownFlags)
	if d.atLeast(pdc.OS3_0) {
		need |= knownVersion | knownMessage | knownBinary | knownChunk
		if k.Version != c.Version || k.MaxMessage != uint16(d.Dialect().Limits().Message) || k.MaxBinary != c.MaxBinary || k.ChunkSize != c.ChunkSize {
			return false
		}
	}
	return k.Valid&need == need && k.System == c.System && k.ProtocolFlags == c.ProtocolFlags
}

// checksum chains little-endian words as Device OS does (TRN-4.3).
func checksum(words ...uint32) uint32 {
	b := make([]byte, 0, 16)
	for _, w := range words {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return crc32.ChecksumIEEE(b)
}

// subscriptionsSum is the checksum of all subscriptions.
func (d *Device) subscriptionsSum() uint32 {
	var sum uint32
	for s := range d.subscriptions() {
		if d.atLeast(pdc.OS6_2) {
			sum = checksum(sum, crc32.ChecksumIEEE([]byte(s.Filter)), uint32(s.Type))
		} else {
			sum = checksum(sum, crc32.ChecksumIEEE(s.DeviceID[:]), crc32.ChecksumIEEE([]byte(s.Filter)), uint32(s.Scope))
		}
	}
	return sum
}

// applicationSum is the checksum of functions and variables. An application in
// safe mode has none.
func (d *Device) applicationSum() uint32 {
	var functions, variables uint32
	if app := d.app(); app != nil {
		for _, f := range app.Functions {
			functions += crc32.ChecksumIEEE([]byte(f.Name))
		}
		for _, v := range app.Variables {
			variables += crc32.ChecksumIEEE([]byte(v.Name)) + crc32.ChecksumIEEE([]byte{byte(v.Type)})
		}
	}
	return checksum(variables, functions)
}

// systemSum is the checksum of the installed modules. A simulated module that
// has no SHA-256 counts by its version.
func (d *Device) systemSum() uint32 {
	sum := uint32(d.prof.Board.Platform)
	for _, m := range d.modules() {
		sum += crc32.ChecksumIEEE(m.Hash) + checksum(uint32(m.Function), m.Index, m.Version, uint32(m.Passed))
	}
	return sum
}

// app returns the application, nil when there is none or in safe mode.
func (d *Device) app() *App {
	if d.safeMode {
		return nil
	}
	return d.cfg.App
}
