package app

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/muster/muster/protocol/pdc"
)

// stateVersion is the version of the encoding of each part. A part of another
// version is refused: the session is then dropped, and the device connects
// anew.
const stateVersion = 2

// describeMax bounds what is kept of one describe, in bytes. Device OS bounds
// it to a few kilobytes.
const describeMax = 64 << 10

var errState = errors.New("app: stored state is damaged")

// AppendState appends the encoding of one durable part to b and returns the
// extended slice.
func (d *Device) AppendState(part Parts, b []byte) []byte {
	if part == SaveLedgers {
		return d.appendLedgers(b)
	}
	b = append(b, stateVersion)
	switch part {
	case SaveSession:
		return d.profile.appendSession(b)
	case SaveDescribe:
		return appendBytes(d.profile.describe.append(b), []byte(d.profile.modem))
	default:
		panic(fmt.Sprintf("app: AppendState of %d, want one part", part))
	}
}

// Restore returns the device whose parts AppendState once gave. An empty
// describe is a describe that is not known.
func Restore(id DeviceID, c *Config, session, describe []byte) (*Device, error) {
	d := New(id, c)
	r := reader{b: session}
	if r.byte() != stateVersion {
		return nil, fmt.Errorf("%w: session state of version %d, want %d", errState, first(session), stateVersion)
	}
	d.profile.readSession(&r, c)
	if len(describe) > 0 {
		r.next(describe)
		if r.byte() != stateVersion {
			return nil, fmt.Errorf("%w: describe of version %d, want %d", errState, first(describe), stateVersion)
		}
		d.profile.describe = readDescribe(&r, c)
		d.profile.modem = modem(r.bytes(modemMax))
	}
	if r.bad {
		return nil, errState
	}
	return d, nil
}

func first(b []byte) byte {
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

// Flags of a stored session.
const (
	stateGreeted = 1 << iota
	stateUDP
	stateEnabled
	stateForced
	stateSafeMode
	statePending
	stateApplied
	stateOTA3
)

func (p *profile) appendSession(b []byte) []byte {
	flags := flag(p.greeted, stateGreeted) | flag(p.dialect.UDP, stateUDP) | flag(p.enabled, stateEnabled) |
		flag(p.forced, stateForced) | flag(p.safeMode, stateSafeMode) | flag(p.pending != nil, statePending) |
		flag(p.pending != nil && p.pending.applied, stateApplied) | flag(p.dialect.OTA3, stateOTA3)
	b = append(b, flags)
	h := &p.hello
	for _, v := range [...]uint64{
		uint64(h.ProductID), uint64(h.ProductVersion), uint64(h.Flags), uint64(h.Platform), uint64(h.System),
		uint64(h.MaxMessage), uint64(h.MaxBinary), uint64(h.ChunkSize), uint64(p.dialect.System), uint64(len(p.subs.All())),
	} {
		b = binary.AppendUvarint(b, v)
	}
	b = appendSubscriptions(b, p.subs.All())
	if p.pending != nil {
		b = p.pending.append(b)
	}
	return b
}

func appendSubscriptions(b []byte, list []pdc.Subscribe) []byte {
	for _, s := range list {
		b = append(b, byte(s.Scope), byte(s.Type))
		b = append(b, s.DeviceID[:]...)
		b = appendBytes(b, []byte(s.Filter))
	}
	return b
}

func (p *profile) readSession(r *reader, c *Config) {
	flags := r.byte()
	h := &p.hello
	h.ProductID, h.ProductVersion = uint16(r.uint(0xffff)), uint16(r.uint(0xffff))
	h.Flags, h.Platform = pdc.HelloFlags(r.uint(0xffff)), pdc.Platform(r.uint(0xffff))
	h.System, h.MaxMessage = uint16(r.uint(0xffff)), uint16(r.uint(0xffff))
	h.MaxBinary, h.ChunkSize = uint32(r.uint(0xffffffff)), uint16(r.uint(0xffff))
	system := uint16(r.uint(0xffff))
	p.greeted, p.enabled = flags&stateGreeted != 0, flags&stateEnabled != 0
	p.forced, p.safeMode = flags&stateForced != 0, flags&stateSafeMode != 0
	p.dialect = h.hello().Dialect(flags&stateUDP != 0).Refine(system)
	p.dialect.OTA3 = flags&stateOTA3 != 0
	p.subs = readSubscriptions(r, c)
	if flags&statePending != 0 {
		p.pending = readPending(r, flags&stateApplied != 0)
	}
}

func readSubscriptions(r *reader, c *Config) *Subscriptions {
	var list []pdc.Subscribe
	for range r.uint(uint64(c.SubscriptionsMax)) {
		s := pdc.Subscribe{Scope: pdc.SubscriptionScope(r.byte()), Type: pdc.HandlerType(r.byte())}
		copy(s.DeviceID[:], r.take(len(s.DeviceID)))
		s.Filter = string(r.bytes(255))
		list = append(list, s)
	}
	if r.bad {
		return nil
	}
	return shareSubscriptions(list, c)
}

func flag(on bool, bit byte) byte {
	if on {
		return bit
	}
	return 0
}

func appendBytes(b, value []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(value))), value...)
}

// A reader takes values off stored bytes. After the first that is missing or
// out of range everything is zero and bad is set.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) next(b []byte) { r.b = b }

func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad = true
		return nil
	}
	value := r.b[:n]
	r.b = r.b[n:]
	return value
}

func (r *reader) byte() byte {
	if b := r.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (r *reader) uint(limit uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 || v > limit {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes(limit int) []byte { return r.take(int(r.uint(uint64(limit)))) }
