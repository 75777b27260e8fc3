package rigs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster/muster/rigs/bench"
	"github.com/muster/muster/rigs/handle"
	"github.com/muster/muster/rigs/inventory"
	"github.com/muster/muster/rigs/lease"
)

const longLease = `Takes a board, or some of a pool, so that nobody else has them meanwhile.

With a COMMAND behind "--" the boards are taken while it runs; it finds their names
in $MUSTER_RIG_BOARDS. However it ends, also by kill -9, they are free again.

Without one the lease stays when this command has ended: until --for is over, until
"muster rig release", or until the shell or job that ran this command ends. With
--keep it does not end with that. Your own commands work on the board meanwhile, one
at a time.

Hosts that share boards agree through NATS JetStream: set $MUSTER_RIG_NATS to its URL
on all of them.`

// leasing are the flags of "muster rig lease".
type leasing struct {
	count  int
	period time.Duration
	wait   time.Duration
	reason string
	keep   bool
}

func leaseCommand(b *benches, h *handle.Host) *cobra.Command {
	var l leasing
	cmd := &cobra.Command{
		Use:   "lease BOARD|pool=NAME [-- COMMAND...]",
		Short: "Takes boards, so that nobody else has them",
		Long:  longLease,
		Example: `  muster rig lease boron-1 --reason "hunting the resume bug" --for 2h
  muster rig lease pool=boron --count 2 --wait 10m -- make bench-tests`,
		Args: func(cmd *cobra.Command, args []string) error {
			if boards := cmd.ArgsLenAtDash(); boards >= 0 {
				args = args[:boards]
			}
			return cobra.ExactArgs(1)(cmd, args)
		},
		ValidArgsFunction: b.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return ended(ctx, cmd.ErrOrStderr(), l.run(ctx, cmd, b, h, args[0], args[1:]))
		},
	}
	cmd.Flags().IntVar(&l.count, "count", 1, "how many boards of the pool")
	cmd.Flags().DurationVar(&l.period, "for", time.Hour, "how long, at most a week; without a command")
	cmd.Flags().DurationVar(&l.wait, "wait", 0, "how long to wait for boards that others have")
	cmd.Flags().StringVar(&l.reason, "reason", "", "what for: others will read it")
	cmd.Flags().BoolVar(&l.keep, "keep", false, "the lease outlives the shell or job that took it")
	return cmd
}

func (l *leasing) run(ctx context.Context, cmd *cobra.Command, b *benches, h *handle.Host, which string, command []string) (err error) {
	if err := canRun(command); err != nil {
		return err
	}
	opened, err := b.open(ctx, cmd)
	if err != nil {
		return err
	}
	defer opened.Close()
	requests, err := opened.Requests(bench.Wish{Which: which, Count: l.count, Reason: l.reason})
	if err != nil {
		return err
	}
	for i := range requests {
		r := &requests[i]
		r.Keep, r.TTL, r.Bound = true, l.period, os.Getppid()
		switch {
		case len(command) > 0:
			// What runs takes the boards under this lease.
			r.TTL, r.Bound, r.Beat = lease.MaxTTL, os.Getpid(), lease.DefaultTTL
		case l.keep || r.Bound == 1: // bound to process 1 is bound to nothing
			r.Bound = 0
		}
	}
	leases, err := opened.Desk.AcquireAny(ctx, l.count, l.wait, requests)
	if err != nil {
		return err
	}
	var names []string
	for _, one := range leases {
		names = append(names, one.Board())
	}
	if len(command) == 0 {
		for _, one := range leases {
			until := one.Holder().Until.Local().Format("2006-01-02 15:04")
			if bound := requests[0].Bound; bound != 0 {
				until += fmt.Sprintf(", or until the shell or job that took it ends (process %d; --keep: not even then)", bound)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is yours until %s\n", one.Board(), until)
		}
		return nil
	}
	held := ctx
	for _, one := range leases {
		var stop context.CancelFunc
		held, stop = one.Context(held)
		defer stop()
	}
	defer func() {
		err = errors.Join(err, payOwed(context.WithoutCancel(ctx), cmd, h, names), lease.ReleaseAll(leases))
		for _, one := range leases {
			if lost := one.Err(); lost != nil {
				err = errors.Join(err, lost)
				return // another has it
			}
		}
		for i := range requests {
			for _, name := range names {
				if requests[i].Board == name {
					err = errors.Join(err, opened.Desk.Release(context.WithoutCancel(ctx), requests[i], false))
				}
			}
		}
	}()
	fmt.Fprintf(cmd.ErrOrStderr(), "%s taken\n", strings.Join(names, ", "))
	if err := os.Setenv("MUSTER_RIG_BOARDS", strings.Join(names, " ")); err != nil {
		return err
	}
	return runCommand(held, cmd, command)
}

func releaseCommand(b *benches, h *handle.Host) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:               "release BOARD",
		Short:             "Ends a lease that outlived its command",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: b.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			return b.entry(cmd, args[0], func(opened *bench.Bench, e inventory.Entry) error {
				return release(cmd, opened, h, e, args, force)
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also a lease of somebody else")
	return cmd
}

func release(cmd *cobra.Command, opened *bench.Bench, h *handle.Host, e inventory.Entry, names []string, force bool) error {
	s, _, err := opened.Locate(e)
	if err != nil {
		return err
	}
	if s.State == inventory.Ambiguous {
		return errors.New(s.Reason())
	}
	var owed error
	if !force { // what somebody else's boards are owed is in their journal
		owed = payOwed(cmd.Context(), cmd, h, names)
	}
	if err := opened.Desk.Release(cmd.Context(), lease.Request{Key: s.Key(), Board: e.Name}, force); err != nil {
		return errors.Join(err, owed)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is free\n", e.Name)
	return errors.Join(err, owed)
}
