package udp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// An Engine is a set of sockets with one reading goroutine each.
type Engine struct {
	config  Config
	shards  []*shard
	byPort  map[uint16]*shard // of a fleet; nil when all shards share a port
	writers sync.Pool         // of *writer, for Send
	turn    atomic.Uint32     // spreads Send over sockets that share a port
	other   transport.Counters
	close   sync.Once
}

// Listen opens config.Shards sockets on one address, for a cloud. Port 0 lets
// the system choose. The unspecified address listens on all addresses of its
// family; of both families with two engines.
//
// It fails when anybody else, even of the same user, has that port: sharing it
// would take a part of their devices away.
func Listen(addr netip.AddrPort, config Config) (*Engine, error) {
	e := newEngine(config)
	for i := range e.config.Shards {
		if err := e.open(addr, i > 0); err != nil {
			return nil, err
		}
		if i == 0 {
			addr = e.shards[0].sock.local // the port is known now
			if e.config.Shards > 1 {
				if err := e.shards[0].sock.share(); err != nil {
					e.Close()
					return nil, fmt.Errorf("udp: sharing port %d among sockets: %w", addr.Port(), err)
				}
			}
		}
		if addr.Addr().IsLoopback() {
			if err := e.shards[i].sock.yield(); err != nil {
				e.Close()
				return nil, fmt.Errorf("udp: sharing port %d with devices on this machine: %w", addr.Port(), err)
			}
		}
	}
	return e, nil
}

// OpenFleet opens one socket for each port given, 0 being a port of the
// system's choice, on the unspecified IPv4 address. Each sends for any number
// of devices: a packet's Local address may be every address of this machine,
// of which 127.0.0.0/8 has 16 million, and its port selects the socket.
func OpenFleet(ports []uint16, config Config) (*Engine, error) {
	e := newEngine(config)
	e.byPort = make(map[uint16]*shard, len(ports))
	for _, port := range ports {
		if err := e.open(netip.AddrPortFrom(netip.IPv4Unspecified(), port), false); err != nil {
			return nil, err
		}
		s := e.shards[len(e.shards)-1]
		e.byPort[s.sock.local.Port()] = s
	}
	return e, nil
}

func newEngine(config Config) *Engine {
	e := &Engine{config: config.withDefaults()}
	e.writers.New = func() any { return newWriter(e.config.Clock, e.config.Tap) }
	return e
}

// open adds a shard. On failure it closes the engine.
func (e *Engine) open(addr netip.AddrPort, shared bool) error {
	sock, err := openSocket(addr, shared, e.config.ReceiveBuffer)
	if err != nil {
		e.Close()
		return fmt.Errorf("udp: %w", err)
	}
	e.shards = append(e.shards, newShard(e, len(e.shards), sock))
	return nil
}

// Serve reads until ctx is done or the engine is closed, then closes it. It
// returns after the last call of h has returned; nil unless reading failed for
// good. It may be called once.
func (e *Engine) Serve(ctx context.Context, h Handler) error {
	defer context.AfterFunc(ctx, e.Close)()
	defer e.Close()
	failed := make([]error, len(e.shards))
	var wait sync.WaitGroup
	for i, s := range e.shards {
		wait.Go(func() {
			if failed[i] = s.run(h); failed[i] != nil {
				e.Close() // without one socket of several the rest is a half-deaf cloud
			}
		})
	}
	wait.Wait()
	return errors.Join(failed...)
}

// Send sends packets and returns how many the system took; the others are
// counted by reason. It is safe for concurrent use, also inside a Handler. It
// waits while the socket's send buffer is full.
func (e *Engine) Send(packets []transport.Packet) int {
	w := e.writers.Get().(*writer)
	defer e.writers.Put(w)
	first := e.shards[int(e.turn.Add(1))%len(e.shards)]
	return e.send(w, first, packets)
}

// send sends runs of packets that leave through one socket. Packets whose port
// names no other socket leave through s.
func (e *Engine) send(w *writer, s *shard, packets []transport.Packet) (sent int) {
	for start := 0; start < len(packets); {
		via := e.route(s, packets[start].Local.Port())
		end := start + 1
		for end < len(packets) && e.route(s, packets[end].Local.Port()) == via {
			end++
		}
		if via == nil {
			e.other.Add(transport.DropNoSocket, uint64(end-start))
		} else {
			sent += w.write(via.sock, packets[start:end], &via.counters)
		}
		start = end
	}
	return sent
}

// route returns the shard that sends from port; nil when there is none.
func (e *Engine) route(own *shard, port uint16) *shard {
	if port == 0 || port == own.sock.local.Port() {
		return own
	}
	return e.byPort[port]
}

// WakeAt makes a shard call its handler's Wake no later than at t, if the
// handler's Deadline says so too. It is safe for concurrent use and costs
// little when the shard already wakes earlier.
func (e *Engine) WakeAt(shard int, t clock.Instant) { e.shards[shard].alarm.wakeAt(t) }

// Shards returns the number of shards.
func (e *Engine) Shards() int { return len(e.shards) }

// Addr returns the local address of a shard's socket.
func (e *Engine) Addr(shard int) netip.AddrPort { return e.shards[shard].sock.local }

// ReceiveBuffer returns the size in bytes of the smallest receive buffer that
// the kernel gave to a socket of this engine. Less than was asked for means
// that net.core.rmem_max is lower and the process may not override it.
func (e *Engine) ReceiveBuffer() int {
	least := e.shards[0].sock.receiveBuffer
	for _, s := range e.shards {
		least = min(least, s.sock.receiveBuffer)
	}
	return least
}

// Counts returns the counters of all shards together.
func (e *Engine) Counts() transport.Counts {
	var sum transport.Counts
	e.other.AddTo(&sum)
	for i := range e.shards {
		sum.Add(e.ShardCounts(i))
	}
	return sum
}

// ShardCounts returns the counters of one shard.
func (e *Engine) ShardCounts(shard int) transport.Counts {
	s := e.shards[shard]
	var c transport.Counts
	s.counters.AddTo(&c)
	c[transport.DropSocketFull] += s.sock.drops()
	return c
}

// Close closes the sockets. Serve returns soon after. It is safe to call it
// more than once and from several goroutines.
func (e *Engine) Close() {
	e.close.Do(func() {
		for _, s := range e.shards {
			s.sock.close()
		}
	})
}
