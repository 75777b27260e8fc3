package rigs

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/spf13/cobra"

	"github.com/muster/muster/rigs/bench"
	"github.com/muster/muster/rigs/inventory"
	"github.com/muster/muster/rigs/listening"
	"github.com/muster/muster/rigs/power"
)

const longPower = `Restarts a board, or switches its power.

  reset    restart it by the gentlest means that works
  cycle    take its power away and bring it back
  off      take its power away, and leave it off
  on       bring it back

The means, gentlest first, as far as a board has them: soft (a text on its console),
control (USB control request), lines (its reset pin by a modem line), relay, hub (its
USB hub port), pdu, person. Each is verified: the board must leave the bus, come back,
answer, and start its clock anew. Each is counted; a board that nothing brings back,
or that needs its power cut too often, goes into quarantine.`

// powering are the flags of "muster rig power".
type powering struct {
	from, with string
}

func powerCommand(b *benches) *cobra.Command {
	var p powering
	cmd := &cobra.Command{
		Use:   "power reset|cycle|off|on BOARD",
		Short: "Restarts a board, or switches its power",
		Long:  longPower,
		Example: `  muster rig power reset boron-1
  muster rig power cycle boron-1 --with hub`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.ExactArgs(2)(cmd, args); err != nil {
				return err
			}
			switch args[0] {
			case "reset", "cycle", "off", "on":
				return nil
			}
			return fmt.Errorf("%q: want reset, cycle, off or on", args[0])
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return []string{"reset", "cycle", "off", "on"}, cobra.ShellCompDirectiveNoFileComp
			}
			return b.complete(cmd, args[1:], typed)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			wish := bench.Wish{Which: args[1], Reason: "power " + args[0], Sick: true, Note: func(_, text string) {
				fmt.Fprintln(cmd.ErrOrStderr(), text)
			}}
			return ended(ctx, cmd.ErrOrStderr(), b.with(ctx, cmd, wish, func(_ *bench.Bench, boards []*bench.Board) error {
				return p.run(ctx, args[0], boards[0])
			}))
		},
	}
	cmd.Flags().StringVar(&p.from, "from", "", "the gentlest means to try (default: soft; relay for cycle)")
	cmd.Flags().StringVar(&p.with, "with", "", "this means and no other")
	cmd.Flags().BoolVar(&b.noPerson, "no-person", false, "ask nobody for help")
	cmd.MarkFlagsMutuallyExclusive("from", "with")
	means := cobra.FixedCompletions([]string{"soft", "control", "lines", "relay", "hub", "pdu", "person"}, cobra.ShellCompDirectiveNoFileComp)
	_ = cmd.RegisterFlagCompletionFunc("from", means)
	_ = cmd.RegisterFlagCompletionFunc("with", means)
	return cmd
}

func (p *powering) run(ctx context.Context, what string, board *bench.Board) error {
	from := power.Soft
	if what == "cycle" {
		from = power.Relay
	}
	var err error
	for _, name := range []string{p.from, p.with} {
		if name == "" {
			continue
		}
		if from, err = power.ParseRung(name); err != nil {
			return &usageError{err}
		}
	}
	switch {
	case what == "off":
		return board.Ladder().Off(ctx)
	case what == "on":
		return board.Ladder().On(ctx)
	case p.with != "":
		_, err := board.Ladder().Use(ctx, from)
		return err
	}
	return board.Recover(ctx, from)
}

func touchCommand(b *benches) *cobra.Command {
	return &cobra.Command{
		Use:   "touch dfu|listen BOARD",
		Short: "Puts a board into DFU or listening mode by the speed of its console",
		Long: `Opens the console of a board at the speed that means a mode: 14,400 baud for DFU mode, 28,800 for
listening mode. Device OS 6.0 and later ignores the second; "muster rig control BOARD listen" works there.
Applications can change both: "touch" in rigs.yaml.`,
		Args: cobra.ExactArgs(2),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return []string{"dfu", "listen"}, cobra.ShellCompDirectiveNoFileComp
			}
			return b.complete(cmd, args[1:], typed)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			if args[0] != "dfu" && args[0] != "listen" {
				return &usageError{fmt.Errorf("%q: want dfu or listen", args[0])}
			}
			return ended(ctx, cmd.ErrOrStderr(), b.with(ctx, cmd, bench.Wish{Which: args[1], Reason: "touch", Sick: true}, func(_ *bench.Bench, boards []*bench.Board) error {
				board := boards[0]
				ready, cancel := context.WithTimeout(ctx, patience)
				defer cancel()
				if s, _, err := board.Sighting(); err == nil && s.State == inventory.InDFU && args[0] == "dfu" {
					_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is in DFU mode already\n", board.Name())
					return err
				}
				if err := board.Ready(ready); err != nil {
					return err
				}
				if args[0] == "dfu" {
					return touchDFU(ready, cmd, board)
				}
				return touchListen(ctx, cmd, board)
			}))
		},
	}
}

// patience is how long a board may take for what a person waits for.
const patience = 15 * time.Second

func touchDFU(ctx context.Context, cmd *cobra.Command, board *bench.Board) error {
	if err := board.Console.Touch(orStandard(board.Entry.Touch.DFU, 14400)); err != nil {
		return err
	}
	for {
		s, changed, err := board.Sighting()
		if err != nil {
			return err
		}
		if s.State == inventory.InDFU {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is in DFU mode\n", board.Name())
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			board.Console.Calm()
			return fmt.Errorf("board %s does not enter DFU mode: it hangs (\"muster rig power reset %s\"), or its application uses another speed (\"touch\" in rigs.yaml)", board.Name(), board.Name())
		}
	}
}

func touchListen(ctx context.Context, cmd *cobra.Command, board *bench.Board) error {
	ignored := fmt.Errorf("board %s does not listen: Device OS 6.0 and later ignores the touch (\"muster rig control %s listen\" works there), or it hangs", board.Name(), board.Name())
	if v, err := semver.NewVersion(board.Release(ctx)); err == nil && v.Major() >= 6 {
		return ignored // and its application would get the letters
	}
	if err := board.Console.Touch(orStandard(board.Entry.Touch.Listen, 28800)); err != nil {
		return err
	}
	version, err := listening.Version(ctx, board.Console)
	board.Console.Calm()
	if errors.Is(err, listening.ErrFormat) {
		// It listened already, and the touch has it wait for a file, which a ends.
		if err := stopWaiting(ctx, board); err != nil {
			return err
		}
		version, err = listening.Version(ctx, board.Console)
	}
	if errors.Is(err, listening.ErrNotListening) || errors.Is(err, listening.ErrFormat) {
		return ignored
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is in listening mode, Device OS %s\n", board.Name(), version)
	return err
}

// stopWaiting has a board that waits for a file give that up.
func stopWaiting(ctx context.Context, board *bench.Board) error {
	ear := board.Console.Hear()
	defer ear.Close()
	if err := board.Console.Write(ctx, []byte{'a'}); err != nil {
		return err
	}
	_, err := ear.Quiet(ctx, listening.Quiet)
	return err
}

func orStandard(n, standard int) int {
	if n != 0 {
		return n
	}
	return standard
}
