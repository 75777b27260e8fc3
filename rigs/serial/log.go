package serial

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Log is the file of a console: a line for each, with the host's time and,
// where the board tells it, the board's. It is safe for concurrent use.
//
//	2026-11-28T15:04:05.123Z    12.345  0000012345 [app] INFO: hello
//	2026-11-28T15:04:06.000Z         -  -- the port is gone
//
// A write that fails, as on a full disk, loses lines and nothing else: the next
// line tries again, and says how many are missing.
type Log struct {
	mu      sync.Mutex
	name    string
	w       io.WriteCloser
	err     error
	missing int
}

// OpenLog appends to the file of a path, and makes it and its folder.
func OpenLog(path string) (*Log, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("the log of a console: %w", err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("the log of a console: %w", err)
	}
	return &Log{name: path, w: f}, nil
}

// Path returns where it is.
func (l *Log) Path() string { return l.name }

const stamp = "2006-01-02T15:04:05.000Z07:00"

// Line writes a line. The error says what to do; it is that of Err from then on.
func (l *Log) Line(line Line) error {
	mark := ""
	if line.More {
		mark = " …"
	}
	return l.write(line.Time, DeviceTime(line.Device), line.Text+mark)
}

// Note writes a remark of the host.
func (l *Log) Note(at time.Time, text string) error { return l.write(at, "-", "-- "+text) }

func (l *Log) write(at time.Time, device, text string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	gap := ""
	if l.missing > 0 {
		gap = fmt.Sprintf("%s %9s  -- %d lines are missing here: they could not be written\n", at.UTC().Format(stamp), "-", l.missing)
	}
	_, err := fmt.Fprintf(l.w, "%s%s %9s  %s\n", gap, at.UTC().Format(stamp), device, text)
	if err == nil {
		l.err, l.missing = nil, 0
		return nil
	}
	l.missing++
	advice := "check the folder"
	if errors.Is(err, syscall.ENOSPC) {
		advice = "the disk is full: make room"
	}
	l.err = fmt.Errorf("the console's log %s cannot be written, and lines are missing from it: %s: %w", l.name, advice, err)
	return l.err
}

// Err returns why lines are missing at present, nil if none are.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Close closes the file.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Close()
}

// DeviceTime writes the board's own time for people: seconds since it started,
// "-" if unknown.
func DeviceTime(d time.Duration) string {
	if d < 0 {
		return "-"
	}
	return strings.TrimSpace(fmt.Sprintf("%.3f", d.Seconds()))
}
