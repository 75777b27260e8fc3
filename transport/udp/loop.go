package udp

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/muster/muster/transport"
)

// failuresMax is how many reads may fail in a row before a loop gives up. Reads
// fail for good only when this program or the kernel is broken.
const failuresMax = 1000

// A source is where a loop reads from: one socket, or a group of them.
type source interface {
	// try returns what is there; more means that there may be more.
	try() (batch []transport.Packet, more bool, err error)
	// wait is try, but waits for the first datagram or the read deadline.
	wait() (batch []transport.Packet, more bool, err error)
}

// A loop is one reading goroutine: a shard.
type loop struct {
	config   Config
	index    int
	source   source
	alarm    *alarm
	out      *transport.Out
	counters transport.Counters
	send     func([]transport.Packet)
	sent     func() // may be nil; called when what a call left in out was sent
}

// run reads until the source is closed. In every round it does what is due and
// reads once, so that neither starves the other.
func (l *loop) run(h Handler) error {
	failures := 0
	more := false
	for {
		if now := l.config.Clock.Now(); h.Deadline(l.index) <= now {
			h.Wake(l.index, now, l.out)
			l.flush()
		}
		var batch []transport.Packet
		var err error
		batch, more, err = l.read(h, more)
		if len(batch) > 0 {
			l.handle(h, batch)
			failures = 0
		}
		switch {
		case err == nil, errors.Is(err, os.ErrDeadlineExceeded):
			// A deadline or a poke: the next round looks.
		case errors.Is(err, net.ErrClosed):
			return nil
		case isRefused(err):
			l.counters.Add(transport.SendRefused, 1)
		default:
			l.counters.Add(transport.ReceiveFailed, 1)
			if failures++; failures == failuresMax {
				return fmt.Errorf("udp: reading failed %d times in a row: %w", failures, err)
			}
		}
	}
}

// read takes what is there and waits for the first datagram unless more is
// expected, a deadline is due or somebody wants attention.
func (l *loop) read(h Handler, more bool) ([]transport.Packet, bool, error) {
	if more {
		return l.source.try()
	}
	until := h.Deadline(l.index)
	if until <= l.config.Clock.Now() || !l.alarm.park(until) {
		return l.source.try()
	}
	defer l.alarm.unpark()
	return l.source.wait()
}

func (l *loop) handle(h Handler, batch []transport.Packet) {
	now := l.config.Clock.Now()
	octets := 0
	for i := range batch {
		octets += len(batch[i].Data)
		if l.config.Tap != nil {
			l.config.Tap(transport.Sighting{At: now, Kind: transport.DatagramSeen, Packet: batch[i]})
		}
	}
	l.counters.Add(transport.DatagramsIn, uint64(len(batch)))
	l.counters.Add(transport.DatagramBytesIn, uint64(octets))
	h.Datagrams(l.index, now, batch, l.out)
	l.flush()
}

// flush sends what the handler left in out.
func (l *loop) flush() {
	if packets := l.out.Packets(); len(packets) > 0 {
		l.send(packets)
	}
	l.out.Clear()
	if l.sent != nil {
		l.sent()
	}
}
