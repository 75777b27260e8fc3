package store

// Limits on what a record may carry, in bytes. They keep one write well below
// the message size of a NATS server (1 MiB).
const (
	MaxSessionRecord = 4 << 10
	MaxAppState      = 256 << 10
	MaxEventBody     = 256 << 10
	MaxImage         = 64 << 20
	MaxDocument      = 512 << 10 // a product, a webhook, a ledger
)

type opKind uint8

const (
	opInvalid opKind = iota
	opPutDevice
	opPutSession
	opDropSession
	opReserve
	opPutApp
	opDropApp
	opAppend
	opCall
	numOpKinds
)

// An Op is one write of a batch. Make it with [PutDevice], [PutSession],
// [DropSession], [Reserve], [PutApp], [DropApp], [Append] or [PutCall].
type Op struct {
	kind    opKind
	cas     bool
	part    Part
	expect  Revision
	device  *Device
	session *Session
	id      DeviceID
	reserve Progress
	value   []byte
	event   Event
	once    string
	by      string

	// Revision is set before the batch completes: the revision of the record
	// written, the sequence number of the event appended.
	Revision Revision
}

// PutDevice creates or replaces the record of d. It fails with a [KeyError] if
// another device has one of its keys. When the device loses the key of its
// stored session, the session goes with it.
//
// d must not change until the batch is complete.
func PutDevice(d *Device) Op { return Op{kind: opPutDevice, id: d.ID, device: d} }

// PutSession creates or replaces the session of s.Device: a device has at most
// one. It fails with [ErrUnknownDevice] if there is no such device and with
// [ErrRevoked] if s.Key is not a key of it.
//
// s must not change until the batch is complete.
func PutSession(s *Session) Op { return Op{kind: opPutSession, id: s.Device, session: s} }

// DropSession forgets the session of a device. It may have none.
func DropSession(id DeviceID) Op { return Op{kind: opDropSession, id: id} }

// Reserve records the progress of a session: sequence numbers below p.Reserved
// may be used once the batch is complete, and not before. It has no effect if
// the session was replaced meanwhile.
func Reserve(p Progress) Op { return Op{kind: opReserve, id: p.Device, reserve: p} }

// PutApp creates or replaces one part of the application state of a device.
// The value may be reused as soon as Write returns.
func PutApp(id DeviceID, part Part, value []byte) Op {
	return Op{kind: opPutApp, id: id, part: part, value: value}
}

// DropApp forgets one part of the application state of a device.
func DropApp(id DeviceID, part Part) Op { return Op{kind: opDropApp, id: id, part: part} }

// Append adds an event to the stream of events. e.Body may be reused as soon
// as Write returns.
func Append(e Event) Op { return Op{kind: opAppend, id: e.Device, event: e} }

// If makes the op conditional: it fails with [ErrConflict] unless the record
// still has revision r. A zero r asks that the record not exist. Events cannot be
// conditional.
func (op Op) If(r Revision) Op {
	op.cas, op.expect = true, r
	return op
}

// By names the one writer whom the record belongs to: letters, digits and full stops.
// Then a conditional op does not fail because of an op of the same writer of which it
// was never told that it was done ([ErrUnavailable]), and goes over it. A store in
// memory answers always, and minds no writer.
func (op Op) By(writer string) Op {
	op.by = writer
	return op
}

// Once names an event or a call, so that a copy that is stored under the same name
// within two minutes changes nothing: whoever was not told that the first was
// stored stores it again. It has an effect in a cluster only.
func (op Op) Once(name string) Op {
	op.once = name
	return op
}
