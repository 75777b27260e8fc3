package control

import (
	"errors"
	"fmt"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
)

// polls are the pauses before CHECK, the last one over and over. particle-usb
// begins with 50 ms, twice or thrice for every chunk of an image: most of the time
// that flashing takes. A board answers CHECK from its interrupt handler and loses
// nothing by being asked sooner.
var polls = [...]time.Duration{
	2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second,
}

// memoryPatience is how long a board may say that it has no memory before that is
// believed.
//
// Device OS: what a request has held is given back by the system thread a moment
// after its reply, so that the next one may come too soon; particle-usb, which
// waits 50 ms before each reply, does not meet that.
const memoryPatience = 10 * time.Second

// A step is where an Exchange is.
type step uint8

const (
	stepInit  step = iota // ask for a place
	stepAlloc             // the board allocates memory for the payload
	stepSend
	stepWork // the board works
	stepRecv
	stepCancel // the request failed here; the board is to forget it
	stepDone
)

// A Transfer is one control transfer that an Exchange wants made.
type Transfer struct {
	Setup
	Data []byte // to send, Setup.Length bytes; nil when the data stage comes in
}

// An Exchange is one request and its reply. Its driver makes the transfers that
// Next gives, and tells Receive what became of each, until Done.
type Exchange struct {
	kind    Kind
	payload []byte

	step  step
	id    uint16
	size  uint32 // of the reply's payload
	polls int    // since the last step
	scant int    // how often there was no memory for it
	heard bool   // the last CHECK was answered
	due   clock.Instant
	began clock.Instant
	end   clock.Instant
	reply []byte
	err   error
}

// NewExchange begins a request at now that fails after timeout. The payload is at
// most [TransferMax] bytes and stays the caller's to keep unchanged.
func NewExchange(kind Kind, payload []byte, now clock.Instant, timeout time.Duration) *Exchange {
	if len(payload) > TransferMax {
		panic(fmt.Sprintf("control: a payload of %d bytes", len(payload)))
	}
	return &Exchange{kind: kind, payload: payload, due: now, began: now, end: now.Add(timeout)}
}

// Done reports whether there is nothing left to do.
func (x *Exchange) Done() bool { return x.step == stepDone }

// Result returns the reply's payload once Done.
func (x *Exchange) Result() ([]byte, error) { return x.reply, x.err }

// Deadline returns when Next has something to do, Never once Done.
func (x *Exchange) Deadline() clock.Instant {
	if x.Done() {
		return clock.Never
	}
	return min(x.due, x.end)
}

// Next returns the transfer to make at now; ok is false when there is none yet.
func (x *Exchange) Next(now clock.Instant) (t Transfer, ok bool) {
	if !x.Done() && x.step != stepCancel && !now.Before(x.end) {
		x.late(now)
	}
	if x.Done() || now.Before(x.due) {
		return t, false
	}
	switch x.step {
	case stepInit:
		t.Setup = initSetup(x.kind, len(x.payload))
	case stepAlloc, stepWork:
		t.Setup = checkSetup(x.id)
	case stepSend:
		t = Transfer{sendSetup(x.id, len(x.payload)), x.payload}
	case stepRecv:
		t.Setup = recvSetup(x.id, x.size)
	case stepCancel:
		t.Setup = resetSetup(x.id)
	case stepDone: // returned above
	}
	return t, true
}

// Cancel gives the request up: the board is told to forget it, and Result returns
// err.
func (x *Exchange) Cancel(now clock.Instant, err error) {
	if !x.Done() && x.step != stepCancel {
		x.fail(now, err)
	}
}

// late ends a request that took too long.
func (x *Exchange) late(now clock.Instant) {
	err := ErrSilent
	switch {
	case x.step == stepInit && x.scant > 0:
		err = ErrNoMemory
	case x.step == stepInit && x.polls > 0:
		err = ErrBusy
	case x.polls > 0 && x.heard:
		err = ErrPending
	}
	x.fail(now, err)
}

// fail remembers err, the first one, and has the board forget the request if it
// has one of ours.
func (x *Exchange) fail(now clock.Instant, err error) {
	x.err = fmt.Errorf("%s: %w", x.kind, err)
	x.due = min(now, x.due)
	x.step = stepCancel
	if x.id == 0 {
		x.step = stepDone
	}
}

