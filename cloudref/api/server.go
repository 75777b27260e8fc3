package api

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"runtime"
	"time"

	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
)

// Config is what a Server needs. Zero fields mean the default that is stated.
type Config struct {
	// Cloud is the cloud behind the API. Required.
	Cloud Cloud
	// Store holds accounts, tokens and devices. Required.
	Store *store.Store

	// KeepAlive is how often an event stream without events says that it is
	// there. 9 s.
	//
	// The real service's documents speak of a minute; the JavaScript client drops
	// a stream that is silent for 15 s.
	KeepAlive time.Duration
	// WriteTimeout is how long a client may take to accept what is written to
	// it. 10 s.
	WriteTimeout time.Duration
	// ReadTimeout is how long a client may take to send the body of a request.
	// 2 min.
	ReadTimeout time.Duration
	// DeviceTimeout is how long an HTTP request waits for a device. 30 s.
	DeviceTimeout time.Duration
	// TokenLife is how long an access token lives unless its request says
	// otherwise. 90 days. Refresh tokens live 14 days longer.
	TokenLife time.Duration
	// ClaimCodeLife is how long a claim code is good. 1 h.
	ClaimCodeLife time.Duration

	// BodyMax bounds the body of a request that is not an upload, in bytes.
	// 256 KiB.
	BodyMax int64
	// UploadMax bounds an upload, in bytes. 16 MiB, the largest firmware slot.
	UploadMax int64
	// UploadsMax bounds the uploads under way, which are held in memory. 16, of which
	// an account has at most a quarter at a time.
	UploadsMax int
	// StreamsMax bounds the open event streams, those of the live page included. 10,000,
	// of which an account has at most half at a time.
	StreamsMax int

	// CallOffline is the status of a function call to a device that is offline
	// or does not answer. 400, as recorded from the real service in 2015 to 2018.
	// Its documents promise 408.
	CallOffline int
	// ProvenReleases refuses to release firmware of a product before one of its
	// devices runs it, as the real service does.
	ProvenReleases bool
	// NoSignUp refuses POST /v1/users: accounts are made by the operator only.
	NoSignUp bool

	// Faults make the API misbehave, to prove the suites.
	Faults endpoint.APIFaults

	// Now returns the time of day. time.Now.
	Now func() time.Time
	// Log receives what an operator should read, one line at a time, without
	// secrets. Nil: nobody.
	Log func(line string)
}

func (c Config) withDefaults() Config {
	duration := func(d *time.Duration, fallback time.Duration) {
		if *d == 0 {
			*d = fallback
		}
	}
	duration(&c.KeepAlive, 9*time.Second)
	duration(&c.WriteTimeout, 10*time.Second)
	duration(&c.ReadTimeout, 2*time.Minute)
	duration(&c.DeviceTimeout, 30*time.Second)
	duration(&c.TokenLife, 90*24*time.Hour)
	duration(&c.ClaimCodeLife, time.Hour)
	if c.Faults.Unbounded {
		c.BodyMax = 1 << 40
	}
	if c.Faults.UnboundedUploads {
		c.UploadMax = 1 << 40
	}
	if c.BodyMax == 0 {
		c.BodyMax = 256 << 10
	}
	if c.UploadMax == 0 {
		c.UploadMax = 16 << 20
	}
	if c.UploadsMax == 0 {
		c.UploadsMax = 16
	}
	if c.StreamsMax == 0 {
		c.StreamsMax = 10_000
	}
	if c.CallOffline == 0 {
		c.CallOffline = http.StatusBadRequest
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = func(string) {}
	}
	return c
}

// A Server answers the requests of the API. It is safe for concurrent use.
type Server struct {
	c      Config
	cloud  Cloud
	store  *store.Store
	mux    *http.ServeMux
	names  names
	hashes chan struct{} // one entry for each password being hashed
	loads  *shares       // of uploads held in memory
	// strangers has one entry for each upload whose sender is not known yet.
	strangers chan struct{}
	opened    *shares // of event streams

	closing context.Context // over when Close was called
	close   context.CancelFunc
}

// strangersMax bounds the uploads under way whose token is one of their parts.
const strangersMax = 2

// New returns a server. Close it before the HTTP server that carries it is shut
// down: event streams end by themselves only when the cloud stops.
func New(c Config) *Server {
	c = c.withDefaults()
	s := &Server{
		c: c, cloud: c.Cloud, store: c.Store, mux: http.NewServeMux(),
		hashes:    make(chan struct{}, runtime.GOMAXPROCS(0)),
		loads:     newShares(c.UploadsMax, c.UploadsMax/4),
		strangers: make(chan struct{}, strangersMax),
		opened:    newShares(c.StreamsMax, c.StreamsMax/2),
	}
	s.names.init()
	s.closing, s.close = context.WithCancel(context.Background())
	for _, r := range s.routes() {
		s.mux.HandleFunc(r.pattern, s.serving(r))
	}
	return s
}

// Closing is closed when Close was called.
func (s *Server) Closing() <-chan struct{} { return s.closing.Done() }

// Close ends the event streams. Firmware transfers go on as long as the cloud
// runs.
func (s *Server) Close() { s.close() }

// HTTP returns an HTTP server for handler, which is or contains s, with the
// time-outs that a server on a network needs. It has no limit on the time of a
// whole answer: event streams have no end, and s bounds each of its writes.
func (s *Server) HTTP(handler http.Handler) *http.Server {
	h := &http.Server{
		Handler:           tidy(handler),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext: func(l net.Listener) context.Context {
			s.own(l.Addr())
			return context.Background()
		},
	}
	h.RegisterOnShutdown(s.Close)
	return h
}

// own notes where the API is served: webhooks must not get there.
func (s *Server) own(a net.Addr) {
	if tcp, ok := a.(*net.TCPAddr); ok && !s.c.Faults.OpenGuard {
		s.cloud.Own(tcp.AddrPort())
	}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		s.own(a) // served by another HTTP server than that of HTTP
	}
	// Pages of any origin may use the API: what protects it is the token, which
	// no browser adds by itself.
	w.Header().Set("Access-Control-Allow-Origin", "*")
	if r.Method == http.MethodOptions {
		w.Header().Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE, OPTIONS")
		allowed := "X-Requested-With, Content-Type, Accept, Authorization"
		if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
			allowed += ", " + asked // whatever a client marks its requests with
		}
		w.Header().Set("Access-Control-Allow-Headers", allowed)
		w.Header().Set("Vary", "Access-Control-Request-Headers")
		w.Header().Set("Access-Control-Max-Age", "300")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	tidy(s.mux).ServeHTTP(w, r)
}

// randomHex returns n random bytes in hexadecimal.
func randomHex(n int) string { return hexOf(randomBytes(n)) }

func randomBytes(n int) []byte {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		panic("api: no random bytes: " + err.Error()) // crypto/rand never returns one
	}
	return b
}

// acquire takes a place of a bounded kind of work, or fails when ctx ends first.
func acquire(ctx context.Context, places chan struct{}) error {
	select {
	case places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return errors.Join(errBusy, ctx.Err())
	}
}

func release(places chan struct{}) { <-places }
