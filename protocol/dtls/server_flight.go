package dtls

import (
	"bytes"
	"crypto/sha256"
	"errors"

	"github.com/muster/muster/protocol/clock"
)

// A helloEcho says which extensions of a ClientHello ServerHello answers.
type helloEcho struct {
	renegotiated, pointFormats, clientType, serverType bool
	deviceOSCID, cid                                   bool
}

// receiveHello negotiates and sends the server's flight.
func (s *Server) receiveHello(now clock.Instant, m *message, out *Out) {
	s.tx.sequence = s.firstSequence() // also of an alert
	h, ok := parseClientHello(m.body)
	if !ok {
		s.fail(DecodeError, errors.New("malformed ClientHello"), out)
		return
	}
	if h.version>>8 != version12>>8 || h.version > version12 && !s.cfg.Faults.AcceptVersion10 {
		s.fail(ProtocolVersion, errors.New("client without DTLS 1.2"), out)
		return
	}
	if s.cfg.Faults.StrictHello && h.unknownExtension() {
		s.fail(DecodeError, errors.New("an extension that is not known"), out)
		return
	}
	if d, err := s.negotiate(&h); err != nil && !s.cfg.Faults.AcceptAnyHello {
		s.fail(d, err, out)
		return
	}
	s.clientRandom = h.random
	s.note(m)
	draw(s.cfg.Rand, s.serverRandom[:])
	s.next = m.seq
	s.sendFlight(now, out)
}

// firstSequence returns the record sequence of ServerHello.
//
// RFC 6347 Section 4.2.1: "the server MUST use the record sequence number in the
// ClientHello as the record sequence number in its initial ServerHello".
func (s *Server) firstSequence() uint64 {
	switch first := s.cfg.Faults.FirstSequence; {
	case first > 0:
		return uint64(first)
	case first < 0:
		return 0
	default:
		return s.plain.top
	}
}

// negotiate chooses what ServerHello will say, or returns the alert that tells
// why it cannot.
func (s *Server) negotiate(h *clientHello) (AlertDescription, error) {
	s.echo = helloEcho{
		renegotiated: h.renegotiated || hasUint16(h.suites, suiteRenegotiated),
		pointFormats: h.pointFormats != nil,
		clientType:   h.clientTypes != nil,
		serverType:   h.serverTypes != nil,
		deviceOSCID:  h.deviceOSCID != nil && s.cfg.Profile == DeviceOS,
	}
	s.clientType, s.serverType = typeRawKey, typeRawKey
	if !hasUint16(h.suites, suiteCCM8) {
		return HandshakeFailure, errors.New("no common cipher suite")
	}
	if bytes.IndexByte(h.compression, compressionNull) < 0 {
		return HandshakeFailure, errors.New("no null compression")
	}
	// RFC 8422 Section 4: a client without the extension leaves the choice to
	// the server. No Device OS does.
	if !hasUint16(h.groups, groupP256) && (h.groups != nil || s.cfg.Profile == DeviceOS) {
		return HandshakeFailure, errors.New("no common curve")
	}
	if !hasUint16(h.algorithms, algorithmP256) {
		return HandshakeFailure, errors.New("no common signature algorithm")
	}
	if s.cfg.Profile == DeviceOS {
		return s.negotiateDeviceOS(h)
	}
	return s.negotiateStandard(h)
}

// negotiateDeviceOS insists on a raw key of the client. There is no server
// certificate whose type would matter.
func (s *Server) negotiateDeviceOS(h *clientHello) (AlertDescription, error) {
	if bytes.IndexByte(h.clientTypes, typeRawKey) < 0 {
		return HandshakeFailure, errors.New("client without raw keys")
	}
	if h.serverTypes != nil && bytes.IndexByte(h.serverTypes, typeRawKey) < 0 {
		return HandshakeFailure, errors.New("client does not take raw keys")
	}
	return 0, nil
}

// negotiateStandard takes the first type of each list that both sides can.
func (s *Server) negotiateStandard(h *clientHello) (AlertDescription, error) {
	var ok bool
	if s.clientType, ok = pick(h.clientTypes, s.cfg.Verify != nil, s.cfg.VerifyChain != nil); !ok {
		return UnsupportedCertificate, errors.New("no common client certificate type")
	}
	if s.serverType, ok = pick(h.serverTypes, true, s.cfg.Certificate != nil); !ok {
		return UnsupportedCertificate, errors.New("no common server certificate type")
	}
	s.masterSecret = h.masterSecret && !s.cfg.NoExtendedMasterSecret
	if h.cid != nil && len(h.cid) <= MaxCIDSize && !s.cfg.NoCID {
		s.echo.cid, s.serverCID = true, bytes.Clone(h.cid)
	}
	return 0, nil
}

// pick returns the first certificate type of a list that is possible. A client
// without the extension means X.509 (RFC 7250 Section 3).
func pick(types []byte, raw, x509 bool) (int, bool) {
	if types == nil {
		types = []byte{typeX509}
	}
	for _, t := range types {
		if t == typeRawKey && raw || t == typeX509 && x509 {
			return int(t), true
		}
	}
	return 0, false
}

