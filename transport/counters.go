package transport

import (
	"fmt"
	"strings"
	"sync/atomic"
)

// A Counter names one number that an engine keeps.
type Counter uint8

// The counters of all engines. Bytes are payload, without any header.
const (
	DatagramsIn Counter = iota
	DatagramBytesIn
	DatagramsOut
	DatagramBytesOut
	DropSocketFull // datagrams that the kernel dropped: the receive buffer was full
	DropTooLong    // received datagrams above DatagramSizeMax
	DropNoSocket   // datagrams to send from a port that no socket has
	SendRefused    // ICMP port unreachable came back for an earlier datagram
	SendNoRoute    // no route to the peer, or the source address is not ours
	SendTooLong    // datagrams above the MTU of the interface or of UDP
	SendFull       // datagrams that the kernel had no memory for
	SendFailed     // datagrams not sent for another reason
	ReceiveFailed  // failed reads, the refused not counted
	StreamsAccepted
	StreamsDialled
	StreamBytesIn
	StreamBytesOut
	StreamsOverLimit   // not opened: too many streams in all
	StreamsOverAddress // not opened: too many streams with one address
	StreamsSlowPeer    // aborted: the peer did not read
	StreamsReset       // reset by the peer
	StreamsNotOpened   // dials that failed
	AcceptFailed       // failed accepts, for want of descriptors or memory
	numCounters
)

var counterNames = [numCounters]string{
	DatagramsIn:        "datagrams in",
	DatagramBytesIn:    "datagram bytes in",
	DatagramsOut:       "datagrams out",
	DatagramBytesOut:   "datagram bytes out",
	DropSocketFull:     "dropped, socket full",
	DropTooLong:        "dropped, too long",
	DropNoSocket:       "dropped, no such socket",
	SendRefused:        "send refused",
	SendNoRoute:        "send without route",
	SendTooLong:        "send too long",
	SendFull:           "send buffers full",
	SendFailed:         "send failed",
	ReceiveFailed:      "receive failed",
	StreamsAccepted:    "streams accepted",
	StreamsDialled:     "streams dialled",
	StreamBytesIn:      "stream bytes in",
	StreamBytesOut:     "stream bytes out",
	StreamsOverLimit:   "streams over the limit",
	StreamsOverAddress: "streams over the limit of an address",
	StreamsSlowPeer:    "streams of slow peers",
	StreamsReset:       "streams reset by peer",
	StreamsNotOpened:   "streams not opened",
	AcceptFailed:       "accept failed",
}

// String returns the counter's name in words.
func (c Counter) String() string {
	if c >= numCounters {
		return "unknown"
	}
	return counterNames[c]
}

// Counters is a set of all counters, safe for concurrent use. Each reading
// goroutine has its own, so that they share no cache line.
type Counters struct{ n [numCounters]atomic.Uint64 }

// Add adds n to counter c.
func (s *Counters) Add(c Counter, n uint64) { s.n[c].Add(n) }

// Counts is a reading of [Counters], indexed by [Counter].
type Counts [numCounters]uint64

// AddTo adds the present values to counts.
func (s *Counters) AddTo(counts *Counts) {
	for i := range s.n {
		counts[i] += s.n[i].Load()
	}
}

// Add adds other to c.
func (c *Counts) Add(other Counts) {
	for i, n := range other {
		c[i] += n
	}
}

// String lists the counters that are not zero.
func (c Counts) String() string {
	var parts []string
	for i, n := range c {
		if n != 0 {
			parts = append(parts, fmt.Sprintf("%v %d", Counter(i), n))
		}
	}
	return strings.Join(parts, ", ")
}
