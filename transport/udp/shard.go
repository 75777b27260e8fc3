package udp

import "github.com/muster/muster/transport"

// A shard is one socket and the loop that reads it.
type shard struct {
	loop
	sock   *socket
	reader *reader
	writer *writer
}

func newShard(e *Engine, index int, sock *socket) *shard {
	s := &shard{
		sock:   sock,
		reader: newReader(e.config.Batch),
		writer: newWriter(e.config.Clock, e.config.Tap),
	}
	s.loop = loop{
		config: e.config,
		index:  index,
		source: s,
		alarm:  newAlarm(e.config.Clock, sock.conn.SetReadDeadline),
		out:    e.config.NewOut(),
		send:   func(packets []transport.Packet) { e.send(s.writer, s, packets) },
	}
	return s
}

func (s *shard) try() ([]transport.Packet, bool, error) { return s.result(s.reader.try(s.sock)) }

func (s *shard) wait() ([]transport.Packet, bool, error) { return s.result(s.reader.wait(s.sock)) }

func (s *shard) result(n int, err error) ([]transport.Packet, bool, error) {
	if err != nil {
		return nil, false, err
	}
	return s.reader.packets(n, s.sock, &s.counters), n == s.config.Batch, nil
}
