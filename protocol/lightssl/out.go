package lightssl

// An Out receives what a handshake produces. Its driver owns it, acts on it
// after each call and resets it; one Out can serve any number of machines. The
// zero value is ready.
type Out struct {
	// Chunks are bytes for the stream, in this order, each for one write. They
	// are valid until Reset.
	Chunks [][]byte
	// Events happened, in this order. They may alias the bytes that were
	// received: handle them before the next read.
	Events []Event

	buf []byte
}

// Reset empties out and keeps its memory.
func (out *Out) Reset() {
	clear(out.Chunks)
	clear(out.Events)
	out.Chunks, out.Events, out.buf = out.Chunks[:0], out.Events[:0], out.buf[:0]
}

func (out *Out) send(b []byte) {
	if len(b) == 0 {
		return
	}
	start := len(out.buf)
	out.buf = append(out.buf, b...)
	out.Chunks = append(out.Chunks, out.buf[start:len(out.buf):len(out.buf)])
}

func (out *Out) event(e Event) { out.Events = append(out.Events, e) }

// An EventKind says what happened.
type EventKind uint8

// The events.
const (
	// EventWork: Work is to be run, here or on another goroutine, and its Result
	// given to [Server.Finish]. Not with ServerConfig.Inline.
	EventWork EventKind = 1 + iota
	// EventEstablished: the handshake is complete; the machine has ended.
	// Session, DeviceID and Rest are set, in the cloud also SPKI.
	EventEstablished
	// EventFailed: the handshake is over for the reason in Err, and the stream
	// must be closed without a further byte. The machine has ended.
	EventFailed
)

// String returns the name of k.
func (k EventKind) String() string {
	switch k {
	case EventWork:
		return "work"
	case EventEstablished:
		return "established"
	case EventFailed:
		return "failed"
	}
	return "invalid"
}

// An Event is something that happened in a handshake.
type Event struct {
	Kind    EventKind
	Work    *Work
	Session *Session
	// DeviceID is who the device says it is. With EventEstablished in the cloud
	// the answer can be read by that device alone; with EventFailed it is a claim.
	DeviceID DeviceID
	// SPKI is the key that the device offered, nil when it offered none. With
	// EventFailed it is what an operator may want to see.
	SPKI []byte
	// Rest are bytes of the stream that belong to the Session: pass them to it
	// before all others. In the cloud they hold at least the first frame.
	Rest []byte
	// Err is an [Error].
	Err error
	// Refusal says why the cloud refused, with ErrRefused.
	Refusal Refusal
}
