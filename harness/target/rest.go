package target

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/pdc"
)

// A rest asks a cloud through its REST API, as the clients of the Particle Device
// Cloud do. Tokens never get into an error.
type rest struct {
	base   string
	tokens []string // of the accounts
	client *http.Client
	// alive is done when the run is over.
	alive context.Context
}

// answerMax bounds an answer, in bytes; streamLineMax a line of a stream.
const (
	answerMax     = 1 << 20
	streamLineMax = 1 << 20
)

func newRest(alive context.Context, base string, tokens []string) *rest {
	return &rest{base: strings.TrimRight(base, "/"), tokens: tokens, client: &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 64, ResponseHeaderTimeout: 45 * time.Second,
	}}, alive: alive}
}

// An APIError is an answer of the API that is no success.
type APIError struct {
	Status int
	Text   string // in its own words
}

// Error returns the status and what the API said.
func (e *APIError) Error() string { return fmt.Sprintf("the API answered %d: %s", e.Status, e.Text) }

// refused reports whether the cloud said no to what was asked, and not that it
// failed, that it knows nobody of this name, or that it has heard enough.
func (e *APIError) refused() bool {
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests:
		return false
	}
	return e.Status >= 400 && e.Status < 500
}

// reason is what it said; a device that is not there is told alike by all clouds.
func (e *APIError) reason() string {
	if e.Status == http.StatusRequestTimeout || strings.Contains(strings.ToLower(e.Text), "timed out") {
		return NotOnline
	}
	return e.Text
}

// do sends a request and decodes the answer into out, if that is not nil. A cloud that
// has heard enough is asked again later.
func (r *rest) do(ctx context.Context, account int, method, path, contentType string, body []byte, out any) error {
	for {
		b, wait, err := r.once(ctx, account, method, path, contentType, body)
		var answer *APIError
		switch {
		case errors.As(err, &answer) && answer.Status == http.StatusTooManyRequests:
			select {
			case <-time.After(wait):
				continue
			case <-ctx.Done():
				return err
			}
		case err != nil || out == nil:
			return err
		}
		if err := json.Unmarshal(b, out); err != nil {
			return &APIError{http.StatusOK, "its answer is no JSON of the expected form: " + err.Error()}
		}
		return nil
	}
}

