package power

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Ladder restarts one board.
type Ladder struct {
	Board   string // its name
	Means   []Means
	Witness Witness
	Times   Times
	// Note hears of each attempt as it begins and ends, if not nil.
	Note func(text string)
	// Used hears, if not nil, when a means that resets has done its part, before
	// anything of that is seen.
	Used func()
	// Quiet, if not nil, waits until the board's cloud session is quiet, or returns
	// why it does not get quiet: the proof that the power is off which no hub can
	// forge.
	Quiet func(context.Context) error
}

func (l *Ladder) note(format string, args ...any) {
	if l.Note != nil {
		l.Note(fmt.Sprintf(format, args...))
	}
}

// Climb restarts the board by the gentlest means from a rung on that works. It
// returns every attempt; the error says what none of them could do.
func (l *Ladder) Climb(ctx context.Context, from Rung) ([]Attempt, error) {
	means := slices.Clone(l.Means)
	slices.SortStableFunc(means, func(a, b Means) int { return int(a.Rung - b.Rung) })
	var tried []Attempt
	for _, m := range means {
		if m.Rung < from {
			continue
		}
		a := l.try(ctx, m)
		tried = append(tried, a)
		if a.Err == nil {
			return tried, nil
		}
		if ctx.Err() != nil {
			return tried, context.Cause(ctx)
		}
	}
	if len(tried) == 0 {
		return nil, fmt.Errorf("board %s cannot be restarted from rung %q on: %w; \"power\" in rigs.yaml names them", l.Board, from, ErrNoMeans)
	}
	return tried, failure(l.Board, tried)
}

// failure sums up attempts that all failed.
func failure(board string, tried []Attempt) error {
	var says []string
	for _, a := range tried {
		says = append(says, a.String())
	}
	return fmt.Errorf("board %s does not come back by any means: %s: %w", board, strings.Join(says, "; "), tried[len(tried)-1].Err)
}

// Use restarts the board by the means of a rung and no other.
func (l *Ladder) Use(ctx context.Context, r Rung) (Attempt, error) {
	for _, m := range l.Means {
		if m.Rung == r {
			a := l.try(ctx, m)
			if a.Err != nil {
				return a, fmt.Errorf("board %s: %s", l.Board, a)
			}
			return a, nil
		}
	}
	return Attempt{}, fmt.Errorf("board %s: %s: %w in rigs.yaml", l.Board, r, ErrNoMeans)
}

// try uses one means and verifies it.
func (l *Ladder) try(ctx context.Context, m Means) Attempt {
	l.note("power: %s (%s)", m.Rung, m.Text)
	a := Attempt{Rung: m.Rung, Text: m.Text, At: time.Now(), Vanished: -1, Back: -1}
	a.Err = l.restart(ctx, m, &a)
	if a.Err != nil {
		a.Why = a.Err.Error()
	}
	l.note("power: %s", a)
	return a
}

func (l *Ladder) restart(ctx context.Context, m Means, a *Attempt) error {
	t := l.Times.complete()
	before, _ := l.Witness.Look()
	clock, at, clocked := l.Witness.Clock()
	start := time.Now()
	if m.Off != nil {
		if err := l.off(ctx, m, before, t, a, start); err != nil {
			return err
		}
		pause(ctx, t.Off)
		if err := l.do(ctx, m, m.On, t); err != nil {
			return err
		}
	} else if err := l.resetBy(ctx, m, before, t, a, start); err != nil {
		return err
	}
	if !l.await(ctx, t.Return, func(p Presence) bool { return p.Present && (!before.Present || p.Number != before.Number) }) {
		return ErrNotBack
	}
	a.Back = time.Since(start)
	answer, cancel := context.WithTimeout(ctx, t.Answer)
	defer cancel()
	if err := l.Witness.Answers(answer, start); err != nil {
		return fmt.Errorf("%w: %w", ErrSilent, err)
	}
	now, later, told := l.Witness.Clock()
	if clocked && told && later.After(at) {
		// What a line is late makes a start look later, never earlier; and one that
		// went on started before.
		a.Proven = !later.Add(-now).Before(start) && later.Add(-now).After(at.Add(-clock))
		if !a.Proven && m.Rung.Cuts() {
			return ErrLied
		}
	}
	return nil
}

// off takes the power away and sees that it is.
func (l *Ladder) off(ctx context.Context, m Means, before Presence, t Times, a *Attempt, start time.Time) error {
	if err := l.do(ctx, m, m.Off, t); err != nil {
		return err
	}
	gone := l.await(ctx, t.Vanish, func(p Presence) bool { return !p.Present })
	if gone && before.Present {
		a.Vanished = time.Since(start)
	}
	var err error
	switch {
	case !gone:
		err = ErrNoEffect
	case l.Quiet != nil && m.Rung.Cuts():
		if quiet := l.Quiet(ctx); quiet != nil {
			err = fmt.Errorf("%w (%w)", ErrLied, quiet)
		}
	}
	if err != nil {
		return errors.Join(err, l.do(ctx, m, m.On, t)) // leave it as it was
	}
	return nil
}

// resetBy uses a means that only restarts.
func (l *Ladder) resetBy(ctx context.Context, m Means, before Presence, t Times, a *Attempt, start time.Time) error {
	if err := l.do(ctx, m, m.Restart, t); err != nil {
		return err
	}
	if l.Used != nil {
		l.Used()
	}
	patience := t.Vanish
	if m.Rung == Person {
		patience = t.Person
	}
	if before.Present && !l.await(ctx, patience, func(p Presence) bool { return !p.Present || p.Number != before.Number }) {
		return ErrNoEffect
	}
	a.Vanished = time.Since(start)
	return nil
}

