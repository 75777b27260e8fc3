package device

import (
	"fmt"

	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// An EventKind says what happened in a device.
type EventKind uint8

// The kinds of events, with the fields of [Event] that each sets.
const (
	// Booted: the device has restarted. Reset.
	Booted EventKind = 1 + iota
	// Connecting: an attempt to connect begins. Count is its number since the
	// device was last online, from 1; Resumed whether it tries to resume.
	Connecting
	// Secured: the handshake is complete, or a session was restored. Resumed.
	Secured
	// Secrets: the secrets of a new session. Data is a line of a key log.
	// Only with Config.Secrets.
	Secrets
	// Online: the device calls itself connected. Resumed says that Hello was
	// skipped.
	Online
	// Offline: a connection or an attempt is over. Err says why; Count is the
	// attempt if it never came online, else 0. Discarded says that the session
	// was thrown away.
	Offline
	// EventReceived: an event for a handler of the application. Name, Data (nil
	// when there was no payload), Format.
	EventReceived
	// FunctionCalled: Name, Data is the argument, Value the result.
	FunctionCalled
	// VariableRead: Name; Code is the answer's.
	VariableRead
	// Published: a published event was sent, or acknowledged if it wanted that.
	// Tag.
	Published
	// PublishFailed: a published event failed after it was accepted. Tag, Err
	// or Code.
	PublishFailed
	// UpdateStarted: Size in bytes; Offset is where it resumes.
	UpdateStarted
	// UpdateProgress: Offset of Size bytes are stored.
	UpdateProgress
	// UpdateReceived: the image is complete and valid; it is applied when the
	// cloud acknowledges.
	UpdateReceived
	// UpdateApplied: the device restarts with the new module.
	UpdateApplied
	// UpdateFailed: System is the error.
	UpdateFailed
	// Restarting: Reset says why.
	Restarting
	// TimeSet: the cloud told the time, Value seconds since 1970.
	TimeSet
	// Signalled: the cloud started (Value 1) or stopped (0) the signal.
	Signalled
	// Claimed: the stored claim code was cleared.
	Claimed
	// UpdatesChanged: the cloud changed Name ("forced" or "pending") to Value.
	UpdatesChanged
	// SafeMode: the device runs in safe mode.
	SafeMode
	// KeyRestored: the factory key of the cloud was restored.
	KeyRestored
	// NetworkReset: the cloud asked to reset the network interfaces.
	NetworkReset
	// Moved: a valid ServerMoved was taken. Name is the new address.
	Moved
	// LedgerSynced: Name, Data is what the cloud gave, nil for what it took.
	LedgerSynced
	// Dropped: something received was ignored. Name says what.
	Dropped
	// Pinged: a ping is sent after silence, or because the application asked.
	Pinged

	numEventKinds
)

var eventNames = [numEventKinds]string{
	"invalid", "booted", "connecting", "secured", "secrets", "online", "offline", "event received",
	"function called", "variable read", "published", "publish failed", "update started",
	"update progress", "update received", "update applied", "update failed", "restarting",
	"time set", "signalled", "claimed", "updates changed", "safe mode", "key restored",
	"network reset", "moved", "ledger synced", "dropped", "pinged",
}

// String returns the name of k.
func (k EventKind) String() string {
	if k >= numEventKinds {
		return fmt.Sprintf("EventKind(%d)", uint8(k))
	}
	return eventNames[k]
}

// An Event is something that happened in a [Device].
type Event struct {
	Kind EventKind
	// Actions is how many of the actions of the same Out came before the event.
	Actions   int
	Resumed   bool
	Discarded bool
	Format    pdc.ContentFormat // of EventReceived
	Err       Error
	Code      coap.Code
	Count     int
	Name      string
	Data      []byte // holds until Out.Reset and the reuse of what was received
	Value     int64
	Tag       uint32
	Size      uint32
	Offset    uint32
	Reset     pdc.ResetReason
	System    pdc.SystemError
}
