package rigs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster/muster/rigs/bench"
	"github.com/muster/muster/rigs/serial"
)

const longConsole = `Prints what a board says until interrupted: the host's time, the board's own time where
its lines tell it, and the line. The console is followed over restarts, unplugging
and sleep, opened again the moment it is there, and logged beside rigs.yaml.

A PORT such as /dev/ttyACM0 is read as it is: no board, no lease, no log; it ends when
the port goes away.`

func consoleCommand(b *benches) *cobra.Command {
	o := serial.Options{Now: time.Now}
	var send bool
	cmd := &cobra.Command{
		Use:   "console BOARD|PORT",
		Short: "Prints what a board says, with the time, until interrupted",
		Long:  longConsole,
		Example: `  muster rig console boron-1
  muster rig console e00fce68aabbccddeeff0011
  muster rig console boron-1 --send < commands.txt
  muster rig console /dev/ttyACM0`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: b.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			if isPort(args[0]) {
				return follow(ctx, cmd.OutOrStdout(), args[0], o)
			}
			return b.follow(ctx, cmd, args[0], o.ShowSecrets, send)
		},
	}
	cmd.Flags().BoolVar(&o.ShowSecrets, "show-secrets", false, "print the device secret, claim codes and passwords as they are, in the log too")
	cmd.Flags().BoolVar(&send, "send", false, "send standard input to the board")
	return cmd
}

// isPort reports whether a name is that of a port and not of a board.
func isPort(name string) bool {
	return strings.ContainsRune(name, '/') || strings.HasPrefix(strings.ToUpper(name), "COM")
}

// follow prints the lines of a board until the context ends, which is no error.
func (b *benches) follow(ctx context.Context, cmd *cobra.Command, which string, secrets, send bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	print := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), format, args...); err != nil {
			cancel(err) // nobody reads any more
		}
	}
	wish := bench.Wish{
		Which: which, Reason: "console", Sick: true, ShowSecrets: secrets,
		OnLine: func(_ string, l serial.Line) { print("%s\n", lineText(l)) },
		OnState: func(_ string, s serial.State) {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s            -- %s\n", s.Time.Format(clockLayout), s.Text)
		},
	}
	err := b.with(ctx, cmd, wish, func(_ *bench.Bench, boards []*bench.Board) error {
		board := boards[0]
		fmt.Fprintf(cmd.ErrOrStderr(), "log: %s; Ctrl-C ends\n", board.Log.Path())
		if send {
			go feed(ctx, cmd.InOrStdin(), board)
		}
		select {
		case <-ctx.Done():
		case <-board.Lease.Done():
			return board.Lease.Err()
		}
		return board.Log.Err()
	})
	if cause := context.Cause(ctx); err == nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// feed sends what is read to the board.
func feed(ctx context.Context, in io.Reader, board *bench.Board) {
	if err := board.Ready(ctx); err != nil {
		return // interrupted
	}
	buffer := make([]byte, 256)
	for ctx.Err() == nil {
		n, err := in.Read(buffer)
		if n > 0 {
			if sent := board.Console.Write(ctx, buffer[:n]); sent != nil {
				fmt.Fprintln(os.Stderr, "muster: not sent:", sent)
			}
		}
		if err != nil {
			return
		}
	}
}

const clockLayout = "15:04:05.000"

// lineText is a line with the host's time and the board's.
func lineText(l serial.Line) string {
	mark := ""
	if l.More {
		mark = " …"
	}
	return fmt.Sprintf("%s %9s  %s%s", l.Time.Format(clockLayout), serial.DeviceTime(l.Device), l.Text, mark)
}

// follow prints the lines of a port until the context ends, which is no error.
func follow(ctx context.Context, w io.Writer, name string, o serial.Options) (err error) {
	c, err := serial.Open(name, o)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // Next tells
	defer func() {
		stop()
		err = errors.Join(err, c.Close())
	}()
	for {
		line, err := c.Next()
		if errors.Is(err, serial.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(w, lineText(line)); err != nil {
			return err
		}
	}
}
