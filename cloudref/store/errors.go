package store

import (
	"errors"
	"fmt"
)

// What can go wrong with an operation. Test with errors.Is: the errors returned
// wrap these and say more.
var (
	ErrNotFound      = errors.New("store: not found")
	ErrConflict      = errors.New("store: the record was changed by someone else")
	ErrUnknownDevice = errors.New("store: no such device")
	ErrRevoked       = errors.New("store: the device no longer has the key of this session")
	ErrTooLarge      = errors.New("store: the value is too large")
	ErrNameTaken     = errors.New("store: the user name is taken")

	// ErrBusy means that too many writes are waiting. The write did not happen.
	ErrBusy = errors.New("store: too many writes are waiting")
	// ErrFull means that the disk is (nearly) full. The write did not happen;
	// writes succeed again once there is space.
	ErrFull = errors.New("store: no space left in the data directory")
	// ErrUnavailable means that no answer came: the write may or may not have
	// happened.
	ErrUnavailable = errors.New("store: the storage does not answer")
	ErrClosed      = errors.New("store: closed")
)

// Why a claim code is refused.
var (
	ErrCodeUnknown = errors.New("store: no such claim code")
	ErrCodeExpired = errors.New("store: the claim code has expired")
	ErrCodeUsed    = errors.New("store: the claim code was used by another device")
)

// Why a store does not open. The errors returned wrap these, name the file and
// say what to do.
var (
	ErrLocked   = errors.New("the data directory is in use")
	ErrForeign  = errors.New("not a data directory of this program")
	ErrNewer    = errors.New("written by a newer version of this program")
	ErrKeyLost  = errors.New("the key of the stored sessions is lost")
	ErrWrongKey = errors.New("the session key is not the one that the stored sessions are encrypted with")
	ErrOpenKey  = errors.New("the key of the stored sessions can be read by others")
)

// A KeyError reports that a device cannot have a key because another has it.
type KeyError struct {
	Key   Fingerprint
	Owner DeviceID // the device that has it
}

func (e *KeyError) Error() string {
	return fmt.Sprintf("store: the key %s belongs to device %s", e.Key, e.Owner)
}

// An OpError says which op of a batch failed first. The others may have been
// done or not.
type OpError struct {
	Index int // in the batch
	Err   error
}

func (e *OpError) Error() string { return fmt.Sprintf("op %d: %v", e.Index, e.Err) }

// Unwrap returns the reason.
func (e *OpError) Unwrap() error { return e.Err }
