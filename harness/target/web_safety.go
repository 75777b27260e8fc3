package target

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/muster/muster/cloudref/api"
)

// Unread is what became of an event stream that nobody read.
type Unread struct {
	Published int  // events, while nobody read
	Kept      int  // how many of them were there when it was read again
	Ended     bool // the cloud ended the stream
}

// The slow reader: how many events of how many bytes are published while it does not
// read, how little its system buffers for it, and how long it then waits for more.
const (
	unreadEvents  = 12_000
	unreadData    = 1000
	unreadBuffer  = 4096
	unreadSilence = 5 * time.Second
	publishers    = 8
)

// unread is the slow reader of a run: what becomes of it does not depend on devices,
// so it is done once for all checks.
type unread struct {
	mu     sync.Mutex
	result *Unread
}

// LeaveUnread opens an event stream, publishes much more than sockets buffer while
// nobody reads it, and reads it then.
func (e *Env) LeaveUnread(ctx context.Context) (Unread, error) {
	e.unread.mu.Lock()
	defer e.unread.mu.Unlock()
	if e.unread.result == nil {
		w, err := e.Web(ctx)
		if err != nil {
			return Unread{}, err
		}
		defer w.Close()
		u, err := w.leaveUnread(ctx)
		if err != nil {
			return u, err
		}
		e.unread.result = &u
	}
	return *e.unread.result, nil
}

func (w *Web) leaveUnread(ctx context.Context) (u Unread, err error) {
	const prefix = "api/unread/"
	conn, lines, err := w.openSlowly(ctx, "/v1/devices/events/"+prefix)
	if err != nil {
		return u, err
	}
	defer func() { _ = conn.Close() }()
	if u.Published, err = w.publishMany(ctx, prefix); err != nil {
		return u, err
	}
	for u.Kept < u.Published {
		if err := conn.SetReadDeadline(time.Now().Add(unreadSilence)); err != nil {
			return u, fmt.Errorf("target: the event stream: %w", err)
		}
		line, err := lines.ReadString('\n')
		if strings.HasPrefix(line, "event: "+prefix) {
			u.Kept++
		}
		var network net.Error
		if err != nil {
			u.Ended = !errors.As(err, &network) || !network.Timeout()
			break
		}
	}
	return u, nil
}

// openSlowly opens an event stream on a connection of its own with little room.
func (w *Web) openSlowly(ctx context.Context, path string) (net.Conn, *bufio.Reader, error) {
	u, err := url.Parse(w.base)
	if err != nil {
		return nil, nil, fmt.Errorf("target: the API: %w", err)
	}
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
		controlErr := c.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, unreadBuffer)
		})
		return errors.Join(controlErr, err)
	}}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), u.Scheme)
	}
	conn, err := dialer.DialContext(ctx, "tcp", host)
	if err == nil && u.Scheme == "https" {
		conn = tls.Client(conn, &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12})
	}
	if err != nil {
		return nil, nil, fmt.Errorf("target: the API: %w", err)
	}
	// HTTP/1.0: nothing is chunked, and nothing but the stream comes.
	if _, err = fmt.Fprintf(conn, "GET %s HTTP/1.0\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", path, u.Host, w.tokens[0]); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("target: the API: %w", err), conn.Close())
	}
	lines := bufio.NewReaderSize(conn, 16)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("target: the event stream: %w", err), conn.Close())
		}
		if strings.HasPrefix(line, ":") { // the greeting
			return conn, lines, nil
		}
	}
}

// publishMany publishes many events of the first account.
func (w *Web) publishMany(ctx context.Context, prefix string) (published int, err error) {
	data := strings.Repeat("x", unreadData)
	var mu sync.Mutex
	var all sync.WaitGroup
	for n := range publishers {
		all.Go(func() {
			for i := range unreadEvents / publishers {
				form := url.Values{"name": {fmt.Sprintf("%s%d/%d", prefix, n, i)}, "data": {data}}
				a, askErr := w.Ask(ctx, 0, http.MethodPost, "/v1/devices/events", form.Encode())
				if askErr == nil && a.Status != http.StatusOK {
					askErr = fmt.Errorf("target: publishing: %s", a)
				}
				mu.Lock()
				if askErr != nil {
					err = errors.Join(err, askErr)
				} else {
					published++
				}
				mu.Unlock()
				if askErr != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return published, err
}

// hookAgent begins how a webhook names itself.
const hookAgent = "ParticleBot"

// visits counts the requests of webhooks to the API itself.
func (w *Web) visits(h http.Handler) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.UserAgent(), hookAgent) {
			w.visited.Add(1)
		}
		h.ServeHTTP(out, r)
	})
}

