package cloudref

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/muster/muster/cloudref/api"
	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/pdc"
)

// An Event is one event on a stream.
type Event = api.Event

// events are the readers of event streams.
type events struct {
	mu      sync.Mutex
	readers map[*Stream]struct{}
	closed  bool
	cut     func() // counts the readers that were cut off
}

func (x *events) init(cut func()) { x.readers, x.cut = make(map[*Stream]struct{}), cut }

// count returns the number of readers.
func (x *events) count() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.readers)
}

// A Stream receives the events of one account. A reader that does not keep up is
// cut off: its channel is closed and Err says so.
type Stream struct {
	// C yields the events. It is closed when the stream ends.
	C <-chan Event

	c chan Event
	// shared takes the place of c for readers of the API, of which there may be ten
	// thousand: they have one copy of an event, and room for pointers only.
	shared chan *Event
	x      *events
	which  api.Selection
	err    error
}

// streamBuffer is how many events may wait for a reader.
const streamBuffer = 1024

// Subscribe opens a stream of the events of an account whose names begin with
// prefix. Those of the system (spark/status and so on) are among them.
func (c *Cloud) Subscribe(owner store.AccountID, prefix string) *Stream {
	return c.Select(api.Selection{Owner: owner, Prefix: prefix})
}

// Select opens a stream of selected events.
func (c *Cloud) Select(which api.Selection) *Stream {
	ch := make(chan Event, streamBuffer)
	return c.events.open(&Stream{C: ch, c: ch, x: &c.events, which: which})
}

// share is Select for readers of the API.
func (c *Cloud) share(which api.Selection) *Stream {
	size := streamBuffer
	if which.Patient {
		size *= 64
	}
	return c.events.open(&Stream{shared: make(chan *Event, size), x: &c.events, which: which})
}

func (x *events) open(s *Stream) *Stream {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		s.end()
		return s
	}
	x.readers[s] = struct{}{}
	return s
}

// end says that no more events come.
func (s *Stream) end() {
	if s.shared != nil {
		close(s.shared)
		return
	}
	close(s.c)
}

// offer gives the reader an event, unless too many wait. one is what readers share of
// it, made when it is wanted first.
func (s *Stream) offer(e *Event, one **Event) bool {
	if s.shared == nil {
		select {
		case s.c <- *e:
			return true
		default:
			return false
		}
	}
	if *one == nil {
		own := *e
		*one = &own
	}
	select {
	case s.shared <- *one:
		return true
	default:
		return false
	}
}

// Close ends the stream.
func (s *Stream) Close() {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	s.x.drop(s, nil)
}

// Err returns why the stream ended, nil if it did not or was closed.
func (s *Stream) Err() error {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	return s.err
}

func (x *events) drop(s *Stream, err error) {
	if _, open := x.readers[s]; open {
		delete(x.readers, s)
		s.err = err
		s.end()
	}
}

func (x *events) emit(e Event) {
	x.mu.Lock()
	defer x.mu.Unlock()
	var one *Event
	for s := range x.readers {
		if s.which.Selects(&e) && !s.offer(&e, &one) {
			x.cut()
			x.drop(s, fmt.Errorf("cloud: the reader was cut off: %d events waited for it", streamBuffer))
		}
	}
}

func (x *events) close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = true
	for s := range x.readers {
		x.drop(s, nil)
	}
}

// Publish publishes an event of an account. It returns when the event is durable;
// devices and readers get it right after.
func (c *Cloud) Publish(ctx context.Context, owner store.AccountID, e app.Event) error {
	return c.publish(ctx, api.Publication{Owner: owner, Event: e})
}

func (c *Cloud) publish(ctx context.Context, p api.Publication) error {
	e := p.Event
	if err := checkEvent(&e); err != nil {
		return err
	}
	told := Event{
		Name: e.Name, Data: e.Data, Content: e.Content, TTL: e.TTL, Published: time.Now(),
		Device: p.Device, Owner: p.Owner, Product: p.Product,
	}
	op := store.Append(store.Event{
		Account: p.Owner, Device: p.Device, At: told.Published, Body: endpoint.AppendEvent(nil, e),
		Node: c.id, Product: uint16(p.Product),
	})
	calls, call := c.hookCalls(&told)
	if call != "" {
		c.order.begin(call, 0)
		defer c.order.end(call)
	}
	if err := c.store.Do(ctx, append(calls, op)...); err != nil {
		return fmt.Errorf("cloud: the event was not stored: %w", err)
	}
	c.node.Publish(p.Owner, e)
	c.metrics.events.WithLabelValues("api").Inc()
	c.events.emit(told)
	return nil
}