// once sends a request once. wait is how long the cloud wants to be left alone.
func (r *rest) once(ctx context.Context, account int, method, path, contentType string, body []byte) (b []byte, wait time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, 0, fmt.Errorf("target: the API: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+r.tokens[account])
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	answer, err := r.client.Do(req)
	if err != nil {
		return nil, 0, fmt.Errorf("target: the API: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if b, err = io.ReadAll(io.LimitReader(answer.Body, answerMax)); err != nil {
		return nil, 0, fmt.Errorf("target: the API: %w", err)
	}
	if answer.StatusCode/100 != 2 {
		return nil, retryAfter(answer), &APIError{answer.StatusCode, errorText(b)}
	}
	return b, 0, nil
}

// The pauses before a cloud that has heard enough is asked again.
const (
	retryFirst = time.Second
	retryMost  = 10 * time.Second
)

func retryAfter(answer *http.Response) time.Duration {
	if s, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && s > 0 {
		return min(time.Duration(s)*time.Second, retryMost)
	}
	return retryFirst
}

// owned returns the ids of the devices of an account.
func (r *rest) owned(ctx context.Context, account int) (map[string]bool, error) {
	var list []struct {
		ID string `json:"id"`
	}
	if err := r.do(ctx, account, http.MethodGet, "/v1/devices", "", nil, &list); err != nil {
		return nil, err
	}
	ids := make(map[string]bool)
	for _, d := range list {
		ids[strings.ToLower(d.ID)] = true
	}
	return ids, nil
}

// errorText finds the words for people in an answer, where clients look for them.
func errorText(b []byte) string {
	var e struct {
		Description string `json:"error_description"`
		Error       any    `json:"error"`
		Errors      []any  `json:"errors"`
		Info        string `json:"info"`
	}
	if json.Unmarshal(b, &e) == nil {
		switch {
		case e.Description != "":
			return e.Description
		case e.Error != nil:
			return fmt.Sprint(e.Error)
		case len(e.Errors) > 0:
			return fmt.Sprint(e.Errors[0])
		case e.Info != "":
			return e.Info
		}
	}
	const most = 200
	return strings.TrimSpace(string(b[:min(len(b), most)]))
}

func (r *rest) form(ctx context.Context, account int, path string, values url.Values, out any) error {
	return r.do(ctx, account, http.MethodPost, path, "application/x-www-form-urlencoded", []byte(values.Encode()), out)
}

func (r *rest) call(ctx context.Context, d *Device, function, argument string) (int32, error) {
	var answer struct {
		Value *int32 `json:"return_value"`
	}
	path := "/v1/devices/" + d.Hex() + "/" + url.PathEscape(function)
	if err := r.form(ctx, d.Account, path, url.Values{"arg": {argument}}, &answer); err != nil {
		return 0, err
	}
	if answer.Value == nil {
		return 0, errors.New("the API answered without a return_value")
	}
	return *answer.Value, nil
}

func (r *rest) read(ctx context.Context, d *Device, variable string) (pdc.Value, error) {
	var answer struct {
		Result any `json:"result"`
	}
	path := "/v1/devices/" + d.Hex() + "/" + url.PathEscape(variable)
	if err := r.do(ctx, d.Account, http.MethodGet, path, "", nil, &answer); err != nil {
		return pdc.Value{}, err
	}
	return valueOf(answer.Result, d.Variables()[variable].Type)
}

// valueOf gives a JSON value the type that the device's variable has.
func valueOf(v any, kind pdc.VariableType) (pdc.Value, error) {
	value := pdc.Value{Type: kind}
	ok := true
	switch x := v.(type) {
	case bool:
		value.Bool, ok = x, kind == pdc.VariableBool
	case string:
		value.String, ok = x, kind == pdc.VariableString
	case float64:
		switch kind {
		case pdc.VariableInt:
			value.Int, ok = int32(x), float64(int32(x)) == x
		case pdc.VariableDouble:
			value.Double = x
		default:
			ok = false
		}
	default:
		ok = false
	}
	if !ok {
		return value, fmt.Errorf("the API answered %v, which is no value of a variable of type %v", v, kind)
	}
	return value, nil
}

func (r *rest) publish(ctx context.Context, account int, name string, data []byte) error {
	return r.form(ctx, account, "/v1/devices/events", url.Values{
		"name": {name}, "data": {string(data)}, "private": {"true"}, "ttl": {"60"},
	}, nil)
}

// flash sends the image. The API answers when the transfer begins; how it ends
// comes as an event, before the device restarts or behind it.
func (r *rest) flash(ctx context.Context, d *Device, image []byte, progress func(Progress)) error {
	status := r.subscribe(d.Account, pdc.EventFlashStatus)
	defer status.Close()
	mark := d.Mark()
	form, kind, err := imageForm(image)
	if err != nil {
		return err
	}
	if err := r.do(ctx, d.Account, http.MethodPut, "/v1/devices/"+d.Hex(), kind, form.Bytes(), nil); err != nil {
		return err
	}
	following, stop := context.WithCancel(ctx)
	defer stop()
	go followUpdate(following, d, mark, progress)
	if err := awaitFlash(ctx, status, d); err != nil {
		return err
	}
	return d.env.Until(ctx, func() bool { return d.Connected() && d.greeted(mark) })
}

// imageForm is a form with an image, as clients send it.
func imageForm(image []byte) (form *bytes.Buffer, contentType string, err error) {
	form = new(bytes.Buffer)
	w := multipart.NewWriter(form)
	part, err := w.CreateFormFile("file", "firmware.bin")
	if err == nil {
		_, err = part.Write(image)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, "", fmt.Errorf("target: the API: %w", err)
	}
	return form, w.FormDataContentType(), nil
}

// followUpdate tells how far an update is, as its device sees it: the API does not.
func followUpdate(ctx context.Context, d *Device, mark Mark, progress func(Progress)) {
	for {
		next, err := d.awaitNext(ctx, &mark, func(e *Event) bool { return e.Kind == UpdateProgress })
		if err != nil {
			return
		}
		progress(Progress{Stage: "transfer", Sent: int(next.Offset), Total: int(next.Size)})
	}
}

// awaitFlash waits until the cloud says how an update has ended.
func awaitFlash(ctx context.Context, status *Stream, d *Device) error {
	for {
		select {
		case ev, open := <-status.C:
			switch {
			case !open:
				return fmt.Errorf("target: the event stream ended during the update: %w", status.Err())
			case ev.Device.String() != d.Hex() || ev.Name != pdc.EventFlashStatus:
			case strings.HasPrefix(string(ev.Data), "failed"):
				return errors.New("the cloud says that the update failed")
			case strings.HasPrefix(string(ev.Data), "success"):
				return nil
			}
		case <-ctx.Done():
			return fmt.Errorf("target: waiting for the end of the update: %w", ctx.Err())
		}
	}
}

// streamGrace is when a stream counts as open whose request was sent, and to which the
// cloud has said nothing yet: some send no header before there is an event, or before the
// first sign of life, which may take nine seconds.
const streamGrace = time.Second

// subscribe opens an event stream, and returns when the cloud has answered or
// streamGrace after it was asked.
func (r *rest) subscribe(account int, prefix string) *Stream {
	ctx, cancel := context.WithCancel(r.alive)
	s := &apiStream{events: make(chan StreamEvent, 1024)}
	answered, asked, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(s.events)
		defer close(ended)
		once := sync.OnceFunc(func() { close(asked) })
		traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { once() }})
		err := r.stream(traced, account, prefix, s, func() { close(answered) })
		if ctx.Err() == nil {
			s.err = err
		}
	}()
	select {
	case <-asked:
		select {
		case <-answered:
		case <-ended:
		case <-time.After(streamGrace):
		}
	case <-ended: // it was not reached
	}
	return &Stream{C: s.events, stop: cancel, err: func() error { return s.err }, answered: answered}
}

