package ymodem

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// port is a console with a board behind it.
type port struct {
	mu     sync.Mutex
	in     bytes.Buffer // to the host
	block  []byte
	board  board
	f      string // what the board says to f
	refuse bool
	gone   int // blocks until it is unplugged; 0: never
	heard  []byte
}

const invitation = "Waiting for the binary file to be sent ... (press 'a' to abort)\r\n"

func (p *port) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.in.Len() == 0 {
		if p.gone == 1 {
			return 0, errors.New("unplugged")
		}
		time.Sleep(time.Millisecond) // a turn
		return 0, nil
	}
	return p.in.Read(b)
}

func (p *port) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = append(p.heard, b...)
	if string(b) == "f" {
		p.in.WriteString(p.f)
		return 1, nil
	}
	p.block = append(p.block, b...)
	size := 1
	switch p.block[0] {
	case soh:
		size = shortBlock + 5
	case stx:
		size = longBlock + 5
	}
	if len(p.block) < size {
		return len(b), nil
	}
	if p.gone > 1 {
		p.gone--
	}
	if p.block[0] == eot && p.refuse {
		p.in.WriteString("\x18\x18Validation failed: 2\r\n")
	} else if p.gone != 1 {
		p.in.Write(p.board.take(p.block))
	}
	p.block = nil
	return len(b), nil
}

func TestSend(t *testing.T) {
	image := bytes.Repeat([]byte("x"), 5000)
	p := &port{f: invitation}
	var seen []int
	if err := Send(context.Background(), p, "app.bin", image, func(n int) { seen = append(seen, n) }); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(p.board.image[:p.board.size], image) || len(seen) != 5 || seen[4] != 5000 {
		t.Errorf("%d bytes, progress %v", len(p.board.image), seen)
	}
}

// TestSendToOneThatWaits: the invitation was lost, or a touch had the board wait.
func TestSendToOneThatWaits(t *testing.T) {
	for _, f := range []string{"C", "\x15"} {
		p := &port{f: f}
		if err := Send(context.Background(), p, "app.bin", []byte("image"), nil); err != nil || !p.board.ended {
			t.Errorf("%q: %v", f, err)
		}
	}
}

func TestSendFails(t *testing.T) {
	image := bytes.Repeat([]byte("x"), 5000)
	for name, test := range map[string]struct {
		port *port
		is   error
		says string
	}{
		"6.0":       {&port{f: invitation + "\x18\x18\x18\x18Flashing over serial is no longer supported\r\n"}, ErrUnsupported, "over the air"},
		"refused":   {&port{f: invitation, refuse: true}, ErrRefused, "Validation failed: 2"},
		"unplugged": {&port{f: invitation, gone: 5}, nil, "after 2048 of 5000 bytes: unplugged"},
	} {
		err := Send(context.Background(), test.port, "app.bin", image, nil)
		if err == nil || test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &port{f: invitation}
	err := Send(ctx, p, "app.bin", image, func(int) { stop() })
	if !errors.Is(err, context.Canceled) || p.heard[len(p.heard)-1] != 'a' {
		t.Errorf("interrupted: %v", err)
	}
	if err := Send(ctx, p, "app.bin", image, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("before it began: %v", err)
	}
	ended := struct {
		io.Reader
		io.Writer
	}{strings.NewReader(""), io.Discard}
	if err := Send(context.Background(), ended, "a", image, nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a port that ended: %v", err)
	}
}

// TestSendToNobody waits as long as a person would.
func TestSendToNobody(t *testing.T) {
	if testing.Short() {
		t.Skip("5 seconds")
	}
	if err := Send(context.Background(), &port{f: "hello\r\n"}, "a", []byte("x"), nil); !errors.Is(err, ErrNotListening) {
		t.Error(err)
	}
}
