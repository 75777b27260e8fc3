package device

import "time"

// An App is an application: what it registers with the cloud. Many devices
// share one; its functions are pure and answer at once. What a function does
// besides is the driver's to do, which sees an event of every call.
type App struct {
	// Functions and Variables in the order of registration.
	Functions []Function
	Variables []Variable

	// Subscriptions in the order of registration, without the system's own.
	Subscriptions []Subscription

	// SetupOnConnect says that setup() runs when the device is connected for
	// the first time (system mode AUTOMATIC): up to 1.x the subscriptions of
	// the application then follow the connect sequence.
	SetupOnConnect bool

	// Vitals are the metrics of the metrics describe. Nil has uptime only.
	Vitals func(ID) []Metric
}

// A Function is a cloud function.
type Function struct {
	Name string
	// Call returns the function's result.
	Call func(id ID, arg []byte) int32
	// Delay is how long the function runs.
	Delay time.Duration
}

// A VariableType is the type of a variable as the describe tells it (PDC-3.4).
type VariableType uint8

// The types, with the Go type of their values.
const (
	Bool   VariableType = 1 // bool
	Int    VariableType = 2 // int32
	Text   VariableType = 4 // string
	Double VariableType = 9 // float64
)

// A Variable is a cloud variable.
type Variable struct {
	Name string
	Type VariableType
	// Value returns the present value: bool, int32, string or float64
	// according to Type.
	Value func(id ID) any
}

// A Scope says whose events a subscription wants (PDC-4.2). Since 6.2 every
// subscription is the owner's.
type Scope uint8

// The scopes.
const (
	MyDevices  Scope = iota // events of the owner's devices
	AllDevices              // the public firehose, up to 6.1
	OneDevice               // events of one device, up to 6.1
)

// A Subscription is a handler for events whose names begin with Filter.
type Subscription struct {
	Filter string
	Scope  Scope
	Device ID // of OneDevice
	// Binary and CBOR want typed data, since 6.2; neither wants text.
	Binary, CBOR bool
}

// A Metric is one value of the metrics describe (PDC-3.7).
type Metric struct {
	ID    uint16
	Value int32
	// Failed says that Value is the system error of an item that could not be
	// read.
	Failed bool
}

// A Ledger is a ledger of the application (PDC-8.9).
type Ledger struct {
	Name string
	// Data returns what the device has to say, a CBOR map, and when it last
	// changed in ms since the epoch; nil for a ledger from cloud to device.
	Data func(ID) (data []byte, updated uint64)
}
