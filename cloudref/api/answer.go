package api

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"time"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
)

// object is a JSON object of few fields.
type object map[string]any

// A failure is an answer that is not a success. Its body is JSON, because the
// clients lose the message otherwise.
type failure struct {
	status int
	body   object
}

// Error implements error.
func (f *failure) Error() string { return fmt.Sprintf("HTTP %d: %v", f.status, f.body) }

// refuse returns a failure in the most common form.
func refuse(status int, format string, args ...any) *failure {
	return &failure{status, object{"ok": false, "error": fmt.Sprintf(format, args...)}}
}

// refuseList is refuse in the form that lists errors.
func refuseList(status int, text string) *failure {
	return &failure{status, object{"ok": false, "errors": []string{text}}}
}

// The failures that many routes share.
var (
	errBusy        = refuse(http.StatusServiceUnavailable, "The cloud is busy. Try again.")
	errTokenAbsent = &failure{http.StatusBadRequest, object{
		"error": "invalid_request", "error_description": "The access token was not found",
	}}
	errTokenUnknown = &failure{http.StatusUnauthorized, object{
		"error": "invalid_token", "error_description": "The access token provided is invalid.",
	}}
	errTokenExpired = &failure{http.StatusUnauthorized, object{
		"error": "invalid_token", "error_description": "The access token provided has expired.",
	}}
)

// What a handler may return beside something to encode as JSON with status 200.
type (
	// text is an answer in plain text.
	text string
	// noContent is an answer without a body.
	noContent struct{}
	// created is an answer with status 201, accepted one with 202.
	created  struct{ body any }
	accepted struct{ body any }
	// octets is a file.
	octets struct {
		name string
		data []byte
	}
	// written says that the handler has answered by itself.
	written struct{}
)

// answer writes what a handler returned.
func (s *Server) answer(q *request, result any, err error) {
	if err != nil {
		f := s.explain(q, err)
		if s.c.Faults.EmptyAnswers {
			q.w.WriteHeader(f.status)
			return
		}
		s.writeJSON(q, f.status, f.body)
		return
	}
	switch result := result.(type) {
	case written:
	case noContent:
		q.w.WriteHeader(http.StatusNoContent)
	case created:
		s.writeJSON(q, http.StatusCreated, result.body)
	case accepted:
		s.writeJSON(q, http.StatusAccepted, result.body)
	case octets:
		q.w.Header().Set("Content-Type", "application/octet-stream")
		q.w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": result.name}))
		q.w.Header().Set("X-Content-Type-Options", "nosniff")
		s.writeAll(q, result.data)
	case text:
		q.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		q.w.Header().Set("X-Content-Type-Options", "nosniff")
		s.writeAll(q, []byte(result))
	default:
		s.writeJSON(q, http.StatusOK, result)
	}
}

func (s *Server) writeJSON(q *request, status int, body any) {
	q.w.Header().Set("Content-Type", "application/json; charset=utf-8")
	q.w.WriteHeader(status)
	s.writeAll(q, encode(body))
}

// writePiece is how much of an answer a client must accept in Config.WriteTimeout.
const writePiece = 64 << 10

// writeAll writes an answer. A client may be slow, but not stand still.
func (s *Server) writeAll(q *request, b []byte) {
	control := http.NewResponseController(q.w)
	for len(b) > 0 {
		piece := b[:min(len(b), writePiece)]
		// Not every ResponseWriter has deadlines: those of tests do not.
		_ = control.SetWriteDeadline(time.Now().Add(s.c.WriteTimeout))
		if _, err := q.w.Write(piece); err != nil {
			return // the client is gone: nobody to tell
		}
		b = b[len(piece):]
	}
}

// encode returns the JSON of what the package made itself. People read it, so <
// and & stand for themselves.
func encode(value any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(fmt.Sprintf("api: encoding %T: %v", value, err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// explain turns what went wrong into an answer. What is the cloud's own trouble
// is logged, and not told.
func (s *Server) explain(q *request, err error) *failure {
	var f *failure
	var device *app.Failure
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &device):
		return explainDevice(device)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return refuse(http.StatusRequestTimeout, "Timed out.")
	case errors.Is(err, store.ErrConflict):
		return refuse(http.StatusConflict, "It was changed by someone else at the same time. Try again.")
	case errors.Is(err, store.ErrFull):
		s.c.Log(fmt.Sprintf("%s: %v", q.Pattern, err))
		return refuse(http.StatusInsufficientStorage, "The cloud has no space left.")
	case errors.Is(err, store.ErrBusy), errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrClosed):
		s.c.Log(fmt.Sprintf("%s: %v", q.Pattern, err))
		return errBusy
	default:
		s.c.Log(fmt.Sprintf("%s: %v", q.Pattern, err))
		return refuse(http.StatusInternalServerError, "Internal error")
	}
}

// explainDevice turns what a device did into an answer. Routes with bodies of
// their own for some reasons look first.
func explainDevice(f *app.Failure) *failure {
	detail := f.Detail
	if detail == "" {
		detail = f.Reason.String()
	}
	switch f.Reason {
	case app.NotOnline, app.NoAnswer, app.Unreachable:
		return refuse(http.StatusRequestTimeout, "Timed out.")
	case app.NoSuchName:
		return refuse(http.StatusNotFound, "%s", detail)
	case app.TooMany:
		return refuse(http.StatusTooManyRequests, "%s", detail)
	default:
		return refuse(http.StatusBadRequest, "%s", detail)
	}
}

// silent reports whether a device did not answer, for whatever reason.
func silent(err error) bool {
	var f *app.Failure
	if errors.As(err, &f) {
		return f.Reason == app.NotOnline || f.Reason == app.NoAnswer || f.Reason == app.Unreachable
	}
	return errors.Is(err, context.DeadlineExceeded)
}

// hasReason reports whether a device is the reason for err, and this one.
func hasReason(err error, reason app.Reason) bool {
	var f *app.Failure
	return errors.As(err, &f) && f.Reason == reason
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

// timestamp is a time as the API writes it, null for none.
func timestamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(timeFormat)
}

// timeFormat has milliseconds, always three digits of them.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"
