package fake

// A console is one serial port of a board.
type console struct {
	board *Board
	line  *line
	first bool
	baud  int
	fresh bool // the application waits for a host
	open  bool
	text  []byte // typed, and not a line yet
}

// with does something for a console that is still there.
func (c *console) with(do func(b *Board)) {
	c.board.do(func() {
		for _, here := range c.board.consoles {
			if here == c {
				do(c.board)
			}
		}
	})
}

// attached implements end.
func (c *console) attached() {
	c.with(func(b *Board) {
		c.open = true
		if c.first && !c.fresh && b.spec.WaitForHost && !b.hung {
			c.fresh = true
			b.greet()
		}
	})
}

// detached implements end.
func (c *console) detached() { c.with(func(*Board) { c.open = false }) }

// input implements end.
func (c *console) input(in []byte) {
	c.with(func(b *Board) {
		switch {
		case !c.first || b.hung:
		case b.mode == Listening && !(b.spec.Protected && b.version.atLeast(6, 0, 0)):
			b.listen.input(in)
		case b.mode == Normal && b.spec.ResetText != "" && string(in) == b.spec.ResetText:
			b.restart(Normal)
		case b.mode == Normal && b.spec.OnLine != nil:
			c.typed(in)
		}
	})
}

// typed gives the application lines.
func (c *console) typed(in []byte) {
	const longest = 1024
	for _, v := range in {
		switch {
		case v == '\n' || v == '\r':
			if len(c.text) > 0 {
				c.board.spec.OnLine(string(c.text))
			}
			c.text = c.text[:0]
		case len(c.text) < longest:
			c.text = append(c.text, v)
		}
	}
}

// speed implements end. Only a change counts: drivers tell the board no more.
func (c *console) speed(baud int) {
	c.with(func(b *Board) {
		if baud == c.baud {
			return
		}
		c.baud = baud
		b.touched(baud)
	})
}

// Attached reports whether the board sees that a host has console n open (DTR).
func (b *Board) Attached(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return n < len(b.consoles) && b.consoles[n].open
}

// Lost returns how many bytes of output the host of the first console did not
// take, since the board came to the bus.
func (b *Board) Lost() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.consoles) == 0 {
		return 0
	}
	return int(b.consoles[0].line.lost.Load())
}
