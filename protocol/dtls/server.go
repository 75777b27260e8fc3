package dtls

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/subtle"
	"errors"

	"github.com/muster/muster/protocol/clock"
)

// A Server is one half-open handshake of a cloud. It is made when a [Gate] has
// admitted a ClientHello, and ends with EventEstablished or EventFailed. Its
// memory is bounded whatever the client sends.
//
//	waitHello --ClientHello--> waitCertificate --Certificate--> waitKeyExchange
//	   --ClientKeyExchange--> waitVerify --CertificateVerify--> waitFinished
//	   --Finished--> over (Established)
//
// Any state ends (Failed) by a message out of place, by a fatal alert of the
// client and when its life is over.
type Server struct {
	cfg *ServerConfig
	handshake
	state serverState
	life  clock.Instant

	ephemeral              *ecdh.PrivateKey
	clientType, serverType int
	clientCID, serverCID   []byte // in the records of each
	cid                    []byte // drawn for ServerHello

	echo helloEcho

	peerKey   *ecdsa.PublicKey // nil only by a fault
	peerSPKI  []byte
	peerChain [][]byte
}

// A serverState is what a Server waits for.
type serverState uint8

const (
	serverWaitHello serverState = iota
	serverWaitCertificate
	serverWaitKeyExchange
	serverWaitVerify
	serverWaitFinished
)

// NewServer returns a Server that waits for the ClientHello.
func NewServer(cfg *ServerConfig) *Server {
	s := &Server{cfg: cfg, life: clock.Never, handshake: newHandshake(cfg.Profile, cfg.MaxMessage, cfg.Timers.resolve())}
	s.wholeOnly = cfg.Faults.NoFragments
	s.tx = newTransmitter(cfg.MTU, cfg.Faults.FragmentSize, cfg.Faults.Packing, PackFull)
	return s
}

// Deadline returns when Advance must be called next.
func (s *Server) Deadline() clock.Instant {
	if s.over {
		return clock.Never
	}
	return min(s.timer.deadline, s.life)
}

// Over reports whether the handshake has ended.
func (s *Server) Over() bool { return s.over }

// CID returns the connection id that the client's Finished will carry, empty
// when there is none or ServerHello was not sent yet. A driver must find the
// Server by it, because a Finished may arrive in a datagram of its own.
func (s *Server) CID() CID {
	if s.state == serverWaitHello {
		return CID{}
	}
	return NewCID(s.clientCID)
}

// SameHello reports whether datagram begins with a ClientHello of this
// handshake, repeated. One with another random starts another handshake, which a
// driver gives to a new Server.
func (s *Server) SameHello(datagram []byte) bool {
	h, _, why := peekHello(datagram)
	return why == DropNone && s.state != serverWaitHello && h.random == s.clientRandom
}

// Advance retransmits, or gives up, when the deadline has passed.
func (s *Server) Advance(now clock.Instant, out *Out) {
	switch {
	case s.over:
	case now >= s.life:
		s.end(ErrTimeout, out)
	case now >= s.timer.deadline:
		if s.timer.expire(now) {
			s.tx.send(&s.flight, s.session, out)
		}
	}
}

// Receive takes a datagram of the client: first the one that the Gate admitted.
// It may decrypt datagram in place. Application data that follow the Finished in
// the same datagram are reported as the Session would.
func (s *Server) Receive(now clock.Instant, datagram []byte, out *Out) {
	if s.life == clock.Never {
		life := s.cfg.HalfOpenLife
		if life <= 0 {
			life = DefaultHalfOpenLife
		}
		s.life = now.Add(life)
	}
	s.receive(s, now, datagram, out)
}

func (s *Server) readCIDSize() int { return len(s.clientCID) }

// receiveFirst takes the message_seq of the ClientHello: 0 without a cookie, 1
// with one, more if the secret of the cookies changed meanwhile.
func (s *Server) receiveFirst(t handshakeType, seq uint16) DropReason {
	if s.state == serverWaitHello && !s.in.begun() {
		if t != typeClientHello {
			return DropHandshake
		}
		s.in.skipTo(seq)
	}
	if s.cfg.Faults.InOrderOnly && int16(seq-s.in.next) > 0 {
		return DropFuture
	}
	return DropNone
}

func (s *Server) repeats(t handshakeType, _ uint16) bool { return t == typeClientHello }

// receiveMessage takes the next message.
func (s *Server) receiveMessage(now clock.Instant, m message, out *Out) {
	switch {
	case s.state == serverWaitHello && m.typ == typeClientHello:
		s.receiveHello(now, &m, out)
	case s.state == serverWaitCertificate && m.typ == typeCertificate:
		s.receiveCertificate(&m, out)
	case s.state == serverWaitKeyExchange && m.typ == typeClientKeyExchange:
		s.receiveKeyExchange(now, &m, out)
	case s.state == serverWaitVerify && m.typ == typeCertificateVerify:
		s.receiveVerify(&m, out)
	case s.state == serverWaitFinished && m.typ == typeFinished,
		s.state == serverWaitVerify && m.typ == typeFinished && s.peerKey == nil:
		s.receiveFinished(now, &m, out)
	default:
		s.fail(UnexpectedMessage, errors.New(m.typ.String()+" out of place"), out)
	}
}

