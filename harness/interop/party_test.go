package interop

import (
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/transport"
)

// A machine is what dtls.Client and dtls.Server have in common.
type machine interface {
	Receive(now clock.Instant, datagram []byte, out *dtls.Out)
	Advance(now clock.Instant, out *dtls.Out)
	Deadline() clock.Instant
}

// A party drives our side on a socket, with one peer at a time.
type party struct {
	t     *testing.T
	conn  *net.UDPConn
	clock *transport.Clock
	out   dtls.Out

	server  *dtls.ServerConfig // nil in a client
	gate    *dtls.Gate
	machine machine // the handshake, nil before it began and after it ended
	session *dtls.Session
	peer    netip.AddrPort
	events  []dtls.Event // not looked at yet, with Data of their own

	sent int
	lose func(n int, datagram []byte) bool // whether our n-th datagram, from 1, gets lost
}

func newParty(t *testing.T) *party {
	p := &party{t: t, conn: listen(t), clock: transport.NewClock()}
	t.Cleanup(func() { _ = p.conn.Close() })
	return p
}

// serve returns a server that waits for its first peer.
func serve(t *testing.T, cfg *dtls.ServerConfig) *party {
	p := newParty(t)
	p.server, p.gate = cfg, dtls.NewGate(rand.Reader, 0, dtls.GateFaults{})
	return p
}

// dial returns a client whose first ClientHello is on its way.
func dial(t *testing.T, port int, cfg *dtls.ClientConfig) *party {
	return dialLossy(t, port, cfg, nil)
}

// dialLossy is dial where some of our datagrams get lost.
func dialLossy(t *testing.T, port int, cfg *dtls.ClientConfig, lose func(n int, datagram []byte) bool) *party {
	p := newParty(t)
	p.peer, p.lose = loopback(port), lose
	client := dtls.NewClient(cfg)
	p.machine = client
	client.Start(p.clock.Now(), &p.out)
	p.flush()
	return p
}

func (p *party) port() int { return p.conn.LocalAddr().(*net.UDPAddr).Port }

// until runs the party until an event of the given kind, and returns it. An
// event that ends the handshake or the session fails the test if it is
// another one.
func (p *party) until(kind dtls.EventKind) dtls.Event {
	p.t.Helper()
	limit := p.clock.Now().Add(patience)
	for {
		for len(p.events) > 0 {
			e := p.events[0]
			p.events = p.events[1:]
			if e.Kind == kind {
				return e
			}
			switch e.Kind {
			case dtls.EventFailed, dtls.EventClosed:
				p.t.Fatalf("%v: %v, want event %v", e.Kind, e.Err, kind)
			case dtls.EventDropped:
				p.t.Logf("dropped: %v", e.Reason)
			default:
				p.t.Logf("passed over: %v", e.Kind)
			}
		}
		if p.clock.Now() >= limit {
			p.t.Fatalf("no event %v", kind)
		}
		p.step(limit)
	}
}

// step waits for one datagram or deadline.
func (p *party) step(limit clock.Instant) {
	deadline := limit
	if p.machine != nil {
		deadline = min(deadline, p.machine.Deadline())
	}
	if err := p.conn.SetReadDeadline(p.clock.Time(deadline)); err != nil {
		p.t.Fatal(err)
	}
	var buf [2048]byte
	n, from, err := p.conn.ReadFromUDPAddrPort(buf[:])
	now := p.clock.Now()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		if p.machine != nil {
			p.machine.Advance(now, &p.out)
		}
	case err != nil:
		p.t.Fatal(err)
	default:
		p.receive(now, from, buf[:n])
	}
	p.flush()
}

func (p *party) receive(now clock.Instant, from netip.AddrPort, datagram []byte) {
	switch {
	case p.machine == nil && p.session == nil:
		if p.gate.Receive(now, []byte(from.String()), datagram, &p.out) != dtls.Admitted {
			p.peer = from
			return
		}
		p.peer, p.machine = from, dtls.NewServer(p.server)
		p.machine.Receive(now, datagram, &p.out)
	case from != p.peer:
		p.t.Logf("%d bytes from a stranger, %v", len(datagram), from)
	case p.session != nil:
		p.session.Receive(datagram, &p.out)
	default:
		p.machine.Receive(now, datagram, &p.out)
	}
}

// flush sends what the machine wants sent and keeps its events.
func (p *party) flush() {
	for _, d := range p.out.Datagrams {
		if p.sent++; p.lose != nil && p.lose(p.sent, d) {
			p.t.Logf("datagram %d gets lost", p.sent)
			continue
		}
		if _, err := p.conn.WriteToUDPAddrPort(d, p.peer); err != nil {
			p.t.Fatal(err)
		}
	}
	for _, e := range p.out.Events {
		e.Data = append([]byte(nil), e.Data...)
		p.events = append(p.events, e)
		switch e.Kind {
		case dtls.EventEstablished:
			p.session, p.machine = e.Session, nil
		case dtls.EventFailed, dtls.EventClosed:
			p.machine, p.session = nil, nil
		default:
			// Nothing ends or begins.
		}
	}
	p.out.Reset()
}

// send protects and sends application data.
func (p *party) send(data []byte) {
	p.t.Helper()
	record, err := p.session.Seal(nil, dtls.TypeApplication, data)
	if err != nil {
		p.t.Fatal(err)
	}
	p.out.Datagrams = append(p.out.Datagrams, record)
	p.flush()
}

// close sends close_notify.
func (p *party) close() {
	p.t.Helper()
	record, err := p.session.Close(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	p.out.Datagrams = append(p.out.Datagrams, record)
	p.flush()
}

// refusal returns the alert with which the handshake failed.
func (p *party) refusal() *dtls.AlertError {
	p.t.Helper()
	e := p.until(dtls.EventFailed)
	var alert *dtls.AlertError
	if !errors.As(e.Err, &alert) {
		p.t.Fatalf("failed: %v, want an alert", e.Err)
	}
	return alert
}

func listen(t *testing.T) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(loopback(0)))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func isFree(port int) bool {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(loopback(port)))
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}