// do does a part of a means within its time.
func (l *Ladder) do(ctx context.Context, m Means, f func(context.Context) error, t Times) error {
	patience := t.Means
	if m.Rung == Person {
		patience = t.Person
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return f(ctx)
}

// await waits for what the bus shows.
func (l *Ladder) await(ctx context.Context, patience time.Duration, fits func(Presence) bool) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		p, changed := l.Witness.Look()
		if fits(p) {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// Off takes the board's power by the gentlest means that can keep it off, and
// sees that it is gone. On brings it back.
func (l *Ladder) Off(ctx context.Context) error {
	t := l.Times.complete()
	before, _ := l.Witness.Look()
	if !before.Present {
		return l.offUnseen(ctx, t)
	}
	var errs []error
	for _, m := range l.switches() {
		a := Attempt{Rung: m.Rung, Text: m.Text, Vanished: -1, Back: -1}
		if err := l.off(ctx, m, before, t, &a, time.Now()); err != nil {
			errs = append(errs, fmt.Errorf("%s (%s): %w", m.Rung, m.Text, err))
			continue
		}
		l.note("power: off by %s (%s), gone after %s", m.Rung, m.Text, a.Vanished.Round(time.Millisecond))
		return nil
	}
	if len(errs) == 0 {
		return fmt.Errorf("board %s: %w that can keep it off: a hub port, a relay or a pdu in rigs.yaml", l.Board, ErrNoMeans)
	}
	return fmt.Errorf("board %s cannot be switched off: %w", l.Board, errors.Join(errs...))
}

// offUnseen takes the power of a board that is not on the bus: it may be off, or be
// restarting and come back in a moment. Nothing can be verified, so that every means is
// used; nobody is asked.
func (l *Ladder) offUnseen(ctx context.Context, t Times) error {
	var errs []error
	used := false
	for _, m := range l.switches() {
		if m.Rung == Person {
			continue
		}
		if err := l.do(ctx, m, m.Off, t); err != nil {
			errs = append(errs, fmt.Errorf("%s (%s): %w", m.Rung, m.Text, err))
			continue
		}
		used = true
		l.note("power: off by %s (%s), while it was not on the bus", m.Rung, m.Text)
	}
	if used {
		return nil
	}
	return errors.Join(errs...)
}

// Cut takes the power by the first means that can, and verifies nothing: for a
// moment that must not be missed. It says which means.
func (l *Ladder) Cut(ctx context.Context) (string, error) {
	if list := l.switches(); len(list) > 0 {
		m := list[0]
		l.note("power: cut by %s (%s)", m.Rung, m.Text)
		return m.Text, l.do(ctx, m, m.Off, l.Times.complete())
	}
	return "", fmt.Errorf("board %s: %w that can cut its power: a hub port, a relay or a pdu in rigs.yaml", l.Board, ErrNoMeans)
}

// Gone waits until the board has left the bus, as it does when its power was cut,
// and reports whether it has.
func (l *Ladder) Gone(ctx context.Context) bool {
	return l.await(ctx, l.Times.complete().Vanish, func(p Presence) bool { return !p.Present })
}

// OffTime is how long the power must stay away.
func (l *Ladder) OffTime() time.Duration { return l.Times.complete().Off }

// On brings the power back by every means that may have taken it, and waits for
// the board.
func (l *Ladder) On(ctx context.Context) error {
	t := l.Times.complete()
	var errs []error
	for _, m := range l.switches() {
		if err := l.do(ctx, m, m.On, t); err != nil {
			errs = append(errs, fmt.Errorf("%s (%s): %w", m.Rung, m.Text, err))
		}
	}
	if !l.await(ctx, t.Return, func(p Presence) bool { return p.Present }) {
		return fmt.Errorf("board %s: %w", l.Board, errors.Join(append(errs, ErrNotBack)...))
	}
	return nil
}

// switches are the means that can keep it off, gentlest first.
func (l *Ladder) switches() []Means {
	var list []Means
	for _, m := range l.Means {
		if m.Off != nil {
			list = append(list, m)
		}
	}
	slices.SortStableFunc(list, func(a, b Means) int { return int(a.Rung - b.Rung) })
	return list
}

// Reset restarts the board with its power on, by the means that asks it least: its
// reset pin, then a control request, then what its application has for it.
func (l *Ladder) Reset(ctx context.Context) (Attempt, error) {
	var tried []Attempt
	for _, m := range l.resets() {
		a := l.try(ctx, m)
		if tried = append(tried, a); a.Err == nil {
			return a, nil
		}
		if ctx.Err() != nil {
			return a, context.Cause(ctx)
		}
	}
	if len(tried) == 0 {
		return Attempt{}, fmt.Errorf("board %s: %w that resets it: a control request, \"lines\" or the console's \"reset\" in rigs.yaml", l.Board, ErrNoMeans)
	}
	return tried[len(tried)-1], failure(l.Board, tried)
}

// Resets reports whether something can reset the board with its power on, Cuts
// whether something can take its power.
func (l *Ladder) Resets() bool { return len(l.resets()) > 0 }

// Cuts reports whether something can take the board's power.
func (l *Ladder) Cuts() bool { return len(l.switches()) > 0 }

// resets are the means that reset with the power on, a person excepted, strongest
// first.
func (l *Ladder) resets() []Means {
	var list []Means
	for _, m := range l.Means {
		if m.Restart != nil && m.Off == nil && m.Rung != Person {
			list = append(list, m)
		}
	}
	slices.SortStableFunc(list, func(a, b Means) int { return int(b.Rung - a.Rung) })
	return list
}
