package loadtest

import (
	"context"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/vnet"
)

// An engine is a fleet and its time.
type engine interface {
	// add adds devices, switched off.
	add(specs []fleet.Spec) error
	shards() int
	feed(shard int, f fleet.Feed)
	metrics() fleet.Metrics
	now() clock.Instant
	// start lets devices act; stop ends that for good. failed is closed when they
	// can act no more, and err says why.
	start()
	stop() error
	failed() <-chan struct{}
	// until returns at a time, or when wake or ctx is done before.
	until(ctx context.Context, t clock.Instant, wake <-chan struct{})
}

// A real is a fleet on sockets.
type real struct {
	fleet *fleet.Real
	clock *transport.Clock
	halt  context.CancelFunc
	ended chan struct{}
	err   error
}

func newReal(o fleet.Options) (*real, error) {
	o.Clock = transport.NewClock()
	f, err := fleet.NewReal(o)
	if err != nil {
		return nil, err
	}
	return &real{fleet: f, clock: o.Clock, ended: make(chan struct{})}, nil
}

func (e *real) add(specs []fleet.Spec) error {
	_, err := e.fleet.Add(specs...)
	return err
}

func (e *real) shards() int                  { return e.fleet.Shards() }
func (e *real) feed(shard int, f fleet.Feed) { e.fleet.Feed(shard, f) }
func (e *real) metrics() fleet.Metrics       { return e.fleet.Metrics() }
func (e *real) now() clock.Instant           { return e.clock.Now() }
func (e *real) failed() <-chan struct{}      { return e.ended }

func (e *real) start() {
	ctx, cancel := context.WithCancel(context.Background())
	e.halt = cancel
	go func() {
		e.err = e.fleet.Run(ctx)
		close(e.ended)
	}()
}

func (e *real) stop() error {
	if e.halt == nil {
		e.fleet.Close()
		return nil
	}
	e.halt()
	<-e.ended
	return e.err
}

func (e *real) until(ctx context.Context, t clock.Instant, wake <-chan struct{}) {
	timer := time.NewTimer(e.clock.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	case <-e.ended:
	}
}

// A virtual is a fleet in virtual time.
type virtual struct {
	fleet *fleet.Virtual
	net   *vnet.Network
}

func newVirtual(net *vnet.Network, o fleet.Options) *virtual {
	return &virtual{fleet: fleet.NewVirtual(net, o, nil), net: net}
}

func (e *virtual) add(specs []fleet.Spec) error {
	e.fleet.Add(specs...)
	return nil
}

func (e *virtual) shards() int                  { return e.fleet.Shards() }
func (e *virtual) feed(shard int, f fleet.Feed) { e.fleet.Feed(shard, f) }
func (e *virtual) metrics() fleet.Metrics       { return e.fleet.Metrics() }
func (e *virtual) now() clock.Instant           { return e.net.Now() }
func (e *virtual) start()                       {}
func (e *virtual) stop() error                  { return nil }
func (e *virtual) failed() <-chan struct{}      { return nil }

func (e *virtual) until(_ context.Context, t clock.Instant, _ <-chan struct{}) { e.net.Run(t) }
