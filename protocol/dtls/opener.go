package dtls

// An Opener decrypts the records of both sides of a session, in any order and
// as often as asked: it has no replay window. It is for decoders and reports.
type Opener struct {
	fromClient, fromServer Session
	ciphers                *Ciphers
}

// NewOpener returns an Opener for a session with the given keys. Trailers
// of records of type 254 may name any device.
func NewOpener(p Profile, k Keys) *Opener {
	o := &Opener{ciphers: NewCiphers(4)}
	o.fromClient = Session{profile: p, server: true, faults: FaultAcceptReplay, gen: GenF}
	o.fromServer = Session{profile: p, faults: FaultAcceptReplay, gen: GenF}
	o.fromClient.setKeys(&k)
	o.fromServer.setKeys(&k)
	return o
}

// Open decrypts one record, or a datagram of type 254 with its trailer, and
// returns its real content type and its plaintext, which does not alias record.
// Errors are *DropError. Records of epoch 0 are DropEpoch: they have nothing to
// open.
func (o *Opener) Open(fromClient bool, record []byte) (ContentType, []byte, error) {
	s := &o.fromServer
	if fromClient {
		s = &o.fromClient
	}
	record = append([]byte(nil), record...)
	if len(record) > 0 && ContentType(record[0]) == TypeMovedTrailer {
		if _, id, ok := splitTrailer(record); ok {
			s.deviceID = id // any
		}
	}
	t, plaintext, _, err := s.OpenWith(o.ciphers, record)
	return t, plaintext, err
}

// CID returns the connection id in the records of one side.
func (o *Opener) CID(fromClient bool) CID {
	if fromClient {
		return o.fromClient.readCID
	}
	return o.fromServer.readCID
}

// SplitRecords returns the records of a datagram, each with its header, where
// records of the types 25 and 253 hold a connection id of cidSize bytes. A
// record of type 254 keeps its trailer. What does not divide into records is
// returned as rest, with the reason.
func SplitRecords(datagram []byte, cidSize int) (records [][]byte, rest []byte, err error) {
	if rec, _, ok := splitTrailer(datagram); ok {
		return [][]byte{datagram[:len(rec)+trailerSize]}, nil, nil
	}
	for len(datagram) > 0 {
		_, next, why := splitRecord(datagram, cidSize)
		if why != DropNone {
			return records, datagram, drop(why)
		}
		n := len(datagram) - len(next)
		records, datagram = append(records, datagram[:n:n]), next
	}
	return records, nil, nil
}