// sendFlight builds ServerHello to ServerHelloDone and sends them.
func (s *Server) sendFlight(now clock.Instant, out *Out) {
	s.add(typeServerHello, s.serverHello())
	if s.cfg.Profile == Standard || s.cfg.Faults.SendCertificate {
		// Device OS: no Certificate, although RFC 7250 would have one. The
		// device knows the key, and only ServerKeyExchange proves it.
		s.add(typeCertificate, s.certificate())
	}
	s.add(typeServerKeyExchange, s.serverKeyExchange())
	s.state = serverWaitKeyExchange
	if !s.cfg.Faults.OmitCertificateRequest {
		s.add(typeCertificateRequest, certificateRequest)
		s.state = serverWaitCertificate
	}
	s.add(typeServerHelloDone, nil)
	s.send(now, out)
}

// serverHello draws the session id and the connection id and returns the body
// of ServerHello.
func (s *Server) serverHello() []byte {
	h := serverHello{version: version12, random: s.serverRandom, suite: suiteCCM8, compression: compressionNull}
	if n := s.cfg.SessionIDSize; n > 0 {
		h.sessionID = make([]byte, min(n, 32))
		draw(s.cfg.Rand, h.sessionID)
	}
	types := s.helloExtensions()
	if s.cfg.Faults.Extensions != nil {
		types = s.cfg.Faults.Extensions
	}
	h.extensions = []byte{}
	for _, t := range types {
		h.extensions = appendExtension(h.extensions, t, s.extension(t))
	}
	if len(types) == 0 {
		h.extensions = nil
	}
	return h.append(nil)
}

// helloExtensions returns the extensions of ServerHello, in the order of the
// library that the cloud of Device OS uses.
func (s *Server) helloExtensions() []uint16 {
	types := make([]uint16, 0, 8)
	for _, e := range [...]struct {
		send bool
		t    uint16
	}{
		{s.echo.renegotiated, extRenegotiated},
		{s.echo.deviceOSCID, extDeviceOSCID},
		{s.echo.cid, extCID},
		{s.echo.pointFormats, extPointFormats},
		{s.echo.clientType, extClientType},
		{s.echo.serverType, extServerType},
		{s.masterSecret, extMasterSecret},
	} {
		if e.send {
			types = append(types, e.t)
		}
	}
	return types
}

// extension returns the body of an extension of ServerHello, empty for an
// unknown one.
func (s *Server) extension(t uint16) []byte {
	switch t {
	case extRenegotiated:
		return []byte{0}
	case extPointFormats:
		return []byte{1, 0}
	case extClientType:
		return []byte{byte(s.clientType)}
	case extServerType:
		return []byte{byte(s.serverType)}
	case extCID, extDeviceOSCID:
		if s.cid == nil {
			s.cid = s.newCID()
		}
		if t == extCID && s.echo.cid || t == extDeviceOSCID && s.echo.deviceOSCID {
			s.clientCID = s.cid // by a fault, it may be sent unasked
		}
		return appendVector8(nil, s.cid)
	default:
		return nil
	}
}

// newCID returns the connection id that the client's records will carry.
func (s *Server) newCID() []byte {
	size := CIDSize
	if s.cfg.Profile == Standard && s.cfg.CIDSize != 0 {
		size = s.cfg.CIDSize
	}
	if s.cfg.Faults.CIDLength != 0 {
		size = s.cfg.Faults.CIDLength
	}
	cid := make([]byte, min(max(size, 0), MaxCIDSize))
	if s.cfg.NewCID != nil {
		s.cfg.NewCID(s.cfg.Rand, cid)
	} else {
		draw(s.cfg.Rand, cid)
	}
	return cid
}

// certificate returns the body of the server's Certificate.
func (s *Server) certificate() []byte {
	if s.cfg.Profile == Standard && s.serverType == typeX509 {
		return appendChain(nil, s.cfg.Certificate)
	}
	return appendRawKey(nil, SPKI(&s.cfg.Key.PublicKey))
}

// serverKeyExchange draws the ECDHE key and returns the body of
// ServerKeyExchange.
func (s *Server) serverKeyExchange() []byte {
	rand := s.cfg.Rand
	if s.cfg.Faults.ReuseEphemeral {
		fixed := sha256.Sum256(SPKI(&s.cfg.Key.PublicKey))
		rand = bytes.NewReader(fixed[:])
	}
	s.ephemeral = ephemeral(rand)
	b := appendParams(make([]byte, 0, 160), s.ephemeral.PublicKey().Bytes())
	client := s.clientRandom
	if s.cfg.Faults.WrongSignature {
		client[0] ^= 1
	}
	code := byte(hashSHA256)
	if s.cfg.Faults.SignatureHash != 0 {
		code = s.cfg.Faults.SignatureHash
	}
	d, hash := digest(code, signedParams(&client, &s.serverRandom, b))
	return appendSignature(b, code, sign(s.cfg.Key, d, hash))
}
