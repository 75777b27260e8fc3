package target

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// An absentee is a Board that can tell that it is not where it should be.
type absentee interface {
	// Absent says why the board is not there although nobody has switched it off, "" if
	// it is.
	Absent() string
	// AwayMax is how long it may be away while it restarts, applies an image or sleeps.
	AwayMax() time.Duration
}

// Absent says why a board is not there although nobody has switched it off: it was
// unplugged, or is broken. "" if it is there, or nobody can tell.
func (d *Device) Absent() string {
	if b, ok := d.board.(absentee); ok {
		return b.Absent()
	}
	return ""
}

// Absentees are the boards of the group that are not there, by their ids, with the
// reasons: what was found of one is no fault of its firmware.
func (g *Group) Absentees() map[string]string {
	var list map[string]string
	for _, d := range g.Devices {
		if why := d.Absent(); why != "" {
			if list == nil {
				list = make(map[string]string)
			}
			list[d.Hex()] = why
		}
	}
	return list
}

// awayMax is how long a board may be off the bus if nobody says it, awayEvery how often
// somebody looks.
const (
	awayMax   = time.Minute
	awayEvery = 500 * time.Millisecond
)

// whileThere returns a context that also ends, with the reason as its cause, when a board
// has been away for longer than it takes to restart: waiting for it is in vain.
func (d *Device) whileThere(ctx context.Context) (context.Context, context.CancelFunc) {
	board, ok := d.board.(absentee)
	if !ok {
		return context.WithCancel(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		for since := time.Now(); ; {
			why := d.Absent()
			if why == "" {
				since = time.Now()
			} else if time.Since(since) > board.AwayMax() {
				cancel(errors.New(why))
				return
			}
			select {
			case <-time.After(awayEvery):
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}

// because puts the reason of an absence in the place of an error that it caused.
func because(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if err == nil || cause == nil || errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) {
		return err
	}
	return cause
}

// Whereabouts says of devices that are not connected which they are, and why if that is known.
func Whereabouts(devices []*Device) string {
	text := ""
	for _, d := range devices {
		if d.Connected() {
			continue
		}
		if text != "" {
			text += "; "
		}
		switch why := d.Absent(); {
		case why != "":
			text += why
		case d.who.Name != "":
			text += fmt.Sprintf("%s (%s)", d.who.Name, d.Hex())
		default:
			text += d.Hex()
		}
		if len(text) > missingMax {
			return text + "; …"
		}
	}
	return text
}

// missingMax bounds the text about those that are missing, in bytes.
const missingMax = 500
