package command

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/fleetcompare"
	"github.com/muster/muster/sim/fleetreport"
	"github.com/muster/muster/sim/profile"
	"github.com/muster/muster/sim/workers"
)

// The exit codes of the commands.
const (
	exitFailed       = 1   // a threshold failed
	exitInconclusive = 3   // what was measured says nothing
	exitInterrupted  = 130 // by a signal, before the end
)

const longFleet = `Simulate a fleet of devices against a cloud.

Each device does what a board with its Device OS release does: it connects with
its own key, says hello, describes itself, subscribes, pings, and resumes its
session when it has lost its network.

A cloud lets in devices whose public keys it knows. So make the keys once
(--keys-out), bring the public halves to the cloud (--register, for the reference
cloud), and run with them (--keys).

For tests with very many devices, --keys seed:NUMBER derives all keys and ids from
a number, with no file for each. Whoever knows the number has every key: use it
with clouds made for tests only. --register FILE.jsonl writes the public halves
to one file, which "muster cloud device import" reads.

Towards a cloud on 127.0.0.0/8 each device has an address of its own on a few
sockets. Towards another cloud each has a socket of its own, up to the hard limit
of open files (ulimit -Hn).

What more than arriving and publishing is to be seen is said in a scenario file:
"muster fleet run".

Exit codes: 0 all devices are online at the end, 1 some are not, 2 wrong usage,
3 the result says nothing because this machine was too slow, 130 interrupted.`

// Command returns the sub-command "fleet"; more are sub-commands of it that others
// bring.
func Command(more ...*cobra.Command) *cobra.Command {
	s := &settings{}
	cmd := &cobra.Command{
		Use:   "fleet",
		Short: "Simulate a fleet of devices against a cloud",
		Long:  longFleet,
		Example: `  D=~/.local/state/muster/cloud
  muster fleet --keys-out fleet --devices 1000 --register $D/devices
                                            make 1,000 devices and register them
  muster fleet --keys fleet --cloud 127.0.0.1 --cloud-key $D
                                            connect them for a minute
  muster fleet --keys fleet --cloud 127.0.0.1 --cloud-key $D --publish 10s --duration 1h
                                            each publishes an event every ten seconds
  muster fleet --register $D/devices --cloud 127.0.0.1 --cloud-key $D
                                            a hundred devices with keys of this run alone
  muster fleet --keys seed:7 --devices 100000 --profile boron@6.2.0 --register fleet.jsonl
                                            the public halves of 100,000 devices, for tests
  muster fleet run storm.yaml --register $D/devices --cloud 127.0.0.1 --cloud-key $D
                                            what a scenario file says`,
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.withSignals(cmd, func(ctx context.Context, say *console) error {
				if err := s.checkQuick(); err != nil {
					return &fleet.UsageError{Err: err}
				}
				sc, err := s.quick()
				if err != nil {
					return &fleet.UsageError{Err: err}
				}
				return s.run(ctx, job{scenario: sc, endless: s.duration == 0}, cmd.OutOrStdout(), say)
			})
		},
	}
	s.runFlags(cmd)
	s.keyFlags(cmd)
	f := cmd.Flags()
	f.IntVar(&s.devices, "devices", 0, "how many devices (default: all of --keys, else 100)")
	f.StringArrayVar(&s.profiles, "profile", nil, "kind of device, such as boron@6.2.0; repeatable, taken in turn")
	f.BoolVar(&s.mix, "mix", false, "devices of every generation, over UDP and TCP (the default without --profile)")
	f.Float64Var(&s.rate, "rate", 50, "devices per second that are switched on; 0: all at once")
	f.DurationVar(&s.duration, "duration", time.Minute, "how long to run; 0: until interrupted")
	f.DurationVar(&s.publish, "publish", 0, "how often each device publishes an event; 0: never")
	f.BoolVar(&s.noAck, "no-ack", false, "publish events that ask for no acknowledgement (NO_ACK), which over TCP not every cloud gives")
	cmd.MarkFlagsMutuallyExclusive("profile", "mix")
	_ = cmd.RegisterFlagCompletionFunc("profile", profileNames)
	cmd.AddCommand(runCommand(), checkCommand(), keysCommand(), workers.WorkerCommand(), fleetreport.Command(), fleetcompare.Command())
	cmd.AddCommand(more...)
	return cmd
}

// profileNames completes the name of a kind of device.
func profileNames(*cobra.Command, []string, string) (names []string, _ cobra.ShellCompDirective) {
	for _, p := range profile.All() {
		names = append(names, p.String())
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// withSignals does something until it is interrupted; a second signal ends the
// process at once.
func (s *settings) withSignals(cmd *cobra.Command, do func(ctx context.Context, say *console) error) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	err := do(ctx, newConsole(cmd.ErrOrStderr(), s.quiet))
	if errors.Is(err, context.Canceled) {
		return &fleet.ExitError{Code: exitInterrupted}
	}
	return err
}
