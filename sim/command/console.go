package command

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/term"

	"github.com/muster/muster/sim/view"
)

// A console shows progress and what an operator should know.
type console struct {
	w     io.Writer
	quiet bool
	live  bool // lines may be written over
	dirty bool // a line is to be written over
	last  time.Time

	// screen, if not nil, has the whole terminal: it is told instead.
	screen atomic.Pointer[view.View]
}

func newConsole(w io.Writer, quiet bool) *console {
	c := &console{w: w, quiet: quiet, last: time.Now()}
	if f, ok := w.(*os.File); ok {
		c.live = term.IsTerminal(int(f.Fd()))
	}
	return c
}

// progress shows a line in place of the one before. Where lines cannot be
// written over, it shows one now and then.
func (c *console) progress(format string, args ...any) {
	const often, seldom = 200 * time.Millisecond, 10 * time.Second
	now := time.Now()
	switch {
	case c.quiet || c.screen.Load() != nil:
	case c.live && now.Sub(c.last) >= often:
		fmt.Fprintf(c.w, "\r\x1b[K"+format, args...)
		c.last, c.dirty = now, true
	case !c.live && now.Sub(c.last) >= seldom:
		fmt.Fprintf(c.w, format+"\n", args...)
		c.last = now
	}
}

// clear takes the line away.
func (c *console) clear() {
	if c.dirty {
		fmt.Fprint(c.w, "\r\x1b[K")
		c.dirty = false
	}
}

func (c *console) say(format string, args ...any) {
	if v := c.screen.Load(); v != nil {
		v.Tell(fmt.Sprintf(format, args...))
		return
	}
	c.clear()
	if !c.quiet {
		fmt.Fprintf(c.w, format+"\n", args...)
	}
}
