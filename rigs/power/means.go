package power

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/muster/muster/rigs/inventory"
)

// Commands returns a means whose commands a rigs.yaml gives: a relay or a PDU.
// They learn the board by variables of the environment: MUSTER_BOARD,
// MUSTER_SERIAL and MUSTER_USB.
func Commands(r Rung, e inventory.Entry, s inventory.Switch) Means {
	return Means{
		Rung: r, Text: strings.Join(s.Off, " "),
		Off: func(ctx context.Context) error { return run(ctx, e, s.Off) },
		On:  func(ctx context.Context) error { return run(ctx, e, s.On) },
	}
}

// lastWords is how much of the output of a command that fails is told, in bytes.
const lastWords = 300

func run(ctx context.Context, e inventory.Entry, argv []string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(cmd.Environ(), "MUSTER_BOARD="+e.Name, "MUSTER_SERIAL="+e.Serial, "MUSTER_USB="+e.USB)
	cmd.WaitDelay = time.Second // for what it leaves behind with its output
	out, err := cmd.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%q does not end: %w", argv, ctx.Err())
	case err != nil:
		out = bytes.TrimSpace(out)
		return fmt.Errorf("%q: %w: %s", argv, err, out[max(0, len(out)-lastWords):])
	}
	return nil
}

// A Pin is a modem line that is wired to the reset pin of a board.
type Pin interface {
	// Hold holds the board in reset, or lets go.
	Hold(held bool) error
	Close() error
}

// ResetPin returns a means that holds the reset pin for a moment.
func ResetPin(text string, open func() (Pin, error), hold time.Duration) Means {
	if hold == 0 {
		hold = 200 * time.Millisecond
	}
	return Means{Rung: Lines, Text: text, Restart: func(ctx context.Context) error {
		p, err := open()
		if err != nil {
			return err
		}
		err = p.Hold(true)
		if err == nil {
			pause(ctx, hold)
		}
		return errors.Join(err, p.Hold(false), p.Close())
	}}
}

// AskPerson returns a means that asks somebody. Confirm reads an answer; nil
// refuses, as where nobody is there to read it.
func AskPerson(board string, say io.Writer, confirm func(context.Context) error) Means {
	return Means{Rung: Person, Text: "a person", Restart: func(ctx context.Context) error {
		if confirm == nil {
			return errors.New("nobody is there to ask: there is no terminal, or --no-person")
		}
		fmt.Fprintf(say, "\nPlease take the power from board %s (pull its cable and its battery), wait three seconds,\nand put it back. Then press Enter. ", board)
		return confirm(ctx)
	}}
}
