package dtls

// An Out collects what the machines of this package want done. The driver owns
// it, acts on it after each call, and resets it. One Out may serve any number
// of machines. The zero value is ready.
type Out struct {
	// Datagrams are to be sent to the peer, in this order. They are valid until
	// Reset.
	Datagrams [][]byte
	// Events happened, in this order. Their Data aliases the datagram that was
	// given to Receive.
	Events []Event
	// Ciphers, if not nil, spares the expansion of recently used keys.
	Ciphers *Ciphers

	buf []byte
}

// Reset empties o and keeps its memory.
func (o *Out) Reset() {
	clear(o.Datagrams)
	clear(o.Events)
	o.Datagrams, o.Events, o.buf = o.Datagrams[:0], o.Events[:0], o.buf[:0]
}

// send appends the bytes that build appends to the buffer as one datagram,
// unless there are none.
func (o *Out) send(build func(b []byte) []byte) {
	start := len(o.buf)
	if o.buf = build(o.buf); len(o.buf) > start {
		o.Datagrams = append(o.Datagrams, o.buf[start:len(o.buf):len(o.buf)])
	}
}

// sendCopy appends a copy of datagram.
func (o *Out) sendCopy(datagram []byte) {
	start := len(o.buf)
	o.buf = append(o.buf, datagram...)
	o.Datagrams = append(o.Datagrams, o.buf[start:len(o.buf):len(o.buf)])
}

func (o *Out) dropped(r DropReason) {
	o.Events = append(o.Events, Event{Kind: EventDropped, Reason: r})
}

// An EventKind says what happened.
type EventKind uint8

// The events.
const (
	// EventEstablished: the handshake is complete. Session, PeerSPKI and
	// perhaps PeerChain and Secrets are set. The machine has ended; datagrams
	// now go to the Session, whose events may follow in the same Out.
	EventEstablished EventKind = iota + 1
	// EventFailed: the handshake is over, for the reason in Err: an
	// *AlertError, ErrTimeout or ErrNoCID. The machine has ended.
	EventFailed
	// EventApplication: Data is the plaintext of an application record.
	EventApplication
	// EventClosed: the session is over, for the reason in Err: an *AlertError,
	// ErrTruncated or ErrForgeries.
	EventClosed
	// EventDropped: bytes were ignored, for the Reason.
	EventDropped
)

// String returns the kind in words.
func (k EventKind) String() string {
	switch k {
	case EventEstablished:
		return "established"
	case EventFailed:
		return "failed"
	case EventApplication:
		return "application"
	case EventClosed:
		return "closed"
	case EventDropped:
		return "dropped"
	default:
		return "unknown event"
	}
}

// An Event is something that a machine reports.
type Event struct {
	Kind      EventKind
	Reason    DropReason // of EventDropped
	Data      []byte     // of EventApplication
	Err       error      // of EventFailed and EventClosed
	Session   *Session   // of EventEstablished
	PeerSPKI  []byte     // of EventEstablished, and of EventFailed where Verify refused it: the proven key; else nil
	PeerChain [][]byte   // of EventEstablished: the X.509 chain that held the key, if any
	Secrets   *Secrets   // of EventEstablished, if the Config keeps them
}

// Secrets are what a key log needs: a line CLIENT_RANDOM of the NSS format.
type Secrets struct {
	ClientRandom [32]byte
	ServerRandom [32]byte
	Master       [48]byte
}
