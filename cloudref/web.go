package cloudref

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/muster/muster/cloudref/api"
)

// PortHTTP is where the command serves the REST API.
const PortHTTP = 8080

// webGrace is how long the requests under way may take when the cloud stops.
const webGrace = 5 * time.Second

// A web is the REST API and the event streams on a listener. Without a listener
// it does nothing.
type web struct {
	rest     *api.Server
	server   *http.Server
	listener net.Listener
	done     chan error // why serving ended; nil if it never began
}

// openWeb listens on address, "" for nowhere. Nothing is served before start.
func openWeb(ctx context.Context, c *Cloud, address string, log *slog.Logger) (*web, error) {
	if address == "" {
		return &web{}, nil
	}
	network := "tcp6"
	if a, err := netip.ParseAddrPort(address); err == nil && a.Addr().Is4() {
		network = "tcp4" // for "tcp", 0.0.0.0 is every IPv6 address too
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf(`cloud: listening on HTTP %s: %w: choose another address with --http, or --http "" for none`, address, err)
	}
	rest := c.API(api.Config{Log: c.o.Log})
	w := &web{rest: rest, server: rest.HTTP(rest), listener: l}
	w.server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	return w, nil
}

// addr returns the address that is listened on, the zero AddrPort for none.
func (w *web) addr() netip.AddrPort {
	if w.listener == nil {
		return netip.AddrPort{}
	}
	a, err := netip.ParseAddrPort(w.listener.Addr().String())
	if err != nil {
		return netip.AddrPort{} // not a TCP listener
	}
	return a
}

// start serves until stop, and calls ended when it serves no more.
func (w *web) start(ended func()) {
	if w.listener == nil {
		return
	}
	w.done = make(chan error, 1)
	go func() {
		err := w.server.Serve(w.listener)
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		w.done <- err
		ended()
	}()
}

// stop ends the event streams, waits for the requests under way, though not for
// long, and returns why serving ended if it was not for this. It comes before
// [Cloud.Stop].
func (w *web) stop() error {
	if w.listener == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), webGrace)
	defer cancel()
	err := w.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = w.server.Close()
	}
	if w.done == nil {
		return errors.Join(err, w.listener.Close())
	}
	if failure := <-w.done; failure != nil {
		err = errors.Join(fmt.Errorf("cloud: serving HTTP on %s: %w", w.listener.Addr(), failure), err)
	}
	return err
}

// url is where clients find the API. Host stands for every address of this
// machine.
func (w *web) url(host string) string {
	a := w.addr()
	if !a.Addr().IsUnspecified() {
		host = a.Addr().String()
	}
	return "http://" + net.JoinHostPort(host, fmt.Sprint(a.Port()))
}
