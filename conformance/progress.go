package conformance

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// A progress shows what is being done: as one line that changes in a terminal,
// and as one line now and then elsewhere, so that a build log stays short.
type progress struct {
	w        io.Writer
	terminal bool

	mu      sync.Mutex
	last    time.Time
	subject string
}

func newProgress(w io.Writer) *progress { return &progress{w: w, terminal: isTerminal(w)} }

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

const (
	barWidth    = 24
	showEvery   = 100 * time.Millisecond
	sayEvery    = 30 * time.Second // what goes on for long, where every line stays
	clearToEnd  = "\x1b[K"
	columnsSafe = 100
)

// show shows a fraction from 0 to 1 and a few words.
func (p *progress) show(fraction float64, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	subject, _, _ := strings.Cut(what, ":")
	now := time.Now()
	switch {
	case p.terminal && now.Sub(p.last) < showEvery:
		return
	case !p.terminal && subject == p.subject && now.Sub(p.last) < sayEvery:
		return
	}
	p.last, p.subject = now, subject
	filled := int(fraction * barWidth)
	bar := strings.Repeat("█", filled) + strings.Repeat("░", barWidth-filled)
	if len(what) > columnsSafe-barWidth {
		what = what[:columnsSafe-barWidth]
	}
	if p.terminal {
		fmt.Fprintf(p.w, "\r%s %3.0f%% %s%s", bar, 100*fraction, what, clearToEnd)
		return
	}
	fmt.Fprintf(p.w, "%s %3.0f%% %s\n", bar, 100*fraction, what)
}

// end clears the line.
func (p *progress) end() {
	if p.terminal {
		fmt.Fprintf(p.w, "\r%s", clearToEnd)
	}
}
