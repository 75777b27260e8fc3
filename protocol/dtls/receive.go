package dtls

// An Arrival says what a datagram proved about its sender.
type Arrival struct {
	// Authentic: at least one record was from the peer.
	Authentic bool
	// Newest: at least one record was newer than all before, so that the
	// datagram's source is the peer's present address (RFC 9146 Section 6). An
	// authentic datagram that is not newest is answered at the stored address.
	Newest bool
}

// Receive takes a whole datagram, decrypts its records in place and puts what
// they hold and what has to be sent back into out: application data, a repeated
// last flight, an alert that the generation owes, the end of the session.
// Empty application records are taken and not reported.
func (s *Session) Receive(datagram []byte, out *Out) (a Arrival) {
	if s.over {
		out.dropped(DropOver)
		return a
	}
	if s.server {
		s.receiveServer(datagram, out, &a)
	} else {
		s.receiveClient(datagram, out, &a)
	}
	if s.forgeries >= maxForgeries && !s.over {
		s.end(ErrForgeries, out)
	}
	return a
}

// receiveServer takes a datagram in the cloud. One that does not divide into
// records is dropped as a whole: no peer sends it, so there is nothing to gain
// from its first half.
func (s *Session) receiveServer(datagram []byte, out *Out, a *Arrival) {
	if len(datagram) > 0 && ContentType(datagram[0]) == TypeMovedTrailer {
		rec, err := s.untrail(datagram)
		if err != nil {
			out.dropped(DropTrailer)
			return
		}
		datagram = rec
	}
	if why := s.frame(datagram); why != DropNone {
		out.dropped(why)
		return
	}
	for len(datagram) > 0 && !s.over {
		var r record
		r, datagram, _ = splitRecord(datagram, s.readCID.Len())
		s.receiveRecord(&r, out, a)
		if s.faults&FaultFirstRecordOnly != 0 {
			return
		}
	}
}

// frame reports why a datagram does not divide into records.
func (s *Session) frame(datagram []byte) DropReason {
	if len(datagram) < headerSize {
		return DropShort
	}
	for first := true; len(datagram) > 0; first = false {
		r, rest, why := splitRecord(datagram, s.readCID.Len())
		if why != DropNone {
			return why
		}
		if !first && r.typ == TypeMovedTrailer {
			return DropTrailer
		}
		datagram = rest
	}
	return DropNone
}

// receiveRecord opens one record and acts on it.
func (s *Session) receiveRecord(r *record, out *Out, a *Arrival) {
	if r.epoch() == 0 {
		s.receivePlain(r, out)
		return
	}
	t, content, newest, why := s.open(out.Ciphers, r)
	if why != DropNone {
		out.dropped(why)
		if (why == DropTag || why == DropInner) && s.faults&FaultAlertBadRecord != 0 {
			s.alert(AlertFatal, BadRecordMAC, out)
		}
		return
	}
	a.Authentic = true
	a.Newest = a.Newest || newest
	switch t {
	case TypeApplication:
		if len(content) > 0 {
			out.Events = append(out.Events, Event{Kind: EventApplication, Data: content})
		}
	case TypeAlert:
		s.receiveAlert(content, out)
	case TypeHandshake:
		s.receiveHandshake(content, out)
	default:
		// ChangeCipherSpec has no place in epoch 1 without renegotiation.
		out.dropped(DropType)
	}
}

// receivePlain takes a record of epoch 0. The device's repeated flight begins
// with such records; everything else is forged.
func (s *Session) receivePlain(r *record, out *Out) {
	if s.faults&FaultAcceptPlaintext == 0 {
		out.dropped(DropPlaintext)
		return
	}
	switch r.typ {
	case TypeAlert:
		s.receiveAlert(r.body, out)
	case TypeApplication:
		out.Events = append(out.Events, Event{Kind: EventApplication, Data: r.body})
	default:
		out.dropped(DropPlaintext)
	}
}

// receiveAlert ends the session at close_notify and at fatal alerts.
func (s *Session) receiveAlert(content []byte, out *Out) {
	level, d, ok := parseAlert(content)
	if !ok || level == AlertWarning && d != CloseNotify || s.faults&FaultIgnoreClose != 0 {
		out.dropped(DropAlert)
		return
	}
	if d == CloseNotify && s.profile == Standard {
		// RFC 5246 Section 7.2.1: "The other party MUST respond with a
		// close_notify alert of its own". Device OS: neither side does.
		s.alert(AlertWarning, CloseNotify, out)
	}
	s.end(&AlertError{Level: level, Description: d}, out)
}

// receiveHandshake takes the content of a handshake record after the handshake.
func (s *Session) receiveHandshake(content []byte, out *Out) {
	m, _, why := splitFragment(content)
	switch {
	case why != DropNone:
		out.dropped(why)
	case m.typ == typeFinished && s.finalPending:
		// RFC 6347 Section 4.2.4: the peer repeats its last flight because ours
		// was lost.
		s.repeatFinal(out)
	case m.typ == typeHelloRequest && !s.server && (s.gen >= GenC || s.profile == Standard):
		s.alert(AlertWarning, NoRenegotiation, out)
	default:
		// A second copy of a last flight, or a renegotiation, which neither side
		// does.
		out.dropped(DropPast)
	}
}

// alert sends an alert, unless the send sequence is used up.
func (s *Session) alert(level AlertLevel, d AlertDescription, out *Out) {
	out.send(func(b []byte) []byte {
		b, _ = s.SealWith(out.Ciphers, b, TypeAlert, []byte{byte(level), byte(d)})
		return b
	})
}

// end ends the session.
func (s *Session) end(err error, out *Out) {
	s.over = true
	out.Events = append(out.Events, Event{Kind: EventClosed, Err: err})
}