// Visited returns how many requests of webhooks arrived at the API.
func (w *Web) Visited() int { return int(w.visited.Load()) }

// OwnAddresses are URLs of the API, as somebody could write them who wants a webhook to
// get there: by every name that this machine has, and by way of a server that sends
// the call on. stop ends that server. Only the harness's own cloud tells who came.
func (e *Env) OwnAddresses(w *Web) (urls []string, stop func(), err error) {
	if w.visitors == "" {
		return nil, nil, e.use.note(&Missing{RESTAPI, "a cloud that is not the harness's own does not tell which requests arrive"})
	}
	path := "/v1/devices?access_token=" + w.tokens[0]
	elsewhere := httptest.NewServer(http.RedirectHandler(w.base+path, http.StatusFound))
	for _, host := range []string{"127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]", "127.9.9.9"} {
		urls = append(urls, "http://"+net.JoinHostPort(strings.Trim(host, "[]"), w.visitors)+path)
	}
	return append(urls, elsewhere.URL), elsewhere.Close, nil
}

// StoredInClear returns which of the tokens of the accounts can be read in the files of
// the cloud. The files are those of a cloud that the harness started.
func (e *Env) StoredInClear(w *Web) (found []string, files int, err error) {
	if err := e.need(Restarts); err != nil {
		return nil, 0, err
	}
	if e.dir == "" || e.options.Memory {
		return nil, 0, e.use.note(&Missing{Restarts, "the cloud keeps its state in memory"})
	}
	names := map[string]string{}
	for n, token := range w.tokens {
		names[token] = fmt.Sprintf("the token of account %d", n)
	}
	if w.spare != "" {
		names[w.spare] = "a token"
	}
	err = filepath.WalkDir(e.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was replaced meanwhile
		}
		files++
		for token, name := range names {
			if bytes.Contains(b, []byte(token)) {
				found = append(found, name+" in "+filepath.Base(path))
			}
		}
		return err
	})
	if err != nil {
		return found, files, fmt.Errorf("target: the files of the cloud: %w", err)
	}
	return found, files, nil
}

// Secured is what the API tells over TLS: a client that trusts its certificate, one that
// speaks TLS 1.1 at most, and one that speaks no TLS.
type Secured struct {
	Trusting Answer
	Old      error // nil: it was let in
	Plain    Answer
}

// quiet is for a server that is asked wrongly on purpose.
var quiet = log.New(io.Discard, "", 0)

// Secured serves the API as the cloud does it with a certificate of its own, and asks
// it in each way.
func (e *Env) Secured(ctx context.Context) (s Secured, err error) {
	if err := e.need(RESTAPI); err != nil {
		return s, err
	}
	if _, foreign := e.service.(*rest); foreign {
		return s, e.use.note(&Missing{RESTAPI, "a cloud that is not the harness's own is asked as it is served"})
	}
	e.securing.Lock() // or two would make its certificate at once
	config, err := e.cloud.OwnTLS("127.0.0.1")
	e.securing.Unlock()
	if err != nil {
		return s, fmt.Errorf("target: the API over TLS: %w", err)
	}
	server := e.cloud.API(api.Config{})
	token, err := server.IssueToken(ctx, e.accounts[0], time.Hour)
	if err != nil {
		return s, fmt.Errorf("target: a token for the API: %w", err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return s, fmt.Errorf("target: listening for the API: %w", err)
	}
	h := server.HTTP(server)
	h.TLSConfig, h.ErrorLog = config, quiet
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.ServeTLS(l, "", "") // it ends when it is closed
	}()
	defer func() { server.Close(); _ = h.Close(); <-done }()
	pool := x509.NewCertPool()
	pool.AddCert(config.Certificates[0].Leaf)
	ask := func(scheme string, t *tls.Config) (Answer, error) {
		transport := &http.Transport{TLSClientConfig: t}
		defer transport.CloseIdleConnections()
		w := &Web{base: scheme + "://" + l.Addr().String(), tokens: []string{token}, client: &http.Client{Transport: transport}}
		return w.Ask(ctx, 0, http.MethodGet, "/v1/devices", "")
	}
	if s.Trusting, err = ask("https", &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}); err != nil {
		return s, err
	}
	//nolint:gosec // the point is that the cloud refuses it
	_, s.Old = ask("https", &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	s.Plain, _ = ask("http", nil) // an error is as good as a refusal
	return s, nil
}
