package device

import (
	"hash/crc32"

	"github.com/muster/muster/sim/profile"
)

// A Session is a stored session (TRN-3.2).
type Session struct {
	// Size is that of the structure in the release that stored it; another size
	// discards the session (TRN-3.5).
	Size uint16
	// Uses counts restores without an answer.
	Uses uint8
	// LastID is the CoAP message id that was used last.
	LastID uint16
	// Server and Keys are checksums of what the session belongs to.
	Server, Keys uint32
	// App is what the cloud knows of the device.
	App AppState
	// DTLS is the protected state of the connection in its own encoding.
	DTLS []byte
}

// usesMax is how often a session is restored without an answer (TRN-3.5).
const usesMax = 3

// suspend takes the session out of the live connection and puts it into the
// NVRAM, unless it is to be discarded or was never confirmed by a Hello
// (TRN-3.1). The connection is gone afterwards.
func (d *Device) suspend(discard bool) {
	d.lastID, d.hasID = d.ch.LastID(), true
	if s, ok := d.exportSession(); ok && d.persistent && (!discard || d.faults().ResumeForever) {
		d.nv.Session = &Session{
			Size: d.prof.SessionSize(), Uses: d.uses, LastID: d.lastID,
			Server: crc32.ChecksumIEEE([]byte(d.cfg.Server)), Keys: d.keysChecksum(),
			App: d.known, DTLS: s,
		}
	}
	d.ch = nil
}

// restore brings a stored session back to life. It reports false, and forgets
// the session, when the device would not use it (TRN-3.5, R-78).
func (d *Device) restore() bool {
	s := d.nv.Session
	d.nv.Session = nil
	switch {
	case s == nil || !d.prof.Board.UDP:
		return false
	case d.faults().AnySession:
	case s.Size != d.prof.SessionSize(),
		s.Server != crc32.ChecksumIEEE([]byte(d.cfg.Server)),
		s.Keys != d.keysChecksum():
		return false
	case d.has(profile.SessionCounter) && s.Uses >= usesMax && !d.faults().ResumeForever:
		return false
	}
	ch, err := d.importSession(s)
	if err != nil {
		return false
	}
	d.ch, d.known, d.uses, d.persistent, d.answered = ch, s.App, s.Uses, true, false
	if d.has(profile.SessionCounter) {
		d.uses++
	}
	return true
}
