package ledger

import (
	"fmt"
	"strings"

	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

// A Phase is what bytes were spent on.
type Phase uint8

// The phases. Connect and ResumeAll are sums over others of one connection, and
// are not to be added to them.
const (
	Handshake       Phase = iota // up to the server's Finished; over TCP nonce, C1, C2 and S
	HandshakeFailed              // a handshake that was not completed
	Hello                        // Hello and its answer
	Describe                     // a describe, in blocks or not, asked for or not
	Subscription                 // one subscription
	ConnectEvent                 // a system event or a request for the time
	Resume                       // the ping that uses a session again, and its ACK
	ResumeHello                  // a Hello that does so, and its ACK
	Ping                         // a keep-alive, of either side
	Publish                      // an application's event
	Delivery                     // an event to the device
	Function                     // a function call with its result
	Variable                     // a variable read with its value
	OTAControl                   // begin, missed chunks, end of an update
	OTAChunk                     // one chunk with what it is acknowledged by
	DeviceLedger                 // synchronising a ledger of the device
	Control                      // signal, key change, server moved
	Closing                      // goodbye, alerts
	Probe                        // reachability probes
	Other                        // unknown, unmatched or unreadable
	Connect                      // a handshake and all until the application speaks
	ResumeAll                    // a resume and all until the application speaks
	numPhases
)

var phases = [numPhases]string{
	"handshake", "handshake, failed", "hello", "describe", "subscription", "connect event",
	"resume", "resume with hello", "ping", "publish", "event delivery", "function", "variable",
	"OTA control", "OTA chunk", "device ledger", "control", "closing", "probe", "other",
	"connect in all", "resume in all",
}

// String returns the phase in words.
func (ph Phase) String() string {
	if ph >= numPhases {
		return fmt.Sprintf("phase(%d)", uint8(ph))
	}
	return phases[ph]
}

// kindPhases has the phase of an exchange by the kind of message that began it.
var kindPhases = map[pdc.Kind]Phase{
	pdc.KindHello: Hello, pdc.KindServerHello: Hello,
	pdc.KindDescribeRequest: Describe, pdc.KindDescribePost: Describe,
	pdc.KindSubscribe: Subscription, pdc.KindTimeRequest: ConnectEvent,
	pdc.KindPing: Ping, pdc.KindPublish: Publish, pdc.KindEventDelivery: Delivery,
	pdc.KindFunctionCall: Function, pdc.KindVariableRequest: Variable,
	pdc.KindUpdateBegin: OTAControl, pdc.KindUpdateDone: OTAControl, pdc.KindChunkMissed: OTAControl,
	pdc.KindDeviceUpdateDone: OTAControl, pdc.KindUpdateStart: OTAControl, pdc.KindUpdateFinish: OTAControl,
	pdc.KindChunk: OTAChunk, pdc.KindUpdateChunk: OTAChunk, pdc.KindUpdateAck: OTAChunk,
	pdc.KindLedgerRequest: DeviceLedger, pdc.KindLedgerNotify: DeviceLedger,
	pdc.KindSignal: Control, pdc.KindKeyChange: Control, pdc.KindServerMoved: Control,
	pdc.KindGoodbye: Closing,
}

// phaseOf returns the phase of the exchange that a message belongs to.
func phaseOf(m *trace.Message) Phase {
	ph, ok := kindPhases[m.Root]
	switch {
	case !ok || m.Exchange == 0:
		return Other
	case m.Root == pdc.KindPublish && systemEvent(m.Event):
		return ConnectEvent
	}
	return ph
}

func systemEvent(name string) bool {
	return strings.HasPrefix(name, "spark/") || strings.HasPrefix(name, "particle/")
}

// connecting reports whether the phase is a part of connecting.
func (ph Phase) connecting() bool {
	switch ph {
	case Handshake, Hello, Describe, Subscription, ConnectEvent, Resume, ResumeHello:
		return true
	default: // what happens once connected, and the sums
		return false
	}
}
