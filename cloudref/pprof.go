package cloudref

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"time"
)

// servePprof serves the profiles of this process until stop is called; "" for
// nowhere. They tell what is in its memory, so only this machine may ask, and no
// webhook: at is where they are.
func servePprof(address string, log *slog.Logger) (at netip.AddrPort, stop func() error, err error) {
	if address == "" {
		return at, func() error { return nil }, nil
	}
	if a, err := netip.ParseAddrPort(address); err != nil || !a.Addr().IsLoopback() {
		return at, nil, fmt.Errorf("--pprof %s: want a loopback address and a port, such as 127.0.0.1:6060", address)
	}
	l, err := net.Listen("tcp", address)
	if err == nil {
		at, err = netip.ParseAddrPort(l.Addr().String())
	}
	if err != nil {
		return at, nil, fmt.Errorf("--pprof %s: %w", address, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Warn("the profiles are no longer served", "reason", err)
		}
	}()
	log.Info("profiles", "url", "http://"+l.Addr().String()+"/debug/pprof/")
	return at, s.Close, nil
}
