package device

import (
	"time"

	"github.com/muster/muster/protocol/pdc"
)

// An App is an application: what it registers with the cloud. Many devices
// share one; its functions are pure and answer at once. What a function does
// besides is the driver's to do, which sees an event of every call.
type App struct {
	// Functions and Variables in the order of registration.
	Functions []Function
	Variables []Variable

	// Subscriptions in the order of registration, without the system's own.
	Subscriptions []pdc.Subscribe

	// SetupOnConnect says that setup() runs when the device is connected for
	// the first time (system mode AUTOMATIC): up to 1.x the subscriptions of
	// the application then follow the connect sequence.
	SetupOnConnect bool

	// Vitals are the metrics of the metrics describe. Nil has uptime only.
	Vitals func(ID) []pdc.Metric
}

// A Function is a cloud function.
type Function struct {
	Name string
	// Call returns the function's result.
	Call func(id ID, arg []byte) int32
	// Delay is how long the function runs.
	Delay time.Duration
	// Runs, if not nil, says so for each call instead, and whether the call is
	// answered at all: a function that never returns gives no answer.
	Runs func(id ID) (delay time.Duration, answers bool)
}

// A Variable is a cloud variable.
type Variable struct {
	Name string
	Type pdc.VariableType
	// Value returns the present value, of the type Type.
	Value func(ID) pdc.Value
}

// A Ledger is a ledger of the application (PDC-8.9).
type Ledger struct {
	Name string
	// Data returns what the device has to say, a CBOR map, and when it last
	// changed in ms since the epoch; nil for a ledger from cloud to device.
	Data func(ID) (data []byte, updated uint64)
}
