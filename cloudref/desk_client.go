package cloudref

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/muster/muster/cloudref/store"
)

// fileSocket is where a running cloud has its desk.
const fileSocket = "admin.sock"

// openDesk opens the desk of a running cloud to local processes of the same user.
func (c *Cloud) openDesk() (close func() error, err error) {
	path := filepath.Join(c.o.Dir, fileSocket)
	// The data directory is ours: a socket in it was left by a killed process.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cloud: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("cloud: opening %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	d := &desk{store: c.store, node: c.node, cloud: c, keys: filepath.Join(c.o.Dir, watchFolder)}
	s := &http.Server{Handler: d.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second}
	go func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			c.o.Log("the desk for device commands ended: " + err.Error())
		}
	}()
	return s.Close, nil
}

// A deskClient talks to a desk, of a running cloud or of this process.
type deskClient struct {
	http  http.Client
	close func() error
}

// dialDesk finds the desk of a data directory: that of the cloud that runs on it,
// or one on the store itself.
func dialDesk(ctx context.Context, o Options) (*deskClient, error) {
	if c, running := dialSocket(ctx, o.Dir); running {
		return c, nil
	}
	path := filepath.Join(o.Dir, fileSocket)
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("cloud: making the data directory: %w", err)
	}
	st, err := openStore(ctx, o)
	if errors.Is(err, store.ErrLocked) {
		return nil, fmt.Errorf("a cloud runs on %s but does not answer on %s: %w", o.Dir, path, err)
	}
	if err != nil {
		return nil, err
	}
	d := &desk{store: st, keys: filepath.Join(o.Dir, watchFolder)}
	return &deskClient{http: http.Client{Transport: inProcess{d.handler()}}, close: st.Close}, nil
}

// dialSocket finds the desk of the cloud that runs on a data directory.
func dialSocket(ctx context.Context, dir string) (c *deskClient, running bool) {
	path := filepath.Join(dir, fileSocket)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	conn, err := dial(ctx, "", "")
	if err != nil {
		return nil, false
	}
	return &deskClient{
		http:  http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: 30 * time.Second},
		close: conn.Close,
	}, true
}

// inProcess is a RoundTripper without a network.
type inProcess struct{ h http.Handler }

// RoundTrip implements http.RoundTripper.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := &recorder{header: http.Header{}, status: http.StatusOK}
	t.h.ServeHTTP(w, r)
	return &http.Response{
		StatusCode: w.status, Header: w.header, Body: io.NopCloser(&w.body), Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *recorder) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) { w.status = status }

// Write implements http.ResponseWriter.
func (w *recorder) Write(b []byte) (int, error) { return w.body.Write(b) }

// do asks the desk and reads its answer into out.
func (c *deskClient) do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader = http.NoBody
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://desk"+path, body)
	if err != nil {
		return err
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return fmt.Errorf("asking the cloud: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		var failure deskError
		if err := json.NewDecoder(answer.Body).Decode(&failure); err != nil {
			return fmt.Errorf("the cloud answered %s", answer.Status)
		}
		return errors.New(failure.Error)
	}
	return json.NewDecoder(answer.Body).Decode(out)
}
