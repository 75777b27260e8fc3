package store

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// broke makes the server of a store one that gave up.
func broke(s *Store) *jet {
	j := s.backend.(*jet)
	j.embedded.mu.Lock()
	defer j.embedded.mu.Unlock()
	j.embedded.log.Errorf("Critical write error: %s", "input/output error")
	return j
}

func openWarned(t *testing.T) (s *Store, warned func(text string)) {
	t.Helper()
	lines := make(chan string, 1000)
	s, err := Open(t.Context(), Config{Dir: t.TempDir(), Warn: func(line string) {
		select {
		case lines <- line:
		default:
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, func(text string) {
		t.Helper()
		patience := time.After(time.Minute)
		for {
			select {
			case line := <-lines:
				if strings.Contains(line, text) {
					return
				}
			case <-patience:
				t.Fatalf("nobody says %q", text)
			}
		}
	}
}

// What is stored is there when the server was replaced, and who takes webhook calls
// goes on.
func TestServerIsReplaced(t *testing.T) {
	t.Parallel() // it waits most of the time
	s, warned := openWarned(t)
	ctx := t.Context()
	calls := make(chan Call, 8)
	stop, err := s.ServeCalls(1, func(d Delivery) {
		calls <- d.Call
		d.Done()
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	d := device(1)
	if err := s.Do(ctx, PutDevice(d)); err != nil {
		t.Fatal(err)
	}
	broke(s)
	if err := s.Do(ctx, PutDevice(device(2))); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "input/output error") {
		t.Errorf("got %v", err)
	}
	warned("all that was acknowledged is there")
	if got, err := s.Device(ctx, d.ID); err != nil || got.Name != d.Name {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := s.Do(ctx, PutDevice(device(2)).If(0), PutCall(Call{Hook: device(1).ID, Body: []byte("behind")})); err != nil {
		t.Error(err)
	}
	select {
	case c := <-calls:
		if string(c.Body) != "behind" {
			t.Errorf("got %q", c.Body)
		}
	case <-time.After(time.Minute):
		t.Error("who takes calls does not go on")
	}
}

// An image counts among what was acknowledged: one of which the new server knows
// nothing is missed, and so is that one was removed.
func TestServerThatForgotAnImageIsNotUsed(t *testing.T) {
	t.Parallel() // it waits most of the time
	for name, act := range map[string]func(ctx context.Context, s *Store) error{
		"stored": func(ctx context.Context, s *Store) error {
			_, err := s.PutImage(ctx, imageData(1))
			return err
		},
		"removed": func(ctx context.Context, s *Store) error {
			id, err := s.PutImage(ctx, imageData(1))
			return errors.Join(err, s.RemoveImage(ctx, id))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, warned := openWarned(t)
			j := s.backend.(*jet)
			if err := act(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			stream, err := j.js.Stream(t.Context(), imageStream)
			if err != nil {
				t.Fatal(err)
			}
			if last, noted := stream.CachedInfo().State.LastSeq, j.acked.newest()[imageStream]; noted != Revision(last) {
				t.Errorf("noted up to %d, but %d were stored", noted, last)
			}
			broke(s)
			j.acked.stored(imageStream, j.acked.newest()[imageStream]+1)
			warned("the last 1 records of " + imageStream)
			if _, err := s.PutImage(t.Context(), imageData(2)); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "start the cloud again") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Who stores an image again of which the disk lost a part repairs it.
func TestDamagedImageIsRepaired(t *testing.T) {
	s, _ := openWarned(t)
	ctx := t.Context()
	data := bytes.Repeat([]byte("firmware"), 50_000) // more than one chunk
	id, err := s.PutImage(ctx, data)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := s.backend.(*jet).js.Stream(ctx, imageStream)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(ctx, stream.CachedInfo().State.FirstSeq); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutImage(ctx, data); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Image(ctx, id); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// If something that was acknowledged is not there, nothing more is stored.
func TestServerThatForgotIsNotUsed(t *testing.T) {
	t.Parallel() // it waits most of the time
	s, warned := openWarned(t)
	if err := s.Do(t.Context(), PutDevice(device(1))); err != nil {
		t.Fatal(err)
	}
	j := broke(s)
	j.acked.mu.Lock()
	j.acked.last[bucketStream+bucketDevices.String()] += 2
	j.acked.mu.Unlock()
	warned("the last 2 records of KV_")
	if err := s.Do(context.WithoutCancel(t.Context()), PutDevice(device(2))); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "start the cloud again") {
		t.Errorf("got %v", err)
	}
}
