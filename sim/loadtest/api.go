package loadtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/muster/muster/sim/device"
)

// An api is the REST API of the cloud.
type api struct {
	base, token string
	client      *http.Client
}

// connectionsMost is how many connections to the API are kept open, and how many
// calls are under way at a time.
const connectionsMost = 256

func newAPI(c *Cloud) *api {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost, t.MaxConnsPerHost = connectionsMost, connectionsMost, connectionsMost
	return &api{base: strings.TrimSuffix(c.API, "/"), token: c.Token, client: &http.Client{Transport: t}}
}

// A refusal is an answer of the API that is no success.
type refusal struct {
	status int
	text   string // what it says, shortened
}

func (r *refusal) Error() string {
	if r.text == "" {
		return fmt.Sprintf("api: status %d", r.status)
	}
	return fmt.Sprintf("api: status %d: %s", r.status, r.text)
}

// reason names an error without what differs from call to call, so that equal ones
// are counted together.
func reason(err error) string {
	var refused *refusal
	var timeout interface{ Timeout() bool }
	var op *net.OpError
	switch {
	case errors.As(err, &refused):
		return fmt.Sprintf("api: status %d", refused.status)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "api: no answer in time"
	case errors.As(err, &op):
		return "api: " + op.Op + " failed"
	}
	return "api: no answer"
}

// textMost bounds what is read and told of an answer.
const (
	answerMost = 64 << 10
	textMost   = 120
)

// do makes a request and reads the answer.
func (a *api) do(ctx context.Context, method, path, contentType string, body io.Reader) error {
	r, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+a.token)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	answer, err := a.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(io.LimitReader(answer.Body, answerMost))
	if err != nil {
		return err
	}
	if answer.StatusCode/100 != 2 {
		return &refusal{answer.StatusCode, a.told(b)}
	}
	return nil
}

// told returns what an answer says is wrong, without the token.
func (a *api) told(b []byte) string {
	var body struct {
		Error  string   `json:"error"`
		Errors []string `json:"errors"`
	}
	text := ""
	if json.Unmarshal(b, &body) == nil {
		text = strings.Join(append(body.Errors, body.Error), " ")
	}
	if a.token != "" {
		text = strings.ReplaceAll(text, a.token, "…")
	}
	return strings.TrimSpace(text[:min(len(text), textMost)])
}

func (a *api) form(ctx context.Context, method, path string, values url.Values) error {
	return a.do(ctx, method, path, "application/x-www-form-urlencoded", strings.NewReader(values.Encode()))
}

// function calls a function of a device.
func (a *api) function(ctx context.Context, id device.ID, name, arg string) error {
	return a.form(ctx, http.MethodPost, "/v1/devices/"+id.String()+"/"+url.PathEscape(name), url.Values{"arg": {arg}})
}

// variable reads a variable of a device.
func (a *api) variable(ctx context.Context, id device.ID, name string) error {
	return a.do(ctx, http.MethodGet, "/v1/devices/"+id.String()+"/"+url.PathEscape(name), "", nil)
}

// ping asks whether a device is there.
func (a *api) ping(ctx context.Context, id device.ID) error {
	return a.form(ctx, http.MethodPut, "/v1/devices/"+id.String()+"/ping", nil)
}

// publish publishes an event.
func (a *api) publish(ctx context.Context, name, data string) error {
	return a.form(ctx, http.MethodPost, "/v1/devices/events", url.Values{"name": {name}, "data": {data}, "private": {"true"}})
}

// flash begins an update of a device.
func (a *api) flash(ctx context.Context, id device.ID, image []byte) error {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreateFormFile("file", "firmware.bin")
	if err == nil {
		_, err = part.Write(image)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	return a.do(ctx, http.MethodPut, "/v1/devices/"+id.String(), w.FormDataContentType(), &b)
}

// callTimeout is how long a call without a limit of its own may take.
const callTimeout = 30 * time.Second
