package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/pdc"
)

// A Probe is what was found at one address.
type Probe struct {
	What    string // "UDP" or "TCP"
	Address string // host and port
	Err     error  // nil: a cloud answered
	// MTU is the size of the largest datagram, IP header included, that the system
	// sends there in one piece, 0 if it does not know.
	MTU int
	// Large says that a datagram of LargeSize bytes came back too; LargeErr why not.
	LargeErr error
	Took     time.Duration
}

// Why a probe failed.
var (
	ErrSilent  = errors.New("no answer")
	ErrRefused = errors.New("connection refused: nothing listens there")
	ErrForeign = errors.New("something else than a cloud answered")
)

// patience is how long an answer may take; a datagram is sent again after a third
// of it.
const patience = 3 * time.Second

// ProbeUDP sends the first flight of a handshake to an address and waits for the
// cookie that every cloud answers with; nothing is begun by that.
func ProbeUDP(ctx context.Context, address string) Probe {
	p := Probe{What: "UDP", Address: address}
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp4", address)
	if err != nil {
		p.Err = err
		return p
	}
	defer conn.Close()
	p.MTU = pathMTU(conn)
	began := time.Now()
	if p.Err = askCookie(ctx, conn); p.Err != nil {
		return p
	}
	p.Took = time.Since(began)
	p.LargeErr = askEcho(ctx, conn)
	return p
}

func askCookie(ctx context.Context, conn net.Conn) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	client := dtls.NewClient(&dtls.ClientConfig{Gen: dtls.GenF, Key: key, ServerKey: &key.PublicKey, Rand: rand.Reader})
	var out dtls.Out
	client.Start(0, &out)
	const helloVerify, typeAt = 3, 13
	return ask(ctx, conn, out.Datagrams[0], func(answer []byte) bool {
		return len(answer) > typeAt && answer[0] == byte(dtls.TypeHandshake) && answer[typeAt] == helloVerify
	})
}

// askEcho sends the longest reachability probe that Device OS knows.
func askEcho(ctx context.Context, conn net.Conn) error {
	probe := make([]byte, pdc.ProbeMax)
	if _, err := rand.Read(probe); err != nil {
		return err
	}
	probe[0] = 252
	binary.BigEndian.PutUint16(probe[1:], 0xfefd)
	binary.BigEndian.PutUint16(probe[3:], 0x8000)
	binary.BigEndian.PutUint16(probe[11:], uint16(len(probe)-13))
	return ask(ctx, conn, probe, func(answer []byte) bool { return string(answer) == string(probe) })
}

// ask sends a datagram, again if need be, until an answer fits.
func ask(ctx context.Context, conn net.Conn, datagram []byte, fits func([]byte) bool) error {
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	buffer, foreign := make([]byte, 2048), false
	for range 3 {
		if _, err := conn.Write(datagram); err != nil {
			return refused(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(patience / 3)); err != nil {
			return err
		}
		for {
			n, err := conn.Read(buffer)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				break
			}
			if err != nil {
				return refused(err)
			}
			if fits(buffer[:n]) {
				return nil
			}
			foreign = true
		}
	}
	if foreign {
		return ErrForeign
	}
	return ErrSilent
}

// ProbeTCP connects to an address and waits for the nonce with which every cloud
// greets.
func ProbeTCP(ctx context.Context, address string) Probe {
	p := Probe{What: "TCP", Address: address}
	began := time.Now()
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp4", address)
	if err != nil {
		p.Err = refused(err)
		return p
	}
	defer conn.Close()
	if p.Err = conn.SetReadDeadline(time.Now().Add(patience)); p.Err != nil {
		return p
	}
	const nonceSize = 40
	nonce := make([]byte, nonceSize)
	if n, err := io.ReadFull(conn, nonce); err != nil {
		p.Err = ErrForeign
		if n == 0 {
			p.Err = ErrSilent
		}
	}
	p.Took = time.Since(began)
	return p
}

// Route says what the system knows of the way to a board.
func Route(ctx context.Context, peer string) Probe {
	p := Probe{What: "UDP", Address: peer}
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp4", peer) // sends nothing
	if err != nil {
		p.Err = err
		return p
	}
	defer conn.Close()
	p.MTU = pathMTU(conn)
	return p
}

// HostPort joins a host, which may have a port already, and a port.
func HostPort(host string, port uint16) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
