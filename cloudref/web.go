package cloudref

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/net/netutil"

	"github.com/muster/muster/cloudref/api"
	"github.com/muster/muster/transport"
)

// PortHTTP is where the command serves the REST API.
const PortHTTP = 8080

// webGrace is how long the requests under way may take when the cloud stops.
const webGrace = 5 * time.Second

// A web is the REST API and the event streams on a listener. Without a listener
// it does nothing.
type web struct {
	rest     *api.Server
	secure   bool // HTTPS
	server   *http.Server
	listener net.Listener
	done     chan error // why serving ended; nil if it never began
}

// webOptions say how to serve the API.
type webOptions struct {
	address          string // "" for nowhere
	certificate, key string // PEM files, "" for none
	own              bool   // make a certificate, for host
	host             string
	signUp, limits   bool
	api              api.Config // Log and NoSignUp are set here
}

func (o *webOptions) tls(dir string) (*tls.Config, error) {
	switch {
	case o.certificate != "":
		return readCertificate(o.certificate, o.key)
	case o.own:
		return ownCertificate(dir, o.host)
	default:
		return nil, nil //nolint:nilnil // plain HTTP
	}
}

// openWeb listens. Nothing is served before start.
func openWeb(ctx context.Context, c *Cloud, o webOptions, log *slog.Logger) (*web, error) {
	address := o.address
	if address == "" {
		return &web{}, nil
	}
	secured, err := o.tls(c.o.Dir)
	if err != nil {
		return nil, err
	}
	network := "tcp" // IPv4 for a name that has both, as clients try it first
	if a, err := netip.ParseAddrPort(address); err == nil && a.Addr().Is4() {
		network = "tcp4" // for "tcp", 0.0.0.0 would be every IPv6 address too
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf(`cloud: listening on HTTP %s: %w: choose another address with --http, or --http "" for none`, address, err)
	}
	o.api.Log, o.api.NoSignUp = c.o.Log, !o.signUp
	rest := c.API(o.api)
	handler := c.metrics.measured(c.withPage(rest))
	if o.limits {
		handler = newLimits(handler)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", c.Metrics())
	mux.Handle("/", handler)
	handler = mux
	// Who is one too many waits until there is room.
	w := &web{rest: rest, server: rest.HTTP(handler), listener: netutil.LimitListener(l, doorsOf(transport.DescriptorsMax()).web)}
	if secured != nil {
		w.secure, w.server.TLSConfig = true, secured
	}
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
		err := w.serve()
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		w.done <- err
		ended()
	}()
}

func (w *web) serve() error {
	if w.secure {
		return w.server.ServeTLS(w.listener, "", "")
	}
	return w.server.Serve(w.listener)
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
	scheme := "http://"
	if w.secure {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, fmt.Sprint(a.Port()))
}
