package dtls

import (
	"time"

	"github.com/muster/muster/protocol/clock"
)

// A flight is what one side sends before it waits for the other
// (RFC 6347 Section 4.2.4). Retransmission sends the same messages in new
// records.
type flight struct {
	messages []byte // whole messages of epoch 0, one behind the other
	finished []byte // whole Finished, sent in epoch 1 behind ChangeCipherSpec
}

// A transmitter puts flights into records and datagrams.
type transmitter struct {
	sequence uint64 // of the next record of epoch 0
	mtu      int
	fragment int // most bytes of a message in a record
	overlap  int // bytes that a fragment repeats of the one before
	packing  Packing

	records []byte // of the flight being sent, one behind the other
	ends    []int  // of each record
}

// minMTU leaves room for a record with a fragment of a byte and a protected
// Finished.
const minMTU = 64

func newTransmitter(mtu, fragment int, packing, usual Packing) transmitter {
	if mtu == 0 {
		mtu = DefaultMTU
	}
	t := transmitter{mtu: max(mtu, minMTU), packing: packing, records: make([]byte, 0, 512), ends: make([]int, 0, 8)}
	t.fragment = t.mtu - headerSize - fragmentHeaderSize
	t.limit(fragment)
	if packing == PackDefault {
		t.packing = usual
	}
	return t
}

// limit makes fragments of at most n bytes, if n is positive.
func (t *transmitter) limit(n int) {
	if n > 0 {
		t.fragment = min(t.fragment, n)
	}
}

// send sends a flight. A Finished is sealed by s; when its sequence is not
// reserved it is left out, as if it were lost.
func (t *transmitter) send(f *flight, s *Session, out *Out) {
	t.records, t.ends = t.records[:0], t.ends[:0]
	t.writeMessages(f.messages)
	if f.finished != nil {
		t.write(TypeChangeCipherSpec, []byte{1})
		t.split(f.finished, func(body []byte) {
			t.records, _ = s.SealWith(out.Ciphers, t.records, TypeHandshake, body)
			t.ends = append(t.ends, len(t.records))
		})
	}
	t.pack(out)
}

// writeMessages writes the records of epoch 0.
func (t *transmitter) writeMessages(messages []byte) {
	if t.packing == PackOneRecord && len(messages) > 0 {
		t.write(TypeHandshake, messages)
		return
	}
	for len(messages) > 0 {
		size := fragmentHeaderSize + uint24(messages[1:])
		t.split(messages[:size], func(body []byte) { t.write(TypeHandshake, body) })
		messages = messages[size:]
	}
}

// write writes a record of epoch 0.
func (t *transmitter) write(typ ContentType, body []byte) {
	t.records = appendRecord(t.records, typ, t.sequence, body)
	t.sequence++
	t.ends = append(t.ends, len(t.records))
}

// split yields the fragments of a whole message, with their headers.
func (t *transmitter) split(whole []byte, yield func([]byte)) {
	f, _, _ := splitFragment(whole)
	if len(f.body) <= t.fragment {
		yield(whole)
		return
	}
	for at := 0; at < f.length; {
		end := min(at+t.fragment, f.length)
		part := fragment{typ: f.typ, length: f.length, seq: f.seq, offset: at, body: whole[fragmentHeaderSize+at : fragmentHeaderSize+end]}
		yield(appendFragment(nil, &part))
		if end == f.length {
			return
		}
		at = max(end-t.overlap, at+1)
	}
}

// pack groups the records into datagrams.
func (t *transmitter) pack(out *Out) {
	first := len(out.Datagrams)
	start := 0
	for i, end := range t.ends {
		last := i == len(t.ends)-1
		if last || t.packing == PackSingle || t.packing == PackReversed || t.ends[i+1]-start > t.mtu {
			out.sendCopy(t.records[start:end])
			start = end
		}
	}
	sent := out.Datagrams[first:]
	switch t.packing {
	case PackReversed:
		for i, j := 0, len(sent)-1; i < j; i, j = i+1, j-1 {
			sent[i], sent[j] = sent[j], sent[i]
		}
	case PackTwice:
		once := append([][]byte(nil), sent...)
		out.Datagrams = out.Datagrams[:first]
		for _, datagram := range once {
			out.Datagrams = append(out.Datagrams, datagram, datagram)
		}
	default: // how much is in a datagram was settled above
	}
}

// A timer is the retransmission timer of a flight.
type timer struct {
	Timers
	keep     bool // a fault: the timeout does not double
	timeout  time.Duration
	deadline clock.Instant
}

// resolve replaces the defaults.
func (t Timers) resolve() Timers {
	if t.Initial <= 0 {
		t.Initial = DeviceTimers.Initial
	}
	if t.Max <= 0 {
		t.Max = DeviceTimers.Max
	}
	return t
}

// start begins with a new flight.
func (t *timer) start(now clock.Instant) {
	t.timeout = t.Initial
	t.restart(now)
}

// restart waits for the present timeout once more.
func (t *timer) restart(now clock.Instant) { t.deadline = now.Add(t.timeout) }

// stop waits for nothing.
func (t *timer) stop() { t.deadline = clock.Never }

// expire doubles the timeout, and reports false when that exceeds the largest.
func (t *timer) expire(now clock.Instant) bool {
	if t.keep {
		t.restart(now)
		return true
	}
	if t.timeout *= 2; t.timeout > t.Max {
		t.stop()
		return false
	}
	t.restart(now)
	return true
}