// Receive takes the data stage of the transfer that Next gave, or why it failed:
// [ErrGone], [ErrStall], [ErrSilent] or another error.
func (x *Exchange) Receive(now clock.Instant, data []byte, err error) {
	switch {
	case x.step == stepCancel: // whatever it said
		x.step = stepDone
	case err != nil:
		x.failed(now, err)
	case x.step == stepSend:
		x.wait(now, stepWork, 0)
	case x.step == stepRecv:
		x.received(now, data)
	default:
		r, err := parseReply(data)
		if err != nil {
			x.fail(now, err)
			return
		}
		x.answered(now, r)
	}
}

// failed handles a transfer that was not made.
func (x *Exchange) failed(now clock.Instant, err error) {
	gone := errors.Is(err, ErrGone)
	if gone && x.kind.restarts() && x.id != 0 {
		x.step = stepDone // it does what it was told
		return
	}
	if errors.Is(err, ErrSilent) && (x.step == stepAlloc || x.step == stepWork) {
		// A CHECK changes nothing, and a board that erases flash may be deaf for
		// a while.
		x.heard = false
		x.wait(now, x.step, x.polls+1)
		return
	}
	x.fail(now, err)
	if gone {
		x.step = stepDone // nobody there to forget it
	}
}

func (x *Exchange) answered(now clock.Instant, r reply) {
	switch {
	case x.step == stepInit && r.status == statusBusy:
		x.wait(now, stepInit, x.polls+1)
	case r.status == statusNoMemory:
		x.scarce(now)
	case r.status == statusNotFound && x.step != stepInit:
		x.id = 0
		x.fail(now, ErrLost)
	case x.step == stepInit:
		x.admitted(now, r)
	case r.status == statusPending:
		x.heard = true
		x.wait(now, x.step, x.polls+1)
	case r.status != statusOK:
		x.fail(now, fmt.Errorf("%w: %s", errProtocol, r.status))
	case x.step == stepAlloc:
		x.step, x.due = stepSend, now
	default:
		x.worked(now, r)
	}
}

// scarce begins again after a pause: the board has forgotten the request for want of
// memory.
func (x *Exchange) scarce(now clock.Instant) {
	x.id = 0
	if now.Sub(x.began) >= memoryPatience {
		x.fail(now, ErrNoMemory)
		return
	}
	x.scant++
	x.wait(now, stepInit, x.scant)
}

// admitted handles the answer to INIT.
func (x *Exchange) admitted(now clock.Instant, r reply) {
	ok := r.status == statusOK || r.status == statusPending && len(x.payload) > 0
	if !ok || r.flags&hasID == 0 || r.id == 0 {
		x.fail(now, fmt.Errorf("%w: %s to a new request", errProtocol, r.status))
		return
	}
	x.id = r.id
	switch {
	case r.status == statusPending:
		x.wait(now, stepAlloc, 0)
	case len(x.payload) > 0:
		x.step, x.due = stepSend, now
	default:
		x.wait(now, stepWork, 0)
	}
}

// worked handles a CHECK that says the board is ready.
func (x *Exchange) worked(now clock.Instant, r reply) {
	switch {
	case r.flags&hasResult == 0:
		x.fail(now, fmt.Errorf("%w: done without a result", errProtocol))
	case r.size > TransferMax:
		x.fail(now, fmt.Errorf("the reply has %d bytes, and a USB control transfer carries %d", r.size, TransferMax))
	default:
		if r.result < 0 {
			x.err = &ResultError{x.kind, pdc.SystemError(r.result)}
		}
		x.step, x.size, x.due = stepDone, r.size, now
		if r.size > 0 {
			x.step = stepRecv
		}
	}
}

func (x *Exchange) received(now clock.Instant, data []byte) {
	if len(data) != int(x.size) {
		x.fail(now, fmt.Errorf("%w: %d bytes of a reply of %d", errProtocol, len(data), x.size))
		return
	}
	x.reply, x.step = append([]byte(nil), data...), stepDone
}

// wait polls again after a pause that grows.
func (x *Exchange) wait(now clock.Instant, s step, polled int) {
	x.step, x.polls = s, polled
	x.due = now.Add(polls[min(polled, len(polls)-1)])
}
