package cloudref

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/pdc"
)

var anyPort = netip.MustParseAddrPort("127.0.0.1:0")

func startCloud(t *testing.T, o Options) *Cloud {
	t.Helper()
	o.UDP = anyPort
	c, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// connected returns a device of an account, over UDP, that is registered and connected.
func connected(t *testing.T, c *Cloud, owner store.AccountID) *puppet {
	t.Helper()
	p := newPuppet(1, &c.o.ECKey.PublicKey)
	register(t, c, owner, p)
	if err := p.dial(c.UDP()); err != nil {
		t.Fatal(err)
	}
	if err := p.connect(); err != nil {
		t.Fatal(err)
	}
	return p
}

func register(t *testing.T, c *Cloud, owner store.AccountID, list ...*puppet) {
	t.Helper()
	var all []Registration
	for _, p := range list {
		all = append(all, Registration{ID: p.id, Owner: owner, P256: p.spki()})
	}
	if err := c.Register(t.Context(), all...); err != nil {
		t.Fatal(err)
	}
}

// background runs a puppet until the test ends.
func background(t *testing.T, p *puppet) {
	t.Helper()
	t.Cleanup(inBackground(p))
}

// inBackground runs a puppet until stop.
func inBackground(p *puppet) (stop func()) {
	var over atomic.Bool
	var done sync.WaitGroup
	done.Go(func() { p.run(time.Hour, over.Load) })
	return func() { over.Store(true); done.Wait() }
}

// nextEvent waits for the next event of a stream.
func nextEvent(t *testing.T, s *Stream) Event {
	t.Helper()
	select {
	case e, open := <-s.C:
		if !open {
			t.Fatalf("the stream ended: %v", s.Err())
		}
		return e
	case <-time.After(patience):
		t.Fatal("no event")
	}
	return Event{}
}

// Everything that a caller can do, over real sockets.
func TestCloud(t *testing.T) {
	c := startCloud(t, Options{})
	owner, err := c.Account(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	p := newPuppet(1, &c.o.ECKey.PublicKey)
	register(t, c, owner, p)
	stream := c.Subscribe(owner, "")
	if err := p.dial(c.UDP()); err != nil {
		t.Fatal(err)
	}
	if err := p.connect(); err != nil {
		t.Fatal(err)
	}
	if !p.say(p.publish("temp", "21.5"), patience) {
		t.Fatal("the event was not acknowledged")
	}
	wantEvent(t, stream, "spark/status", "online")
	wantEvent(t, stream, "temp", "21.5")
	background(t, p)
	got, err := c.Call(t.Context(), p.id, "double", "1234")
	if err != nil || got != 8 {
		t.Errorf("called: %d, %v", got, err)
	}
	var failure *app.Failure
	if _, err := c.Call(t.Context(), p.id, "tea", ""); !errors.As(err, &failure) || failure.Reason != app.NoSuchName {
		t.Errorf("got %v", err)
	}
	if _, err := c.Read(t.Context(), p.id, "tea"); !errors.As(err, &failure) {
		t.Errorf("got %v", err)
	}
	if err := c.Ping(t.Context(), p.id); err != nil {
		t.Error(err)
	}
	if _, err := c.Call(t.Context(), store.DeviceID{9}, "double", ""); !errors.As(err, &failure) || failure.Reason != app.NotOnline {
		t.Errorf("got %v", err)
	}
	if err := c.Publish(t.Context(), owner, app.Event{Name: "news", Data: make([]byte, 2000)}); err == nil {
		t.Error("an event that no device takes was published")
	}
	if err := c.Flash(t.Context(), p.id, []byte("nonsense"), nil); err == nil {
		t.Error("nonsense was flashed")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Signal(ctx, p.id, true); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func wantEvent(t *testing.T, s *Stream, name, data string) {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case e, open := <-s.C:
			if !open {
				t.Fatalf("the stream ended: %v", s.Err())
			}
			if e.Name == name && string(e.Data) == data {
				return
			}
		case <-timeout:
			t.Fatalf("no event %s", name)
		}
	}
}

// A reader that does not read is cut off; the cloud does not wait for it.
func TestSlowReader(t *testing.T) {
	c := startCloud(t, Options{})
	s := c.Subscribe(store.AccountID{1}, "")
	other := c.Subscribe(store.AccountID{2}, "")
	for n := range streamBuffer + 1 {
		if err := c.Publish(t.Context(), store.AccountID{1}, app.Event{Name: "n", Data: []byte(fmt.Sprint(n))}); err != nil {
			t.Fatal(err)
		}
	}
	for range s.C {
	}
	if s.Err() == nil {
		t.Error("the reader does not know why its stream ended")
	}
	other.Close()
	if _, open := <-other.C; open {
		t.Error("another account's events are heard")
	}
}

// Many devices at once: run with -race.
func TestParallelDevices(t *testing.T) {
	c := startCloud(t, Options{})
	owner, err := c.Account(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	const devices, events = 24, 20
	var all []*puppet
	for n := range devices {
		all = append(all, newPuppet(n+1, &c.o.ECKey.PublicKey))
	}
	register(t, c, owner, all...)
	stream := c.Subscribe(owner, "temp")
	var wg sync.WaitGroup
	errs := make(chan error, devices)
	for n, p := range all {
		wg.Go(func() {
			errs <- func() error {
				if err := p.dial(c.UDP()); err != nil {
					return err
				}
				if err := p.connect(); err != nil {
					return err
				}
				for i := range events {
					if !p.say(p.publish("temp", fmt.Sprint(n, "/", i)), patience) {
						return fmt.Errorf("device %d: event %d was not acknowledged", n, i)
					}
					if i == events/2 {
						if err := p.resume(c.UDP()); err != nil {
							return err
						}
					}
				}
				p.run(time.Second, func() bool { return len(p.heard) > 0 })
				return nil
			}()
		})
	}
	wg.Go(func() {
		for n := range 50 {
			if err := c.Publish(t.Context(), owner, app.Event{Name: "news", Data: []byte(fmt.Sprint(n))}); err != nil {
				t.Error(err)
			}
			c.node.Statuses()
			time.Sleep(2 * time.Millisecond)
		}
	})
	wg.Wait()
	for range all {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	got := 0
	for got < devices*events {
		select {
		case _, open := <-stream.C:
			if !open {
				t.Fatal(stream.Err())
			}
			got++
		case <-time.After(patience):
			t.Fatalf("%d events on the stream, want %d", got, devices*events)
		}
	}
	for _, p := range all {
		if p.back > 0 || p.shakes != 1 {
			t.Errorf("device %s: %d records went back, %d handshakes", p.id, p.back, p.shakes)
		}
		// What was delivered came in order.
		var news []string
		for _, m := range p.heard {
			if e, err := pdc.ParseEventDelivery(m); err == nil && e.Name == "news" {
				news = append(news, fmt.Sprintf("%3s", e.Data))
			}
		}
		if !slices.IsSorted(news) {
			t.Errorf("device %s heard %v", p.id, news)
		}
	}
}
