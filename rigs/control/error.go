package control

import (
	"errors"
	"fmt"

	"github.com/muster/muster/protocol/pdc"
)

// What became of a transfer, or of a request, to be told apart with [errors.Is].
var (
	// ErrGone: the board left the bus.
	ErrGone = errors.New("the board is gone: it was unplugged, restarted, or lost power")
	// ErrStall: the board refused the transfer.
	ErrStall = errors.New("the board refused the transfer: it is in DFU mode, or its Device OS has no control requests (they came with 0.8.0)")
	// ErrSilent: the board did not answer in time.
	ErrSilent = errors.New("the board does not answer: its system thread may hang; reset it")
	// ErrPending: the board took the request, and its system does not come to it. It
	// is an ErrSilent.
	ErrPending error = pendingError{}
	// ErrBusy: other requests fill the board's four places.
	ErrBusy = errors.New("the board is busy with the requests of another program: end it, or unplug the board")
	// ErrNoMemory: the board has no room for the request.
	ErrNoMemory = errors.New("the board has no memory for the request: restart it")
	// ErrLost: the board forgot the request.
	ErrLost = errors.New("the board forgot the request: it restarted, or another program reset its requests")
)

// pendingError is the type of ErrPending.
type pendingError struct{}

func (pendingError) Error() string {
	return "the board took the request and does not do it: its application or its modem keeps its system busy, or hangs; wait, or reset it"
}

func (pendingError) Is(target error) bool { return target == ErrSilent }

// errProtocol: the board's bytes make no sense.
var errProtocol = errors.New("the board breaks the protocol of control requests")

// A ResultError is a request that the board understood and did not do.
type ResultError struct {
	Kind Kind
	Code pdc.SystemError
}

// Error says what was asked, what the board answered, and what to do if that is
// known.
func (e *ResultError) Error() string {
	hint := ""
	switch e.Code { //nolint:exhaustive // the others say enough themselves
	case pdc.ErrNotSupported:
		hint = "; its Device OS does not have this request"
	case pdc.ErrNotAllowed:
		hint = "; a protected board refuses it"
	case pdc.ErrBusy:
		hint = "; another update is under way"
	}
	return fmt.Sprintf("%s: the board answers: %s%s", e.Kind, e.Code, hint)
}

// Unwrap returns the code, so that errors.Is finds it.
func (e *ResultError) Unwrap() error { return e.Code }
