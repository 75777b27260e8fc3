package page

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/muster/muster/cloudref/store"
)

// How often a stream without news says that it is there and its token is looked
// at again, and how long a reader may take.
const (
	keepAlive    = 9 * time.Second
	writeTimeout = 10 * time.Second
)

// watch streams what a device and the cloud say, as server-sent events: "record"
// with what is remembered, then "line" and "flash". A reader that does not keep up
// is cut off, and may come again.
func (p *page) watch(w http.ResponseWriter, r *http.Request, a store.AccountID) {
	id, ok := p.device(r, a)
	if !ok {
		fail(w, http.StatusNotFound, "no such device")
		return
	}
	leave, ok := p.c.Reader(a)
	if !ok {
		fail(w, http.StatusTooManyRequests, "too many event streams are open")
		return
	}
	defer leave()
	past, watch := p.c.Traffic.Watch(id)
	defer watch.Close()
	w.Header().Set("Content-Type", "text/event-stream")
	s := sender{w, http.NewResponseController(w)}
	if s.send("record", record(past)) != nil {
		return
	}
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		var err error
		select {
		case u, open := <-watch.C:
			switch {
			case !open:
				return
			case u.Line != nil:
				err = s.send("line", u.Line)
			default:
				err = s.send("flash", u.Flash)
			}
		case <-tick.C:
			now, good := p.c.Account(r)
			if _, still := p.device(r, now); !good || !still {
				return // the token was revoked, or the device is another's now
			}
			err = s.write(":\n\n")
		case <-r.Context().Done():
			return
		case <-p.c.Closing:
			return
		}
		if err != nil {
			return // gone, or did not read
		}
	}
}

type sender struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (s sender) send(event string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return s.write(fmt.Sprintf("event: %s\ndata: %s\n\n", event, data))
}

func (s sender) write(text string) error {
	// Not every ResponseWriter has deadlines: those of tests do not.
	_ = s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.control.Flush()
}
