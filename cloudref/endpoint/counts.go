package endpoint

import (
	"errors"
	"sync/atomic"

	"github.com/muster/muster/protocol/dtls"
)

// Counts are what a node counted since it started.
type Counts struct {
	Datagrams          atomic.Uint64
	refusals           reasonCounts
	Records            recordCounts // dropped records, by reason
	UnknownSession     atomic.Uint64
	Handshakes         atomic.Uint64 // begun, behind a good cookie
	HandshakeFailed    atomic.Uint64
	HandshakeQueueFull atomic.Uint64
	HalfOpenEvicted    atomic.Uint64
	PoolFull           atomic.Uint64
	Secured            atomic.Uint64
	Hellos             atomic.Uint64
	HelloRefused       atomic.Uint64
	Resumed            atomic.Uint64
	Restored           atomic.Uint64 // sessions found in the store at the start
	Unrestored         atomic.Uint64 // sessions in the store that could not be used
	Moved              atomic.Uint64 // sessions that changed their address
	Adopted            atomic.Uint64 // sessions taken over from other nodes
	Left               atomic.Uint64 // sessions that other nodes took over
	Unmoved            atomic.Uint64 // records of other nodes' sessions that moved nothing: forged, or late
	Malformed          atomic.Uint64 // messages that are not CoAP
	Rejected           atomic.Uint64 // Resets from devices
	Unstored           atomic.Uint64 // answers held back because the store failed
	Deliveries         atomic.Uint64
	Streams            atomic.Uint64
	StreamsRefused     atomic.Uint64
	ProbesEchoed       atomic.Uint64
	ProbesRefused      atomic.Uint64
}

// recordCounts counts dropped records by their dtls.DropReason.
type recordCounts [dtls.NumDropReasons]atomic.Uint64

func (c *recordCounts) add(reason int) {
	if reason >= 0 && reason < len(c) {
		c[reason].Add(1)
	}
}

func (c *Counts) drop(err error) {
	var dropped *dtls.DropError
	if errors.As(err, &dropped) {
		c.Records.add(int(dropped.Reason))
	}
}

// Dropped returns how many records were dropped, by reason in words. Reasons
// that did not occur are left out.
func (c *Counts) Dropped() map[string]uint64 {
	dropped := make(map[string]uint64)
	for reason := range c.Records {
		if n := c.Records[reason].Load(); n > 0 {
			dropped[dtls.DropReason(reason).String()] = n
		}
	}
	return dropped
}