// Sizes of an event in bytes that some device takes (C-29).
const (
	eventNameMax = 64
	eventDataMax = 1024
)

func checkEvent(e *app.Event) error {
	switch {
	case e.Name == "":
		return fmt.Errorf("cloud: an event needs a name")
	case len(e.Name) > eventNameMax:
		return fmt.Errorf("cloud: an event name of %d bytes: at most %d", len(e.Name), eventNameMax)
	case len(e.Data) > eventDataMax:
		return fmt.Errorf("cloud: an event with %d bytes of data: at most %d", len(e.Data), eventDataMax)
	default:
		return nil
	}
}

// observe hears of everything that happens to devices.
func (c *Cloud) observe(o endpoint.Observation) {
	if c.o.Observe != nil {
		c.o.Observe(o)
	}
	if c.traffic != nil {
		c.traffic.Observe(o)
	}
	switch o.What {
	case endpoint.Application:
		c.calls.tell(o.Effect)
		c.react(o)
	case endpoint.Published:
		c.metrics.events.WithLabelValues("device").Inc()
		c.events.emit(c.told(&o, o.Event)) // its webhooks are in the store already
		c.order.endOf(o.Serial)
	case endpoint.Online:
		c.announce(o)
		c.stream(o, pdc.EventStatus, []byte(pdc.StatusOnline))
	case endpoint.Adopted, endpoint.Reclaimed:
		c.announce(o)
		go c.resumeFlashOf(o.Device) // not with the device locked
	case endpoint.Ended:
		c.announce(o)
	case endpoint.Offline:
		c.announce(o)
		c.stream(o, pdc.EventStatus, []byte(pdc.StatusOffline))
	case endpoint.Refused:
		write, unwritten := c.refusals.note(o, time.Now())
		if unwritten > 0 {
			c.o.Log(fmt.Sprintf("%d more refusals were not logged", unwritten))
		}
		if write {
			c.o.Log(refusal(o))
		}
	case endpoint.Stray:
		c.refusals.note(o, time.Now())
	default:
		// Of interest to Options.Observe only.
	}
}

// told is an event of a device, or about it, as readers and webhooks get it.
func (c *Cloud) told(o *endpoint.Observation, e app.Event) Event {
	return Event{
		Name: e.Name, Data: e.Data, Content: e.Content, TTL: e.TTL, Published: c.Time(o.At),
		Device: o.Device, Owner: o.Owner, Product: c.store.ProductOf(o.Device, o.ProductID), Version: o.ProductVersion,
	}
}

// along returns the webhook calls of an event that a device publishes: they are
// stored with the event, before the device hears that it was taken.
func (c *Cloud) along(o endpoint.Observation) []store.Op {
	e := c.told(&o, o.Event)
	calls, call := c.hookCalls(&e)
	if call != "" {
		c.order.begin(call, o.Serial)
	}
	return calls
}

// stream tells readers and webhooks of something that the cloud noticed itself, in
// the name of the device.
func (c *Cloud) stream(o endpoint.Observation, name string, data []byte) {
	c.streamAs(o, "", name, data)
}

// streamAs is stream in the name of core, "" for the device.
func (c *Cloud) streamAs(o endpoint.Observation, core, name string, data []byte) {
	e := c.told(&o, app.Event{Name: name, Data: data, TTL: pdc.DefaultTTL})
	e.Core = core
	c.events.emit(e)
	c.tell(tale{Event: &e})
	if calls, _ := c.hookCalls(&e); len(calls) > 0 {
		c.store.Write(calls, func(err error) {
			if err != nil {
				c.o.Log(fmt.Sprintf("device %s: its webhooks for %s are not called: %v", o.Device, name, err))
			}
		})
	}
}

// refusal names the device and what to do.
func refusal(o endpoint.Observation) string {
	who := "a device"
	if o.Device != (store.DeviceID{}) {
		who = "device " + o.Device.String()
	}
	if o.Session.Peer != "" {
		who += " at " + o.Session.Peer
	}
	return who + " refused: " + o.Detail
}
