package lightssl

import (
	"crypto/rsa"
	"io"

	"github.com/muster/muster/protocol/clock"
)

// A ServerConfig configures a [Server]. It is read, never written, and may be
// shared by many Servers if Rand and Lookup may.
type ServerConfig struct {
	// Key is the RSA-2048 key of the cloud, e = 65537, with its precomputed
	// values: without them each operation takes longer. Required.
	Key *rsa.PrivateKey
	// Lookup returns the key registered for a device id as SPKI (162 bytes), nil
	// when there is none. It is called in [Work.Run], so it must be safe for
	// concurrent use when Works run on other goroutines, and it must take about
	// the same time for every id. Required.
	Lookup func(id DeviceID) []byte
	// Trust reports whether a device for which there is no key may be let in with
	// the key that it offers (SPKI). That it has the private key shows when its
	// first frame can be read. It is called as Lookup is. Nil: never.
	Trust func(id DeviceID, offered []byte) bool
	// Rand yields, at Start, the nonce (40 bytes) and, when C1 is complete, the
	// credentials (40) and the padding of C2 (85, each zero drawn again). It is
	// read only in Start and Receive. Required.
	Rand io.Reader
	// Inline runs the Work in Receive; no EventWork appears.
	Inline bool
	// Faults of the handshake and of the Session.
	Faults ServerFaults
}

// A Server is the cloud's side of one handshake.
//
//	new --Start--> AwaitC1 --256 bytes--> Working --Finish--> AwaitFrame --frame--> over (EventEstablished)
//	  any of them --time, or anything wrong--> over (EventFailed)
//
// Each step may take [CloudStep].
type Server struct {
	cfg      *ServerConfig
	state    serverState
	deadline clock.Instant
	nonce    [NonceSize]byte
	buf      []byte   // of C1, then of the first frame
	session  *Session // in AwaitFrame
	id       DeviceID
	spki     []byte
}

type serverState uint8

const (
	serverNew serverState = iota
	awaitC1
	working
	awaitFrame
	serverOver
)

// NewServer returns a Server that waits for Start. It panics when a required
// field of cfg is missing.
func NewServer(cfg *ServerConfig) *Server {
	mustBe(&cfg.Key.PublicKey, cloudKeySize)
	if cfg.Lookup == nil || cfg.Rand == nil {
		panic("lightssl: a ServerConfig without Lookup or Rand")
	}
	return &Server{cfg: cfg}
}

// Start begins when the stream is accepted: it sends the nonce.
func (s *Server) Start(now clock.Instant, out *Out) {
	if s.state != serverNew {
		panic("lightssl: Start of a Server that was started")
	}
	fill(s.cfg.Rand, s.nonce[:])
	if s.cfg.Faults.FixedNonce {
		clear(s.nonce[:])
	}
	s.enter(awaitC1, now)
	nonce := s.nonce[:]
	if size := s.cfg.Faults.NonceSize; size != 0 {
		nonce = append(nonce, s.nonce[:]...)[:max(size, 0)]
	}
	out.send(nonce)
}

func (s *Server) enter(state serverState, now clock.Instant) {
	s.state, s.deadline = state, now.Add(CloudStep)
	if s.cfg.Faults.NoTimeout {
		s.deadline = clock.Never
	}
}

// Receive takes the next bytes of the stream, cut at any place. EventEstablished
// can alias them.
func (s *Server) Receive(now clock.Instant, stream []byte, out *Out) {
	switch s.state {
	case serverNew:
		panic("lightssl: Receive before Start")
	case awaitC1:
		s.receiveC1(now, stream, out)
	case working:
		if len(stream) > 0 {
			s.refuse(RefusedEarly, out)
		}
	case awaitFrame:
		s.receiveFrame(stream, out)
	case serverOver:
		// The driver has been told to close the stream.
	}
}

// receiveC1 gathers C1. A device is silent until it has the answer, because it
// has no key before.
func (s *Server) receiveC1(now clock.Instant, stream []byte, out *Out) {
	if len(s.buf)+len(stream) > C1Size || s.cfg.Faults.WholeC1 && len(stream) < C1Size {
		s.refuse(RefusedEarly, out)
		return
	}
	s.buf = append(s.buf, stream...)
	if len(s.buf) < C1Size {
		return
	}
	w := &Work{cfg: s.cfg, nonce: s.nonce}
	copy(w.c1[:], s.buf)
	s.buf = nil
	fill(s.cfg.Rand, w.credentials[:])
	fillNonZero(s.cfg.Rand, w.padding[:])
	s.enter(working, now)
	if s.cfg.Inline {
		s.Finish(now, w.Run(), out)
		return
	}
	out.event(Event{Kind: EventWork, Work: w})
}

// Finish takes the Result of the Work of this Server. It does nothing when the
// Server is over meanwhile.
func (s *Server) Finish(now clock.Instant, r Result, out *Out) {
	switch {
	case s.state == serverOver:
		return
	case s.state != working:
		panic("lightssl: Finish of a Server that waits for no Work")
	}
	s.id, s.spki = r.id, r.spki
	if r.refusal != NotRefused {
		if s.cfg.Faults.AnswerRefused {
			out.send([]byte{0})
		}
		s.refuse(r.refusal, out)
		return
	}
	s.session = NewCloudSession(&r.credentials)
	s.session.SetFaults(s.cfg.Faults.Frames)
	s.enter(awaitFrame, now)
	out.send(r.answer)
}

// receiveFrame waits until the first frame is complete. It opens nothing: that is
// for the Session.
func (s *Server) receiveFrame(stream []byte, out *Out) {
	if len(s.buf) > 0 {
		s.buf = append(s.buf, stream...)
		stream = s.buf
	}
	size, err := s.session.frameSize(stream)
	switch {
	case err != nil:
		s.fail(err, out)
	case size == 0 || len(stream) < size:
		if len(s.buf) == 0 {
			s.buf = append(s.buf, stream...)
		}
	default:
		out.event(Event{Kind: EventEstablished, Session: s.session, DeviceID: s.id, SPKI: s.spki, Rest: stream})
		s.over()
	}
}

// Advance fails the handshake when a step has taken too long.
func (s *Server) Advance(now clock.Instant, out *Out) {
	if !now.Before(s.Deadline()) {
		s.fail(ErrTimeout, out)
	}
}

// Deadline returns when Advance is due.
func (s *Server) Deadline() clock.Instant {
	if s.state == serverNew || s.state == serverOver {
		return clock.Never
	}
	return s.deadline
}

// PeerClosed tells that the stream has ended.
func (s *Server) PeerClosed(out *Out) {
	if s.state != serverOver {
		s.fail(ErrPeerClosed, out)
	}
}

// Over reports whether the handshake has ended.
func (s *Server) Over() bool { return s.state == serverOver }

func (s *Server) refuse(r Refusal, out *Out) {
	out.event(Event{Kind: EventFailed, Err: ErrRefused, Refusal: r, DeviceID: s.id, SPKI: s.spki})
	s.over()
}

func (s *Server) fail(err error, out *Out) {
	out.event(Event{Kind: EventFailed, Err: err, DeviceID: s.id, SPKI: s.spki})
	s.over()
}

func (s *Server) over() { s.state, s.buf, s.session = serverOver, nil, nil }
