package control

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"
	"time"
)

// TestSocket makes requests of a board behind a socket, and hears of its errors
// as they are.
func TestSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), SocketName)
	board := &Responder{Handle: func(r Request) Response {
		if r.Kind != Diagnostics {
			return Response{Result: -120}
		}
		return Response{Payload: bytes.Repeat(r.Payload, 100)}
	}}
	listener, err := ServeSocket(socket, func(path string) (Transport, error) {
		if path != "1-1.4" {
			return nil, ErrGone
		}
		return board, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	at, err := dialSocket(socket, "1-1.4")
	if err != nil {
		t.Fatal(err)
	}
	d := New(at, time.Second)
	got, err := d.Do(t.Context(), Diagnostics, []byte("0123456789"))
	if err != nil || len(got) != 1000 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := at.Control(Setup{Type: hostToDevice, Request: 99}, nil, time.Second); !errors.Is(err, ErrStall) {
		t.Errorf("%v", err)
	}
	away, err := dialSocket(socket, "1-9")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := away.Control(Setup{Type: deviceToHost, Length: 2}, make([]byte, 2), time.Second); !errors.Is(err, ErrGone) {
		t.Errorf("%v", err)
	}
	if err := errors.Join(d.Close(), away.Close(), listener.Close()); err != nil {
		t.Error(err)
	}
	if _, err := dialSocket(socket, "1-1.4"); err == nil {
		t.Error("a bench that is gone answers")
	}
}
