package ymodem

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// piped is a port whose other end is a program.
type piped struct {
	io.Writer
	in   chan []byte
	rest []byte
}

// newPiped reads what the program says, piece by piece.
func newPiped(in io.Writer, out io.Reader) *piped {
	p := &piped{Writer: in, in: make(chan []byte, 1024)}
	go func() {
		defer close(p.in)
		for {
			b := make([]byte, 1024)
			n, err := out.Read(b)
			if n > 0 {
				p.in <- b[:n]
			}
			if err != nil {
				return
			}
		}
	}()
	return p
}

func (p *piped) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		select {
		case more, ok := <-p.in:
			if !ok {
				return 0, errors.New("it ended")
			}
			p.rest = more
		case <-time.After(50 * time.Millisecond):
			return 0, nil // a turn without anything
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// TestToLrzsz sends to a receiver that is not ours: rb of lrzsz.
func TestToLrzsz(t *testing.T) {
	rb, err := exec.LookPath("rb")
	if err != nil {
		t.Skip("no rb: install lrzsz")
	}
	for _, size := range []int{1, 1024, 50_001} {
		image := bytes.Repeat([]byte("firmware"), size/8+1)[:size]
		dir := t.TempDir()
		cmd := exec.CommandContext(t.Context(), rb, "--ymodem", "--quiet")
		cmd.Dir = dir
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		p := newPiped(in, out)
		// It asks by itself, as a board that was touched does; there is no f to say.
		for b := make([]byte, 64); ; {
			n, err := p.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.IndexByte(b[:n], 'C') >= 0 {
				break
			}
		}
		d := &driver{port: p, started: time.Now()}
		s := NewSender("app.bin", image, d.now())
		for !s.Done() {
			if err := d.turn(s); err != nil {
				t.Fatalf("%d: %v", size, err)
			}
		}
		if err := errors.Join(s.Err(), cmd.Wait()); err != nil {
			t.Errorf("%d: %v", size, err)
		}
		got, err := os.ReadFile(filepath.Join(dir, "app.bin"))
		if err != nil || !bytes.Equal(got, image) {
			t.Errorf("%d bytes: %d arrived, %v", size, len(got), err)
		}
	}
}
