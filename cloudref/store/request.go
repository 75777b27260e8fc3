package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// requestWindow bounds the requests in flight. A server answers with an
	// error when 10,000 wait for one stream.
	requestWindow = 4096
	// requestsMax bounds those that wait behind the window.
	requestsMax = 1 << 16
	// requestTimeout is how long an answer may take.
	requestTimeout = 10 * time.Second
)

// requests sends requests to JetStream and matches the answers, many at a time
// and in order. It is what jetstream.PublishMsgAsync does, with a callback
// where that has two channels and a goroutine.
type requests struct {
	conn  *nats.Conn
	inbox string // with the full stop
	space *space // nil outside a data directory
	why   func() string

	mu      sync.Mutex
	empty   sync.Cond // nothing in flight nor waiting
	closed  bool
	over    chan struct{} // closed when the last answer has come
	next    uint64
	flying  map[uint64]request
	waiting []request // sent when there is room in the window
}

type request struct {
	msg     *nats.Msg
	done    func(*nats.Msg, error)
	expires time.Time
}

// newRequests listens for answers. away, if not nil, hears that the servers are out of
// reach, and that they are back.
func newRequests(conn *nats.Conn, away func(bool)) (*requests, error) {
	q := &requests{
		conn:   conn,
		inbox:  conn.NewInbox() + ".",
		why:    func() string { return "" },
		flying: map[uint64]request{},
		over:   make(chan struct{}),
	}
	q.empty.L = &q.mu
	sub, err := conn.Subscribe(q.inbox+"*", q.answer)
	if err != nil {
		return nil, err
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, err
	}
	conn.SetDisconnectErrHandler(func(*nats.Conn, error) {
		// No answer finds its way to a new connection.
		q.fail(func(request) bool { return true })
		if away != nil && !q.closing() {
			away(true)
		}
	})
	conn.SetReconnectHandler(func(*nats.Conn) {
		if away != nil {
			away(false)
		}
	})
	go q.sweep()
	return q, nil
}

// send sends msg and calls done with the answer, or with an error. Requests
// leave in the order of the calls.
func (q *requests) send(msg *nats.Msg, done func(*nats.Msg, error)) {
	q.mu.Lock()
	switch {
	case q.closed:
		q.mu.Unlock()
		done(nil, ErrClosed)
		return
	case len(q.flying) >= requestWindow && len(q.waiting) >= requestsMax:
		q.mu.Unlock()
		done(nil, ErrBusy)
		return
	case len(q.flying) >= requestWindow:
		q.waiting = append(q.waiting, request{msg: msg, done: done})
		q.mu.Unlock()
		return
	}
	err := q.launch(request{msg: msg, done: done})
	q.mu.Unlock()
	if err != nil {
		done(nil, err)
	}
}

// launch sends r now. The lock, which is held, keeps requests in order.
func (q *requests) launch(r request) error {
	q.next++
	n := q.next
	r.msg.Reply = q.inbox + strconv.FormatUint(n, 36)
	r.expires = time.Now().Add(requestTimeout)
	q.flying[n] = r
	if err := q.conn.PublishMsg(r.msg); err != nil {
		delete(q.flying, n)
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

func (q *requests) answer(m *nats.Msg) {
	n, err := strconv.ParseUint(strings.TrimPrefix(m.Subject, q.inbox), 36, 64)
	if err != nil {
		return // not ours
	}
	if r, ok := q.take(n); ok {
		if m.Header.Get("Status") == "503" {
			r.done(nil, q.unavailable())
			return
		}
		r.done(m, nil)
	}
}

func (q *requests) unavailable() error {
	if why := q.why(); why != "" {
		return fmt.Errorf("%w: %s", ErrUnavailable, why)
	}
	return ErrUnavailable
}

// take ends a request, which makes room for the next.
func (q *requests) take(n uint64) (request, bool) {
	q.mu.Lock()
	r, ok := q.flying[n]
	delete(q.flying, n)
	failed, why := q.fill()
	if len(q.flying) == 0 {
		q.empty.Broadcast()
	}
	q.mu.Unlock()
	for _, f := range failed {
		f.done(nil, why)
	}
	return r, ok
}

// fill sends what waits while there is room. It returns what cannot be sent.
func (q *requests) fill() (failed []request, why error) {
	n := 0
	for ; n < len(q.waiting) && len(q.flying) < requestWindow; n++ {
		if err := q.launch(q.waiting[n]); err != nil {
			failed, why = append(failed, q.waiting[n]), err
		}
		q.waiting[n] = request{}
	}
	if q.waiting = q.waiting[n:]; len(q.waiting) == 0 {
		q.waiting = nil // lets the array go
	}
	return failed, why
}

// sweep ends requests whose answer is overdue, until all is over.
func (q *requests) sweep() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			broken := q.brokenDisk()
			q.fail(func(r request) bool { return broken || now.After(r.expires) })
		case <-q.over:
			return
		}
	}
}

// watch sets what knows of the disk.
func (q *requests) watch(s *space) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.space = s
}

// brokenDisk reports whether no answer to a write will come any more.
func (q *requests) brokenDisk() bool {
	q.mu.Lock()
	s := q.space
	q.mu.Unlock()
	return s != nil && s.broken() != ""
}

// fail ends the requests in flight that which selects: their fate is unknown.
func (q *requests) fail(which func(request) bool) {
	q.mu.Lock()
	var lost []uint64
	for n, r := range q.flying {
		if which(r) {
			lost = append(lost, n)
		}
	}
	q.mu.Unlock()
	for _, n := range lost {
		if r, ok := q.take(n); ok {
			r.done(nil, q.unavailable())
		}
	}
}

// close refuses further requests and waits for those under way.
func (q *requests) closing() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

func (q *requests) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.closed = true
	for len(q.flying) > 0 || len(q.waiting) > 0 {
		q.empty.Wait()
	}
	close(q.over)
}

// An apiError is an error in an answer of JetStream.
type apiError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

// Error codes of JetStream that have a meaning here.
const (
	codeWrongLastSequence = 10071
	codeTooManyRequests   = 429
	codeNoStorage         = 10047
	codeStorageExceeded   = 10072
)

// parseAck reads the answer to a publication: the sequence number, or why not.
func parseAck(b []byte) (Revision, error) {
	// Nearly always {"stream":"x","seq":123} or with more behind it.
	if i := bytes.Index(b, []byte(`"seq":`)); i >= 0 && !bytes.Contains(b, []byte(`"error"`)) {
		var n uint64
		for _, c := range b[i+len(`"seq":`):] {
			if c < '0' || c > '9' {
				break
			}
			n = 10*n + uint64(c-'0')
		}
		if n > 0 {
			return Revision(n), nil
		}
	}
	var ack struct {
		Error *apiError `json:"error"`
	}
	if err := json.Unmarshal(b, &ack); err != nil || ack.Error == nil {
		return 0, fmt.Errorf("%w: it answered %.80q", ErrUnavailable, b)
	}
	e := ack.Error
	switch {
	case e.ErrCode == codeWrongLastSequence:
		return 0, ErrConflict
	case e.Code == codeTooManyRequests:
		return 0, ErrBusy
	case e.ErrCode == codeNoStorage || e.ErrCode == codeStorageExceeded:
		return 0, fmt.Errorf("%w: %s", ErrFull, e.Description)
	}
	return 0, fmt.Errorf("%w: %s", ErrUnavailable, e.Description)
}
