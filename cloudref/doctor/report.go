// Package doctor finds out why a board does not connect. It puts together what a
// running cloud says of itself ([Report]) and what probes of its addresses found
// ([Probe]), and judges: [Judge] returns sentences, each with what to do.
//
// What this package is not: it opens no session, changes nothing, and knows no
// secret.
package doctor

import "time"

// A Report is what a running cloud says of itself. Nothing in it is secret.
type Report struct {
	Up        time.Duration `json:"up"`  // since the start
	UDP       string        `json:"udp"` // listening address, "" for none
	TCP       string        `json:"tcp"`
	Data      string        `json:"data"` // directory
	Devices   int           `json:"devices"`
	Online    int           `json:"online"`
	Datagrams uint64        `json:"datagrams"` // received since the start, probes left out
	Streams   uint64        `json:"streams"`   // TCP connections since the start
	Secured   uint64        `json:"secured"`   // handshakes completed
	Unstored  uint64        `json:"unstored"`  // answers held back because the storage failed
	PoolFull  uint64        `json:"pool_full"` // handshakes that were one too many
	// TrustFor is for how much longer unknown devices are let in.
	TrustFor time.Duration `json:"trust_for"`
	// Storage is what is wrong with the storage, "" if nothing is.
	Storage  string    `json:"storage,omitempty"`
	Refusals []Refusal `json:"refusals,omitempty"` // the newest first
	// Device is the device that was asked for.
	Device *Device `json:"device,omitempty"`
}

// A Refusal is what was refused to one device, or to one address, for one reason.
type Refusal struct {
	Device    string    `json:"device,omitempty"` // id, "" where it is not known
	Peer      string    `json:"peer,omitempty"`   // the last address and port
	Transport string    `json:"transport,omitempty"`
	Reason    string    `json:"reason"` // a label of package endpoint
	Detail    string    `json:"detail"`
	Count     int       `json:"count"`
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
}

// A Device is what the cloud knows of one device.
type Device struct {
	ID            string    `json:"id"`
	Registered    bool      `json:"registered"`
	Denied        bool      `json:"denied"`
	UDP           bool      `json:"udp"` // has a key for UDP
	TCP           bool      `json:"tcp"`
	Online        bool      `json:"online"`
	Peer          string    `json:"peer,omitempty"`
	Session       string    `json:"session,omitempty"` // "udp", "tcp", or none
	LastHandshake time.Time `json:"last_handshake,omitzero"`
	LastAddress   string    `json:"last_address,omitempty"`
}

// A Level says how bad a finding is.
type Level uint8

// The levels.
const (
	Good Level = iota
	Note       // worth to know
	Bad        // boards do not connect because of it, or may not
)

// String returns the word that begins the line.
func (l Level) String() string { return [...]string{"ok", "note", "WRONG"}[l] }

// A Finding is one sentence, and what to do.
type Finding struct {
	Level Level
	What  string
	Do    string // "" where there is nothing to do
}
