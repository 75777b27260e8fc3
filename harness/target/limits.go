package target

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/muster/muster/cloudref/api"
)

// Answers is what became of many calls of the API from one address.
type Answers struct {
	// Answered is how many were answered before the first that was refused as too
	// many, Refused how many were refused.
	Answered, Refused int
	// RetryAfter is when to come back, as the first refusal said.
	RetryAfter string
}

// AskOften asks the API for a variable that no device has, of one device after the
// other, so that no device hears of it. The API is the one that the reference
// cloud serves with limits; it is called without sockets, and no time passes. What
// comes of it does not depend on the devices: it is done once for all checks.
func (e *Env) AskOften(ctx context.Context, calls int) (Answers, error) {
	if err := e.need(RateLimits); err != nil {
		return Answers{}, err
	}
	e.often.Lock()
	defer e.often.Unlock()
	if e.answers == nil {
		a, err := e.askOften(ctx, calls)
		if err != nil {
			return a, err
		}
		e.answers = &a
	}
	return *e.answers, nil
}

func (e *Env) askOften(ctx context.Context, calls int) (Answers, error) {
	var a Answers
	server := e.cloud.API(api.Config{})
	token, err := server.IssueToken(ctx, e.accounts[0], time.Hour)
	if err != nil {
		return a, fmt.Errorf("target: a token for the API: %w", err)
	}
	frozen := time.Now()
	limited := e.cloud.Limited(server, func() time.Time { return frozen })
	for n := range calls {
		path := "/v1/devices/" + e.devices[n%len(e.devices)].Hex() + "/no-such-variable"
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, path, nil)
		if err != nil {
			return a, fmt.Errorf("target: a call of the API: %w", err)
		}
		r.RemoteAddr = "192.0.2.77:4711"
		r.Header.Set("Authorization", "Bearer "+token)
		w := answer{header: make(http.Header)}
		limited.ServeHTTP(&w, r)
		switch {
		case w.status != http.StatusTooManyRequests && a.Refused == 0:
			a.Answered++
		case w.status == http.StatusTooManyRequests:
			if a.Refused++; a.Refused == 1 {
				a.RetryAfter = w.header.Get("Retry-After")
			}
		default:
			// Answered behind a refusal: the window has moved on.
		}
	}
	return a, ctx.Err()
}

// An answer takes what the API answers, and keeps the status.
type answer struct {
	header http.Header
	status int
}

// Header implements http.ResponseWriter.
func (w *answer) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *answer) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *answer) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return len(b), nil
}