// receiveCertificate takes the client's key. Whether it is known is asked only
// after its proof.
func (s *Server) receiveCertificate(m *message, out *Out) {
	s.note(m)
	s.state = serverWaitKeyExchange
	spki, ok := parseRawKey(m.body)
	if s.clientType == typeX509 {
		if s.peerChain, ok = parseChain(m.body); ok {
			spki, ok = certificateSPKI(s.peerChain[0])
		}
	}
	if ok {
		s.peerSPKI = spki
		s.peerKey, ok = ParseSPKI(spki)
	}
	switch {
	case ok:
	case s.cfg.Faults.AcceptEmptyCertificate:
		s.peerSPKI, s.peerChain = nil, nil
	case len(m.body) <= 6: // 000000 or, as an empty X.509 list in Device OS, 000003 000000
		s.fail(HandshakeFailure, errNoKey, out)
	default:
		s.fail(BadCertificate, errNoKey, out)
	}
}

var errNoKey = errors.New("client sent no P-256 key")

// receiveKeyExchange computes the keys.
func (s *Server) receiveKeyExchange(now clock.Instant, m *message, out *Out) {
	point, ok := parseClientKeyExchange(m.body)
	if !ok {
		s.fail(DecodeError, errors.New("malformed ClientKeyExchange"), out)
		return
	}
	secret, ok := premaster(s.ephemeral, point)
	if !ok {
		s.fail(IllegalParameter, errors.New("point not on the curve"), out)
		return
	}
	s.note(m)
	session := &Session{
		server: true, profile: s.cfg.Profile, gen: GenF, faults: s.cfg.RecordFaults, hello: helloTag(&s.clientRandom),
	}
	s.key(secret, session, s.clientCID, s.serverCID)
	s.state = serverWaitVerify
	if s.cfg.Faults.OmitCertificateRequest {
		s.state = serverWaitFinished
	}
	s.openEarly(s, now, out)
}

// receiveVerify checks the proof of the client's key, and then whether the key
// is known.
func (s *Server) receiveVerify(m *message, out *Out) {
	v, ok := parseCertificateVerify(m.body)
	switch {
	case !ok:
		s.fail(DecodeError, errors.New("malformed CertificateVerify"), out)
		return
	case v.hash != hashSHA256 || v.algorithm != signatureECDSA:
		s.fail(IllegalParameter, errors.New("CertificateVerify with an algorithm that was not offered"), out)
		return
	case s.peerKey == nil || s.cfg.Faults.AcceptBadCertificateVerify:
		// Faults: there is nothing to check, or nothing is checked.
	case !ecdsa.VerifyASN1(s.peerKey, s.sum(), v.signature):
		s.fail(DecryptError, errors.New("CertificateVerify does not prove the key"), out)
		return
	}
	if err := s.judge(); err != nil {
		description := AccessDenied
		var alert *AlertError
		if errors.As(err, &alert) {
			description = alert.Description
		}
		s.fail(description, err, out)
		out.Events[len(out.Events)-1].PeerSPKI = s.peerSPKI
		return
	}
	s.note(m)
	s.state = serverWaitFinished
}

// judge asks the caller about the client's key.
func (s *Server) judge() error {
	switch {
	case s.peerKey == nil:
		return nil // by a fault only
	case s.peerChain != nil:
		return s.cfg.VerifyChain(s.peerChain)
	default:
		return s.cfg.Verify(s.peerSPKI)
	}
}

// receiveFinished checks that the client saw the same handshake, and ends it.
func (s *Server) receiveFinished(now clock.Instant, m *message, out *Out) {
	want := s.prf.verifyData(labelClient, s.sum())
	if subtle.ConstantTimeCompare(want[:], m.body) != 1 && !s.cfg.Faults.AcceptBadFinished {
		s.fail(DecryptError, errors.New("client Finished differs"), out)
		return
	}
	s.note(m)
	verify := s.prf.verifyData(labelServer, s.sum())
	if s.cfg.Faults.BadFinished {
		verify[0] ^= 1
	}
	s.session.finished, s.session.finishedNumber, s.session.finalPending = verify, s.next, true
	s.begin()
	s.addFinished(verify[:])
	s.tx.send(&s.flight, s.session, out)
	s.session.plainNext = uint32(s.tx.sequence)
	s.over = true
	out.Events = append(out.Events, Event{
		Kind: EventEstablished, Session: s.session, PeerSPKI: s.peerSPKI, PeerChain: s.peerChain, Secrets: s.secrets(s.cfg.KeepSecrets),
	})
	s.openEarly(s, now, out)
}

// fail ends the handshake with a fatal alert, in epoch 0 as all that a Server
// sends before its Finished.
func (s *Server) fail(d AlertDescription, cause error, out *Out) {
	out.send(func(b []byte) []byte {
		b = appendRecord(b, TypeAlert, s.tx.sequence, []byte{byte(AlertFatal), byte(d)})
		s.tx.sequence++
		return b
	})
	s.end(&AlertError{Local: true, Level: AlertFatal, Description: d, Cause: cause}, out)
}

// end ends the handshake without a session.
func (s *Server) end(err error, out *Out) {
	s.over, s.session = true, nil
	out.Events = append(out.Events, Event{Kind: EventFailed, Err: err})
}
