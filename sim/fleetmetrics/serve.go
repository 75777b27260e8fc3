package fleetmetrics

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Handler answers scrapes.
func (e *Exporter) Handler() http.Handler {
	return promhttp.HandlerFor(e.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// A Server answers scrapes at an address.
type Server struct {
	listener net.Listener
	http     http.Server
}

// Serve answers scrapes of /metrics at an address, such as 127.0.0.1:9464 or :9464,
// until it is closed. A port alone is one of this machine only.
func (e *Exporter) Serve(addr string) (*Server, error) {
	if !strings.Contains(addr, ":") {
		addr = "127.0.0.1:" + addr
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("fleetmetrics: serving metrics at %s: %w; another address?", addr, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", e.Handler())
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "A run of muster fleet. Its metrics are at /metrics.")
	})
	s := &Server{listener: l, http: http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}}
	go func() { _ = s.http.Serve(l) }()
	return s, nil
}

// URL is where the metrics are.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() + "/metrics" }

// Close stops answering.
func (s *Server) Close() error {
	if err := s.http.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("fleetmetrics: %w", err)
	}
	return nil
}
