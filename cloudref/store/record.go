package store

import (
	"net/netip"
	"time"
)

// DeviceFlags are the administrative switches of a device that every
// connection must know.
type DeviceFlags uint16

// The flags of a device.
const (
	// Denied devices are refused although their key is known.
	Denied DeviceFlags = 1 << iota
	// Development devices never get the firmware of their product by
	// themselves.
	Development
	// Quarantined devices name a product that does not list them.
	Quarantined
)

// A Device is one device as the cloud knows it.
type Device struct {
	ID    DeviceID
	Owner AccountID // zero while unclaimed
	Flags DeviceFlags
	Name  string

	// P256 and RSA are the device's public keys as SubjectPublicKeyInfo in DER,
	// for UDP and TCP; nil where it has none. No two devices share a key.
	P256, RSA []byte

	// Platform, Product and ProductVersion are what the last Hello said.
	Platform, Product, ProductVersion uint16

	Notes  string // the owner's
	Serial string // serial number, as printed on the device

	Created       time.Time // when the record was made
	Claimed       time.Time // when Owner was last set; zero while unclaimed
	LastHandshake time.Time // zero if it never connected
	LastHeard     time.Time // written lazily: may lag behind
	LastAddress   string    // of LastHandshake, as text

	// Revision is that of the record. In [PutDevice] it asks for
	// compare-and-swap where the op's expectation is set to it.
	Revision Revision
}

// An Identity is what a connection must know of a device; it comes from memory.
type Identity struct {
	Device DeviceID
	Owner  AccountID // zero while unclaimed
	Flags  DeviceFlags
}

// An Account owns devices. Credentials are not part of it: they get a record
// of their own, hashed.
type Account struct {
	ID       AccountID `json:"-"`
	Username string    `json:"username"` // unique; an e-mail address by custom
	Created  time.Time `json:"created,omitzero"`
	// Customer is the product whose customer this is, zero for none.
	Customer ProductID `json:"customer,omitempty"`

	Revision Revision `json:"-"`
}

// A Session is an established session as it must survive a restart.
type Session struct {
	Device DeviceID
	CID    CID

	// Key is the fingerprint of the device key that proved the session. A
	// session whose key the device no longer has is never given out.
	Key Fingerprint

	// Reserved is the first send sequence number that this session has not
	// reserved. After a restart the next record is sent with this number.
	Reserved uint64

	// Top and Window are the receive window: the highest sequence number seen
	// and the bitmap of the 64 below it. They may lag behind.
	Top, Window uint64

	// Node is the node that has the session, in a cloud of several.
	Node NodeID

	// Peer is where the device was heard last, as the [Progress] tells that was merged;
	// zero if it does not, and never stored by itself: Record has the address of when
	// it was written.
	Peer netip.AddrPort

	// Record is opaque, at most 4 KiB: the protocol's own state (which holds
	// the session's secrets) and what the endpoint adds.
	Record []byte

	Revision Revision
	// Progress is the revision of the progress that was merged, zero if there was
	// none. A node that [Reserve]s only if it is still this one never uses sequence
	// numbers that another node has reserved for the same session.
	Progress Revision
}

// Progress is the part of a session that changes while it is used. Writing it
// costs a tenth of writing the session.
type Progress struct {
	Device   DeviceID
	CID      CID    // of the session it belongs to
	Reserved uint64 // as in [Session]; must not go back
	Top      uint64 // as in [Session]
	Window   uint64 // as in [Session]
	// Peer is where the device was heard last, without a zone; zero if that is not told.
	Peer netip.AddrPort
}

// A Part numbers one blob of a device's application state. What each holds is
// the app's choice; a blob that changes often should not lie in one part with
// a large one that does not.
type Part uint8

// An AppState is one part of the application state of a device.
type AppState struct {
	Device   DeviceID
	Part     Part
	Value    []byte // opaque, at most 256 KiB
	Revision Revision
}

// An Event is one published event.
type Event struct {
	Account AccountID // whose stream it belongs to; zero for unclaimed devices
	Device  DeviceID  // who published it; zero for the API
	At      time.Time // when, to the millisecond
	Body    []byte    // opaque, at most 256 KiB: name, data and the rest

	// For the other nodes of a cloud of several, and not kept by one that is alone:
	Node             NodeID   // that stored it
	Product, Version uint16   // of the device's firmware, or the product of the API
	To               DeviceID // which device it answers; zero for none

	// Sequence numbers the events of a store in the order they were stored,
	// from 1. Append ignores it.
	Sequence uint64
}

// An Image describes a firmware image.
type Image struct {
	ID     ImageID
	Size   int64 // in bytes
	Stored time.Time
}

// A Report is what opening a store found. Broken, orphaned and outdated records
// were removed or ignored; the counts say how many.
type Report struct {
	Devices, Accounts int

	Unreadable   int // records that did not decode or decrypt; left in place
	SharedKeys   int // devices that have the key of an earlier one; the key is ignored
	Homeless     int // sessions, progress and application state of devices that do not exist; removed
	StaleKeys    int // sessions proven by a key that the device no longer has; removed
	Unfinished   int // images whose upload never finished; removed
	ExpiredCode  int // claim codes past their time; removed
	ExpiredToken int // tokens long past their time; removed
}
