package device

import (
	"time"

	"github.com/muster/muster/protocol/clock"
)

// An eventRate limits what a device publishes (PDC-4.1).
type eventRate struct {
	attempts [rateAttempts]uint32 // ms, in the order of the ring
	next     uint8
	sent     uint8  // system events in the block
	block    uint16 // of 65.536 s
}

const (
	// Four events of the application in any second: the fifth attempt is
	// refused, and counts.
	rateAttempts = 5
	rateWindow   = uint32(time.Second / time.Millisecond)
	// System events in one block of 65.536 s.
	systemRate = 255
)

// application takes an attempt of the application to publish and reports
// whether it may.
//
// Device OS: refused attempts enter the ring too, so that a program that
// hammers is never heard.
func (r *eventRate) application(now, booted clock.Instant) bool {
	// The ring begins with zeros, which must be longer ago than the window.
	ms := uint32(now.Sub(booted)/time.Millisecond) + rateWindow
	r.attempts[r.next] = ms
	r.next = (r.next + 1) % rateAttempts
	return ms-r.attempts[r.next] >= rateWindow
}

// system takes a system event and reports whether it may be sent.
func (r *eventRate) system(now, booted clock.Instant) bool {
	block := uint16(uint32(now.Sub(booted)/time.Millisecond) >> 16)
	if block != r.block {
		r.block, r.sent = block, 0
	}
	if r.sent == systemRate {
		return false
	}
	r.sent++
	return true
}
