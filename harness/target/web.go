package target

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster/muster/cloudref/api"
	"github.com/muster/muster/cloudref/endpoint"
)

// A Web is the REST API of a cloud, to be asked as a stranger may ask it. Tokens
// never get into an error.
type Web struct {
	base   string
	tokens []string // of the accounts
	spare  string   // a token of the first account that may be revoked, "" for none
	client *http.Client
	close  func()

	visitors string       // the port of our own API, "" for another
	visited  atomic.Int64 // requests of webhooks to it
}

// Who asks: an account, or nobody.
const (
	Nobody  = -1 - iota // without a token
	Anybody             // with a token that nobody has given out
	Spare               // with the token that Spare can revoke
)

// An Answer is what the API answered.
type Answer struct {
	Status int
	Type   string // of the content
	Body   string // at most 1 MiB of it
}

// String returns the status and the body.
func (a Answer) String() string { return fmt.Sprintf("%d %s", a.Status, strings.TrimSpace(a.Body)) }

// Web opens the REST API. Close it when done.
func (e *Env) Web(ctx context.Context) (*Web, error) {
	if err := e.need(RESTAPI); err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8, ResponseHeaderTimeout: 45 * time.Second}}
	if r, ok := e.service.(*rest); ok {
		return &Web{base: r.base, tokens: r.tokens, client: client, close: client.CloseIdleConnections}, nil
	}
	return e.ownWeb(ctx, client)
}

// ownWeb serves the API of the reference cloud for one check.
func (e *Env) ownWeb(ctx context.Context, client *http.Client) (*Web, error) {
	c := api.Config{}
	if e.options.Cloud != nil {
		var node endpoint.Config
		e.options.Cloud(&node, false)
		c.Faults = node.Faults.API
	}
	server := e.cloud.API(c)
	w := &Web{client: client}
	for _, account := range e.accounts {
		token, err := server.IssueToken(ctx, account, time.Hour)
		if err != nil {
			return nil, fmt.Errorf("target: a token for the API: %w", err)
		}
		w.tokens = append(w.tokens, token)
	}
	var err error
	if w.spare, err = server.IssueToken(ctx, e.accounts[0], time.Hour); err != nil {
		return nil, fmt.Errorf("target: a token for the API: %w", err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("target: listening for the API: %w", err)
	}
	h := server.HTTP(w.visits(server))
	_, w.visitors, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		return nil, fmt.Errorf("target: listening for the API: %w", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.Serve(l) // it ends when it is closed
	}()
	w.base = "http://" + l.Addr().String()
	w.close = func() {
		client.CloseIdleConnections()
		server.Close()
		_ = h.Close()
		<-done
	}
	return w, nil
}

// Close ends what Web opened.
func (w *Web) Close() { w.close() }

// HasSpare reports whether there is a token that may be revoked.
func (w *Web) HasSpare() bool { return w.spare != "" }

func (w *Web) token(who int) string {
	switch who {
	case Nobody:
		return ""
	case Anybody:
		return strings.Repeat("5eed", 10)
	case Spare:
		return w.spare
	default:
		return w.tokens[who]
	}
}

// Ask sends a request with a form as its body, if that is not "".
func (w *Web) Ask(ctx context.Context, who int, method, path, form string) (Answer, error) {
	var body io.Reader
	if form != "" {
		body = strings.NewReader(form)
	}
	answer, err := w.send(ctx, who, method, path, body)
	if err != nil {
		return Answer{}, err
	}
	return readAnswer(answer)
}

// readAnswer reads the beginning of an answer, and closes it.
func readAnswer(answer *http.Response) (Answer, error) {
	defer func() { _ = answer.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(answer.Body, answerMax))
	if err != nil {
		return Answer{}, fmt.Errorf("target: the API: %w", err)
	}
	return Answer{answer.StatusCode, answer.Header.Get("Content-Type"), string(b)}, nil
}

const formKind = "application/x-www-form-urlencoded"

func (w *Web) send(ctx context.Context, who int, method, path string, body io.Reader) (*http.Response, error) {
	return w.sendAs(ctx, who, method, path, formKind, body)
}

// sendAs sends a request whose body, if it has one, is of a kind.
func (w *Web) sendAs(ctx context.Context, who int, method, path, kind string, body io.Reader) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, w.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("target: the API: %w", err)
	}
	if token := w.token(who); token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != nil {
		r.Header.Set("Content-Type", kind)
	}
	answer, err := w.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("target: the API: %w", err)
	}
	return answer, nil
}

// Quiet opens an event stream on which no event comes, and returns how long it was
// silent behind its beginning until it said something, or within.
func (w *Web) Quiet(ctx context.Context, who int, within time.Duration) (silent time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, within+time.Minute)
	defer cancel()
	answer, err := w.send(ctx, who, http.MethodGet, "/v1/devices/events/no-such-event-ever", nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("target: the event stream: status %d", answer.StatusCode)
	}
	began := time.Now()
	said := make(chan error, 1)
	go func() {
		b := make([]byte, 1024)
		for {
			n, err := answer.Body.Read(b)
			// What comes at once greets, and keeps nobody waiting.
			if err != nil || n > 0 && time.Since(began) > time.Second {
				said <- err
				return
			}
		}
	}()
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case err = <-said:
	case <-late.C:
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("target: the cloud ended the event stream")
	}
	return time.Since(began), err
}

// A Listener is an event stream that is read, and the names of its events.
type Listener struct {
	mu   sync.Mutex
	seen []string
	more chan struct{} // closed when something was added
}

// Listen opens an event stream and reads it until ctx ends.
func (w *Web) Listen(ctx context.Context, who int, prefix string) (*Listener, error) {
	answer, err := w.send(ctx, who, http.MethodGet, "/v1/devices/events/"+url.PathEscape(prefix), nil)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		_ = answer.Body.Close()
		return nil, fmt.Errorf("target: the event stream: status %d", answer.StatusCode)
	}
	l := &Listener{more: make(chan struct{})}
	go func() {
		defer func() { _ = answer.Body.Close() }()
		lines := bufio.NewScanner(answer.Body)
		lines.Buffer(nil, streamLineMax)
		for lines.Scan() {
			if name, ok := strings.CutPrefix(lines.Text(), "event:"); ok {
				l.add(strings.TrimSpace(name))
			}
		}
	}()
	return l, nil
}

func (l *Listener) add(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = append(l.seen, name)
	close(l.more)
	l.more = make(chan struct{})
}

// Seen returns the names of the events so far.
func (l *Listener) Seen() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.seen)
}

// Await waits for an event of that name, at most for so long.
func (l *Listener) Await(ctx context.Context, within time.Duration, name string) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		l.mu.Lock()
		there, more := slices.Contains(l.seen, name), l.more
		l.mu.Unlock()
		if there {
			return true
		}
		select {
		case <-more:
		case <-ctx.Done():
			return false
		}
	}
}
