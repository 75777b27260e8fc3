package flash

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/rigs/handle"
)

// How long a board may take to tell its modules, and when it is asked again: it
// listens a moment after it was told to.
const (
	consolePatience = 10 * time.Second
	consoleAgain    = time.Second
	consoleMoment   = 300 * time.Millisecond
)

// consoleModules asks a board that takes no control requests for its modules: in
// listening mode, which it enters by the speed of its console (up to Device OS 5.x),
// s tells them. It leaves listening mode.
func consoleModules(ctx context.Context, b *handle.Board) ([]pdc.ModuleInfo, error) {
	s, err := b.Running(ctx)
	if err != nil {
		return nil, err
	}
	if b.Listen(ctx) != nil {
		if err := b.TouchToListen(ctx); err != nil {
			return nil, err
		}
	}
	c, err := b.Console(s)
	if err != nil {
		return nil, err
	}
	told, err := askModules(ctx, c)
	if err = errors.Join(err, leave(c), c.Close()); err != nil {
		return nil, err
	}
	describe, err := pdc.ParseSystemDescribeJSON(told)
	if err != nil {
		return nil, fmt.Errorf("what its console tells of its modules is not understood: %w", err)
	}
	return describe.Modules, nil
}

// leave ends listening mode, and gives the board a moment to read that before the
// console is closed.
func leave(c handle.Console) error {
	_, err := c.Write([]byte{'x'})
	for began := time.Now(); err == nil && time.Since(began) < consoleMoment; {
		_, err = c.Read(make([]byte, 4096))
	}
	return err
}

// askModules asks until a JSON object has come.
func askModules(ctx context.Context, c handle.Console) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, consolePatience)
	defer cancel()
	var got []byte
	var asked time.Time
	b := make([]byte, 4096)
	for ctx.Err() == nil {
		if at := bytes.Index(got, []byte(`{"p":`)); at >= 0 {
			var whole json.RawMessage
			if json.NewDecoder(bytes.NewReader(got[at:])).Decode(&whole) == nil {
				return whole, nil
			}
		} else if time.Since(asked) > consoleAgain {
			asked = time.Now()
			if _, err := c.Write([]byte{'s'}); err != nil {
				return nil, err
			}
		}
		n, err := c.Read(b)
		if err != nil {
			return nil, err
		}
		got = append(got, b[:n]...)
	}
	return nil, errors.New("its console tells no modules: Device OS 6.0 and later enter listening mode by a control request or a button only")
}
