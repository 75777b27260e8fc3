package dtls

// receiveClient takes a datagram on a device, with the reactions of its
// generation to what no cloud should send.
func (s *Session) receiveClient(datagram []byte, out *Out, a *Arrival) {
	if len(datagram) < headerSize {
		s.receiveShort(len(datagram), out)
		return
	}
	for len(datagram) > 0 && !s.over {
		r, rest, why := splitRecord(datagram, s.readCID.Len())
		if why == DropShort {
			s.receiveShort(len(datagram), out)
			return
		}
		if !s.known(r.typ) {
			s.receiveUnknown(out)
			return
		}
		if why != DropNone {
			s.receiveTruncated(&r, why, out)
			return
		}
		s.receiveRecord(&r, out, a)
		datagram = rest
	}
}

// known reports whether t is a content type that the generation knows at all.
func (s *Session) known(t ContentType) bool {
	return t >= TypeChangeCipherSpec && t <= TypeApplication || t == TypeCID && s.readCID.Len() > 0
}

// receiveUnknown takes a record of an unknown type, and with it the rest of
// its datagram.
//
// Device OS: generations A and B answer with a fatal alert, but go on.
func (s *Session) receiveUnknown(out *Out) {
	if s.answersUnknown() {
		s.alert(AlertFatal, UnexpectedMessage, out)
	}
	out.dropped(DropType)
}

func (s *Session) answersUnknown() bool { return s.profile == DeviceOS && s.gen <= GenB }

// receiveShort takes the n bytes of a datagram that is shorter than a header.
//
// Device OS: 2 bytes are read as a record of an unknown type; the rest of the
// header is whatever the buffer held. 12 bytes end the session up to
// generation D; what 3 to 11 do was not tried, and is taken to be the same.
func (s *Session) receiveShort(n int, out *Out) {
	switch {
	case n == 2 && s.answersUnknown():
		s.receiveUnknown(out)
	case n > 2 && s.truncationEnds():
		s.end(ErrTruncated, out)
	default:
		out.dropped(DropShort)
	}
}

func (s *Session) truncationEnds() bool { return s.profile == DeviceOS && s.gen <= GenD }

// receiveTruncated takes a record that is longer than its datagram.
//
// Device OS: up to generation D a read error, and that discards the session;
// see [StaleSession]. Generation A looks at the replay window first.
func (s *Session) receiveTruncated(r *record, why DropReason, out *Out) {
	switch {
	case !s.truncationEnds():
	case r.epoch() != 1:
		why = DropEpoch
	case s.gen == GenA && !s.received.fresh(r.sequence(), windowSize):
		why = DropReplay
	default:
		s.end(ErrTruncated, out)
		return
	}
	out.dropped(why)
}
