package store

import (
	"encoding/binary"
	"fmt"
	"time"
)

// An event record is version 1, the time in milliseconds since 1970 (8 bytes,
// big-endian) and the body.
const (
	eventVersion = 1
	eventHeadLen = 9
)

func (e *Event) append(b []byte) []byte {
	b = append(b, eventVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(e.At.UnixMilli()))
	return append(b, e.Body...)
}

// parseEvent decodes the record of an event into e. The body aliases b.
func (e *Event) parse(b []byte) error {
	if err := checkVersion("event", b, eventVersion, eventHeadLen); err != nil {
		return err
	}
	e.At = time.UnixMilli(int64(binary.BigEndian.Uint64(b[1:]))).UTC()
	e.Body = b[eventHeadLen:]
	return nil
}

// A Selection says which events to follow. Its zero value selects all.
type Selection struct {
	Account *AccountID // only of this account
	Device  *DeviceID  // only of this device

	// From is the sequence number of the first event wanted; zero asks for
	// those to come. Events that were dropped for age or space are skipped.
	From uint64
}

// Follow calls fn with every selected event, in order, until stop is called; one
// call may then still be under way. The calls come one after another, from one
// goroutine of the store, where fn may block without delaying anyone else. (In a
// store in memory they come from [Store.Write].) fn must not change e.Body.
func (s *Store) Follow(sel Selection, fn func(e Event)) (stop func(), err error) {
	stop, err = s.backend.follow(filter{account: sel.Account, device: sel.Device}, sel.From, fn)
	if err != nil {
		return nil, fmt.Errorf("store: following events: %w", err)
	}
	return stop, nil
}
