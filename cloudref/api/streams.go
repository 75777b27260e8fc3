package api

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/pdc"
)

// errPrefix: since 2018 the service does not give away the events of all
// accounts, public or not.
var errPrefix = refuse(http.StatusBadRequest, "event prefix filter is required")

// errStreams says that there are too many.
var errStreams = refuse(http.StatusTooManyRequests, "Too many event streams are open.")

func (s *Server) streamWithoutPrefix(*request) (any, error) { return nil, errPrefix }

// streamAll answers GET /v1/events/:prefix: public events and one's own. Device
// OS and the service have made all events private, so that these are one's own.
func (s *Server) streamAll(q *request) (any, error) {
	prefix := q.PathValue("prefix")
	if prefix == "" {
		return nil, errPrefix
	}
	return s.stream(q, Selection{Owner: q.account, Prefix: prefix})
}

// streamMine answers GET /v1/devices/events[/:prefix].
func (s *Server) streamMine(q *request) (any, error) {
	return s.stream(q, Selection{Owner: q.account, Prefix: q.PathValue("prefix")})
}

// streamDevice answers GET /v1/devices/:id/events[/:prefix] and its twin below a
// product.
func (s *Server) streamDevice(q *request, prefix string) (any, error) {
	d, err := s.device(q)
	if err != nil {
		return nil, err
	}
	which := Selection{Owner: q.account, Device: d.ID, Prefix: prefix}
	if q.PathValue("product") != "" {
		p, err := s.product(q)
		if err != nil {
			return nil, err
		}
		which.Product = p.ID
	}
	return s.stream(q, which)
}

// streamProduct answers GET /v1/products/:product/events[/:prefix].
func (s *Server) streamProduct(q *request) (any, error) {
	p, err := s.product(q)
	if err != nil {
		return nil, err
	}
	return s.stream(q, Selection{Product: p.ID, Prefix: q.PathValue("prefix")})
}

// stream sends events until the client leaves, is too slow, or the cloud stops.
func (s *Server) stream(q *request, which Selection) (any, error) {
	if q.Method == http.MethodHead {
		streamHeader(q.w.Header())
		return written{}, nil // and nobody would read the events
	}
	leave, ok := s.opened.try(q.account)
	if !ok {
		return nil, errStreams
	}
	defer leave()
	which.Everybody, which.Patient = s.c.Faults.AllEvents, s.c.Faults.PatientStreams
	stream := s.cloud.Subscribe(which)
	defer stream.Close()
	out := &eventWriter{w: q.w, control: http.NewResponseController(q.w), timeout: s.c.WriteTimeout}
	if which.Patient {
		out.timeout = time.Hour
	}
	if out.begin() != nil {
		return written{}, nil
	}
	ctx, cancel := context.WithCancel(q.Context())
	defer cancel()
	defer context.AfterFunc(s.closing, cancel)()
	// It ticks whether events come or not, because the token is checked then.
	tick := time.NewTicker(s.c.KeepAlive)
	defer tick.Stop()
	for {
		e, why := stream.Next(ctx.Done(), tick.C)
		var err error
		switch why {
		case NextEvent:
			if !s.still(q, which) {
				return written{}, nil
			}
			err = out.event(e, which.Product != 0)
		case NextTick:
			if !s.tokenGood(q) {
				return written{}, nil
			}
			if !s.c.Faults.NoKeepAlive {
				err = out.comment("keep-alive")
			}
		default:
			return written{}, nil
		}
		if err != nil {
			return written{}, nil // gone, or did not read
		}
	}
}

// Reader takes a place among the event streams for an account, and false if it or all
// have too many; leave gives it back. It is for streams beside this API.
func (s *Server) Reader(a store.AccountID) (leave func(), ok bool) { return s.opened.try(a) }

// still reports whether what a stream is about is still the caller's.
func (s *Server) still(q *request, which Selection) bool {
	switch {
	case which.Product != 0:
		_, err := s.product(q)
		return err == nil
	case which.Device != store.DeviceID{}:
		identity, known := s.store.Identity(which.Device)
		return known && identity.Owner == q.account
	}
	return true
}

// tokenGood reports whether the token of a stream is still good: who revokes a
// token expects its streams to end.
func (s *Server) tokenGood(q *request) bool {
	return s.authenticate(q, q.secret) == nil
}

// An eventWriter writes a stream of server-sent events. Each goes out at once and
// by itself: clients exist that take one read for one event.
type eventWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	b       []byte
}

// begin sends the headers and a comment. The JavaScript client gives up when
// nothing comes for 15 s.
func (x *eventWriter) begin() error {
	streamHeader(x.w.Header())
	x.w.WriteHeader(http.StatusOK)
	return x.comment("ok")
}

func streamHeader(h http.Header) {
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no") // for proxies
}

func (x *eventWriter) comment(text string) error {
	x.b = append(append(append(x.b[:0], ':'), text...), "\n\n"...)
	return x.flush()
}

func (x *eventWriter) event(e Event, product bool) error {
	data := eventData{Data: e.Text(), TTL: e.TTL, Published: e.Published.UTC().Format(timeFormat), Core: e.CoreID()}
	if product {
		data.productData = &productData{User: orNull(ownerText(e.Owner)), Version: e.Version, Product: e.Product}
	}
	x.b = append(append(append(x.b[:0], "event: "...), line(e.Name)...), "\ndata: "...)
	x.b = append(append(x.b, encode(data)...), "\n\n"...)
	return x.flush()
}

func ownerText(a store.AccountID) string {
	if a == (store.AccountID{}) {
		return ""
	}
	return a.String()
}

// flush writes what is buffered. A client that does not take it in time is cut.
func (x *eventWriter) flush() error {
	// Not every ResponseWriter has deadlines: those of tests do not.
	_ = x.control.SetWriteDeadline(time.Now().Add(x.timeout))
	if _, err := x.w.Write(x.b); err != nil {
		return err
	}
	return x.control.Flush()
}

// eventData is the data line of an event, with the fields in their order.
type eventData struct {
	Data      *string `json:"data"`
	TTL       uint32  `json:"ttl"`
	Published string  `json:"published_at"`
	Core      string  `json:"coreid"`
	*productData
}

// productData is what streams of products say besides.
type productData struct {
	User    any             `json:"userid"`
	Version uint16          `json:"version"`
	Public  bool            `json:"public"`
	Product store.ProductID `json:"productID"`
}

// line makes text fit on one line: the name of an event is the publisher's
// choice, and must not end the line and begin another field.
func line(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' || r == 0 {
			return ' '
		}
		return r
	}, text)
}

// CoreID is who published the event, in the words of the API.
func (e *Event) CoreID() string {
	if e.Core != "" {
		return e.Core
	}
	if e.Device == (store.DeviceID{}) {
		return "api"
	}
	return e.Device.String()
}

// Text is the data of the event as JSON can carry it: nil for none, a data URI for
// what is not text.
func (e *Event) Text() *string {
	if len(e.Data) == 0 {
		return nil
	}
	text := string(e.Data)
	if !utf8.ValidString(text) || !e.Content.Text() && e.Content != pdc.FormatJSON {
		text = "data:" + e.Content.String() + ";base64," + base64.StdEncoding.EncodeToString(e.Data)
	}
	return &text
}
