package app

import (
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// An Out collects what a [Device] wants done. The endpoint owns it, passes it
// in and empties it with Reset. What it holds stays valid after Reset: nothing
// in it aliases the message that was received.
type Out struct {
	// Save names the parts of [Device.AppendState] that have changed in a way
	// that must be durable before Replies, Sends and Effects are released.
	Save Parts
	// Publish are events to append durably to the account's stream, and then
	// to route, before Replies are released.
	Publish []Event
	// Replies answer Confirmable messages that were received.
	Replies []Reply
	// Sends are messages of the cloud's own.
	Sends []Send
	// Effects are what others must know or do, in order.
	Effects []Effect
}

// Parts are the parts of a device's durable state, as a set. They are stored
// apart, because the describe is large and changes seldom.
type Parts uint8

// The parts.
const (
	SaveSession  Parts = 1 << iota // Hello, flags, subscriptions, firmware transfer
	SaveDescribe                   // functions, variables, modules
	SaveLedgers                    // names of the ledgers that the device follows
)

// Reset empties out and keeps its storage.
func (out *Out) Reset() {
	clear(out.Publish)
	clear(out.Replies)
	clear(out.Sends)
	clear(out.Effects)
	out.Save = 0
	out.Publish, out.Replies = out.Publish[:0], out.Replies[:0]
	out.Sends, out.Effects = out.Sends[:0], out.Effects[:0]
}

// Durable reports whether something must be stored before the rest of out is
// released.
func (out *Out) Durable() bool { return out.Save != 0 || len(out.Publish) > 0 }

// A Reply answers the Confirmable message To, of which only Type, ID and Token
// are set.
type Reply struct {
	To      coap.Message
	Message coap.Message
}

// A Send is one message of the cloud. Tag comes back in Acknowledged or
// TimedOut; 0 says that nobody waits for the outcome.
type Send struct {
	Tag     uint32
	Message coap.Message
}

// An Event is one published event on its way to subscribers.
type Event struct {
	Name    string
	Data    []byte
	Content pdc.ContentFormat // what Data is; text unless the publisher said otherwise
	TTL     uint32            // seconds
	Private bool              // always, for what Device OS 6.2 publishes
}

// An Effect is something that happened to a device. The set is closed: see the
// types that implement it.
type Effect interface{ effect() }

// HelloAccepted says that the Hello is in order: from now on the session may
// be stored and the device is online. It comes with Save.
type HelloAccepted struct{ Hello pdc.Hello }

// HelloRefused says that the session must end without an answer, because the
// Hello names another device than the one whose key opened the session, or is
// not a Hello at all.
type HelloRefused struct{ Reason string }

// Offline says that the device said goodbye or stopped answering. The session
// stays valid.
type Offline struct{ Reason string }

// Described says that the list of functions and variables, or of modules, was
// replaced. AppHash is the SHA-256 of the application in a list of modules, nil if
// there is none.
type Described struct {
	System, Application bool
	AppHash             []byte
}

// Claimed carries the claim code that the device published. The endpoint
// checks it and calls [Device.ConfirmClaim].
type Claimed struct{ Code string }

// UpdateFlags says that the device allows or refuses updates.
type UpdateFlags struct{ Enabled, Forced bool }

// SafeMode says that the device runs without its application, because modules
// are missing or too old (PDC-6.10). It comes again when a system describe tells
// which: Known says that Missing is all of them. Who has the modules sends them
// with [Device.Flash], one after another.
type SafeMode struct {
	Known   bool
	Missing []pdc.ModuleDependency
}

// Vitals carries a metrics describe.
type Vitals struct{ Metrics []pdc.Metric }

// LedgerAsked carries a request about ledgers. Who has them answers with
// [Device.AnswerLedger] and the token, always: a device has no patience of its own.
type LedgerAsked struct {
	Token []byte
	Call  pdc.LedgerCall
}

// Result ends a command: Err is nil on success.
type Result struct {
	Ref   uint64
	Err   *Failure
	Int   int32  // of a function
	Value []byte // of a variable, in the encoding of its type
	Type  pdc.VariableType
}

// FlashProgress says how far a firmware transfer is.
type FlashProgress struct {
	Ref   uint64
	Stage FlashStage
	// Sent and Total count bytes of the image; after a resumed transfer Sent
	// begins at the device's offset.
	Sent, Total int
	// Packets counts the chunk messages that were sent, repeats included.
	Packets int
	Err     *Failure // of stage FlashFailed
	// Applied, of stage FlashDone, says that FlashRestarting was told before.
	Applied bool
}

// FlashMoved says that the device, and the update with this ref, are at another node
// now: here nothing more is heard of it.
type FlashMoved struct{ Ref uint64 }

func (HelloAccepted) effect() {}
func (HelloRefused) effect()  {}
func (Offline) effect()       {}
func (Described) effect()     {}
func (Claimed) effect()       {}
func (UpdateFlags) effect()   {}
func (SafeMode) effect()      {}
func (Vitals) effect()        {}
func (LedgerAsked) effect()   {}
func (Result) effect()        {}
func (FlashMoved) effect()    {}
func (FlashProgress) effect() {}

func (out *Out) effect(e Effect) { out.Effects = append(out.Effects, e) }

// answer replies to m if it is Confirmable: a NON never gets a reply.
func (out *Out) answer(m, reply coap.Message) {
	if m.Type != coap.Confirmable {
		return
	}
	to := coap.Message{Type: m.Type, ID: m.ID, Token: append([]byte(nil), m.Token...)}
	out.Replies = append(out.Replies, Reply{To: to, Message: reply})
}

// ack sends the empty ACK that nearly every device message wants.
func (out *Out) ack(m coap.Message) { out.answer(m, coap.Message{}) }
