package doctor

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// Nobody, and somebody else, at an address.
func TestProbeNobody(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("SSH-2.0"))
			conn.Close()
		}
	}()
	if p := ProbeTCP(t.Context(), address); !errors.Is(p.Err, ErrForeign) {
		t.Errorf("somebody else: %v", p.Err)
	}
	l.Close()
	if p := ProbeTCP(t.Context(), address); !errors.Is(p.Err, ErrRefused) {
		t.Errorf("nobody: %v", p.Err)
	}
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = conn.LocalAddr().String()
	go func() {
		b := make([]byte, 2048)
		for {
			_, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo([]byte("what?"), from)
		}
	}()
	if p := ProbeUDP(t.Context(), address); !errors.Is(p.Err, ErrForeign) {
		t.Errorf("somebody else: %v", p.Err)
	}
	conn.Close()
	if p := ProbeUDP(t.Context(), address); !errors.Is(p.Err, ErrRefused) && !errors.Is(p.Err, ErrSilent) {
		t.Errorf("nobody: %v", p.Err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if p := ProbeUDP(ctx, address); p.Err == nil {
		t.Error("given up, but an answer came")
	}
}

func TestPortTaken(t *testing.T) {
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := netip.MustParseAddrPort(conn.LocalAddr().String())
	taken, by := PortTaken(t.Context(), "udp4", address)
	if !taken {
		t.Error("it is taken")
	}
	if runtime.GOOS == "linux" && !strings.HasPrefix(by, "process "+strconv.Itoa(os.Getpid())+" (") {
		t.Errorf("it is taken by %q", by)
	}
	conn.Close()
	if taken, _ := PortTaken(t.Context(), "udp4", address); taken {
		t.Error("it is free")
	}
}

func TestHostPort(t *testing.T) {
	for host, want := range map[string]string{"192.0.2.7": "192.0.2.7:5684", "192.0.2.7:99": "192.0.2.7:99", "a.b": "a.b:5684"} {
		if got := HostPort(host, 5684); got != want {
			t.Errorf("%s: %s", host, got)
		}
	}
}
