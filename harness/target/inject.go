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
	n := injectors.Add(1)
	local := &net.UDPAddr{IP: net.IPv4(127, 0, byte(1+n/250%250), byte(1+n%250))}
	conn, err := net.DialUDP("udp4", local, net.UDPAddrFromAddrPort(e.cloud.UDP()))
	if err != nil {
		return nil, fmt.Errorf("target: injecting: %w", err)
	}
	defer func() { _ = conn.Close() }()
	for _, d := range datagrams {
		if _, err := conn.Write(d); err != nil && len(d) > 0 {
			return nil, fmt.Errorf("target: injecting: %w", err)
		}
	}
	// The cloud echoes 40 at once and 20 a second: each injector is new to it.
	probe := append([]byte{252, 0xfe, 0xfd, 0x80, 0x7f, 0, 0, 0, 0, 0, 1, 0, 32}, bytes.Repeat([]byte("end?"), 8)...)
	if _, err := conn.Write(probe); err != nil {
		return nil, fmt.Errorf("target: injecting: %w", err)
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(10 * time.Second)
	}
	if err := conn.SetReadDeadline(deadline); err != nil {
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

// InjectStream sends bytes to the cloud over TCP and returns everything that came
// back until the cloud closed.
func (e *Env) InjectStream(ctx context.Context, b []byte) ([]byte, error) {
	dialer := net.Dialer{}
	conn, err := dialer.DialContext(ctx, "tcp4", e.cloud.TCP().String())
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
