package target

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/protocol/clock"
)

// injectors counts the addresses that hostile bytes came from, so that each test
// has its own.
var injectors atomic.Uint32

// ErrNoEcho says that the cloud did not echo the probe that marks the end.
var ErrNoEcho = errors.New("target: the cloud does not echo a probe, so silence cannot be told from delay")

// Inject sends datagrams to the cloud from an address that nobody else uses, and
// returns what came back. It does not wait for silence: behind the datagrams it
// sends a reachability probe, whose echo comes when the cloud has seen all of
// them.
func (e *Env) Inject(ctx context.Context, datagrams [][]byte) ([][]byte, error) {
	conn, err := e.inject(ctx, datagrams)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	return untilEcho(conn)
}

// inject sends datagrams from a new address.
func (e *Env) inject(ctx context.Context, datagrams [][]byte) (net.Conn, error) {
	if err := e.need(CloudUDP); err != nil {
		return nil, err
	}
	var local *net.UDPAddr
	if to := e.address.UDP.Addr(); to.Is4() && to.IsLoopback() {
		n := injectors.Add(1)
		local = &net.UDPAddr{IP: net.IPv4(127, 0, byte(1+n/250%250), byte(1+n%250))}
	}
	conn, err := net.DialUDP("udp", local, net.UDPAddrFromAddrPort(e.address.UDP))
	if err != nil {
		return nil, fmt.Errorf("target: injecting: %w", err)
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(10 * time.Second)
	}
	if err := conn.SetReadDeadline(deadline); err != nil {
		return nil, errors.Join(fmt.Errorf("target: injecting: %w", err), conn.Close())
	}
	for _, d := range datagrams {
		if _, err := conn.Write(d); err != nil && len(d) > 0 {
			return nil, errors.Join(fmt.Errorf("target: injecting: %w", err), conn.Close())
		}
	}
	return conn, nil
}

// untilEcho returns what comes back before the echo of a probe. The cloud echoes
// 40 at once and 20 a second: each injector is new to it.
func untilEcho(conn net.Conn) ([][]byte, error) {
	probe := append([]byte{252, 0xfe, 0xfd, 0x80, 0x7f, 0, 0, 0, 0, 0, 1, 0, 32}, bytes.Repeat([]byte("end?"), 8)...)
	if _, err := conn.Write(probe); err != nil {
		return nil, fmt.Errorf("target: injecting: %w", err)
	}
	var replies [][]byte
	buf := make([]byte, 2048)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return replies, fmt.Errorf("%w: %w", ErrNoEcho, err)
		}
		if bytes.Equal(buf[:n], probe) {
			return replies, nil
		}
		replies = append(replies, bytes.Clone(buf[:n]))
	}
}

// InjectHello does what Inject does with one ClientHello. The cloud may work on a
// handshake while it echoes: two handshakes behind this one, which the cloud has
// to answer, tell when an answer to it would be there.
func (e *Env) InjectHello(ctx context.Context, datagram []byte) ([][]byte, error) {
	conn, err := e.inject(ctx, [][]byte{datagram})
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	for range 2 {
		if err := e.beginHandshake(ctx); err != nil {
			return nil, err
		}
	}
	return untilEcho(conn)
}

// beginHandshake returns when the cloud has sent its flight.
func (e *Env) beginHandshake(ctx context.Context) error {
	d := gen.Device{Generation: 'F', Session: gen.Session{ClientRandom: make([]byte, 32)}}
	conn, err := e.inject(ctx, [][]byte{d.SendHello(nil).Bytes()})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	buf := make([]byte, 2048)
	n, err := conn.Read(buf)
	if err == nil {
		if cookie := gen.Cookie(buf[:n]); cookie != nil {
			if _, err = conn.Write(d.SendHello(cookie).Bytes()); err == nil {
				_, err = conn.Read(buf)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("target: the cloud does not answer a ClientHello: %w", err)
	}
	return nil
}

// InjectStream sends bytes to the cloud over TCP and returns everything that came
// back until the cloud closed.
func (e *Env) InjectStream(ctx context.Context, b []byte) ([]byte, error) {
	if err := e.need(CloudTCP); err != nil {
		return nil, err
	}
	dialer := net.Dialer{}
	conn, err := dialer.DialContext(ctx, "tcp", e.address.TCP.String())
	if err != nil {
		return nil, fmt.Errorf("target: injecting: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, fmt.Errorf("target: injecting: %w", err)
		}
	}
	// The device speaks only when it has the nonce.
	nonce := make([]byte, 40)
	if _, err := io.ReadFull(conn, nonce); err != nil {
		return nil, fmt.Errorf("target: no nonce: %w", err)
	}
	if _, err := conn.Write(b); err != nil {
		return nonce, nil // closed already
	}
	rest, err := io.ReadAll(conn)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return nil, fmt.Errorf("target: the cloud did not close the connection: %w", err)
	}
	return append(nonce, rest...), nil // a reset is as good as a FIN
}

// Until waits until done reports true, looking again whenever something happens
// on the wire, and returns an error when the context ends first.
func (e *Env) Until(ctx context.Context, done func() bool) error {
	for {
		changed := e.wire.changed()
		if done() {
			return nil
		}
		select {
		case <-changed:
		case <-e.wire.settled():
		case <-ctx.Done():
			if done() {
				return nil
			}
			return fmt.Errorf("target: waiting for the wire: %w", ctx.Err())
		}
	}
}

// Unix returns the time of day, in seconds, at an instant of the run.
func (e *Env) Unix(at clock.Instant) int64 {
	return e.clock.Start().Add(time.Duration(at)).Unix()
}
