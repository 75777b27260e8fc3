package restapi

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// lineMax bounds a line of the stream: an event has at most 16 KiB.
const lineMax = 256 << 10

// An Event is one of a device.
type Event struct {
	Name   string `json:"-"`
	Data   string `json:"data"`
	CoreID string `json:"coreid"`
}

// Events is a stream of a device's events.
type Events struct {
	body  io.ReadCloser
	lines *bufio.Scanner
}

// Events opens the stream of a device's events. Each one published after Events
// has returned comes.
func (c *Cloud) Events(ctx context.Context, id string) (*Events, error) {
	a, err := c.request(ctx, http.MethodGet, "/v1/devices/"+url.PathEscape(id)+"/events", "", nil)
	if err != nil {
		return nil, err
	}
	if a.StatusCode != http.StatusOK {
		defer a.Body.Close() //nolint:errcheck // only read
		text, _ := io.ReadAll(io.LimitReader(a.Body, answerMax))
		return nil, refused(a.StatusCode, text)
	}
	e := &Events{body: a.Body, lines: bufio.NewScanner(a.Body)}
	e.lines.Buffer(nil, lineMax)
	return e, nil
}

// Close ends the stream.
func (e *Events) Close() error { return e.body.Close() }

// Next waits for an event. Comments, which keep the stream alive, are passed
// over.
func (e *Events) Next() (Event, error) {
	var event Event
	var data []string
	for e.lines.Scan() {
		line := e.lines.Text()
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "" && event.Name != "" && data != nil:
			if err := json.Unmarshal([]byte(strings.Join(data, "\n")), &event); err != nil {
				return Event{}, fmt.Errorf("the event stream holds what is no JSON: %w", err)
			}
			return event, nil
		case line == "":
			event, data = Event{}, nil
		case field == "event":
			event.Name = value
		case field == "data":
			data = append(data, value)
		}
	}
	err := e.lines.Err()
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return Event{}, fmt.Errorf("the event stream ended: %w", err)
}