// An apiStream is one open event stream. err is set before the channel is closed.
type apiStream struct {
	events chan StreamEvent
	err    error
}

func (r *rest) stream(ctx context.Context, account int, prefix string, s *apiStream, opened func()) error {
	path := "/v1/devices/events"
	if prefix != "" {
		path += "/" + url.PathEscape(prefix)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+path, nil)
	if err != nil {
		return fmt.Errorf("target: the event stream: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+r.tokens[account])
	req.Header.Set("Accept", "text/event-stream")
	answer, err := r.client.Do(req)
	if err != nil {
		return fmt.Errorf("target: the event stream: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(answer.Body, answerMax))
		return &APIError{answer.StatusCode, errorText(b)}
	}
	opened()
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, streamLineMax)
	name := ""
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			name = value
		case "data":
			if ev, ok := parseStreamEvent(name, value); ok {
				select {
				case s.events <- ev:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
	}
	return errors.Join(errors.New("target: the cloud ended the event stream"), lines.Err())
}

// parseStreamEvent reads the data line of an event.
func parseStreamEvent(name, data string) (ev StreamEvent, ok bool) {
	var fields struct {
		Data      string    `json:"data"`
		TTL       uint32    `json:"ttl"`
		Published time.Time `json:"published_at"`
		Core      string    `json:"coreid"`
	}
	if name == "" || json.Unmarshal([]byte(data), &fields) != nil {
		return ev, false
	}
	ev = StreamEvent{Name: name, Data: []byte(fields.Data), TTL: fields.TTL, Published: fields.Published}
	if id, err := hex.DecodeString(fields.Core); err == nil && len(id) == len(ev.Device) {
		ev.Device = store.DeviceID(id)
	}
	return ev, true
}
