package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// An ExitError carries an exit code. Everything there is to say has been said.
type ExitError struct{ Code int }

// Error implements error.
func (e *ExitError) Error() string { return fmt.Sprintf("exit code %d", e.Code) }

// ExitCode returns the exit code, 1 to 255.
func (e *ExitError) ExitCode() int { return e.Code }

// A UsageError says that the command was called wrongly: nothing ran.
type UsageError struct{ Err error }

// Error returns what is wrong.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the error.
func (e *UsageError) Unwrap() error { return e.Err }

// Usage marks the error as one of usage.
func (e *UsageError) Usage() {}

// The exit codes of the command.
const (
	exitOffline      = 1   // devices are not online
	exitInconclusive = 3   // devices are not online, and this machine was too slow
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

Exit codes: 0 all devices are online at the end, 1 some are not, 2 wrong usage,
3 some are not and this machine lost packets, 130 interrupted.`

// Command returns the sub-command "fleet".
func Command() *cobra.Command {
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
  muster fleet --keys seed:7 --devices 100000 --profile boron@6.2.0 --register fleet.jsonl
                                            the public halves of 100,000 devices, for tests
  muster fleet --keys-out borons --profile boron@6.2.0 --devices 50
                                            50 devices of one kind`,
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			err := s.run(ctx, cmd.OutOrStdout(), cmd.ErrOrStderr())
			if errors.Is(err, context.Canceled) {
				return &ExitError{exitInterrupted}
			}
			return err
		},
	}
	s.flags(cmd)
	return cmd
}

func (s *settings) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.cloud, "cloud", "", "HOST or HOST:PORT of the cloud (ports: UDP 5684, TCP 5683)")
	f.Uint16Var(&s.tcpPort, "tcp-port", 0, "port for devices over TCP, if it is not that of --cloud")
	f.StringArrayVar(&s.cloudKeys, "cloud-key", nil, "public key of the cloud: a file (key blob, DER, PEM) or the cloud's data directory; repeatable")
	f.IntVar(&s.devices, "devices", 0, "how many devices (default: all of --keys, else 100)")
	f.StringArrayVar(&s.profiles, "profile", nil, "kind of device, such as boron@6.2.0; repeatable, taken in turn")
	f.BoolVar(&s.mix, "mix", false, "devices of every generation, over UDP and TCP (the default without --profile)")
	f.Float64Var(&s.rate, "rate", 50, "devices per second that are switched on; 0: all at once")
	f.DurationVar(&s.duration, "duration", time.Minute, "how long to run; 0: until interrupted")
	f.DurationVar(&s.publish, "publish", 0, "how often each device publishes an event; 0: never")
	f.StringVar(&s.keysOut, "keys-out", "", "folder for new keys; without --cloud nothing else is done")
	f.StringVar(&s.keys, "keys", "", "folder with keys that --keys-out made; or seed:NUMBER, for tests only: all keys follow from the number")
	f.StringVar(&s.register, "register", "", "where to put the public keys: a file that ends in .jsonl or .csv, or a folder of PEM files, such as DATA/devices of the reference cloud")
	f.IntVar(&s.rsaMax, "rsa-keys", 0, "most RSA keys to make, 20 ms of CPU each, for devices over TCP, which then share them: not with the reference cloud (default: one a device)")
	f.Uint64Var(&s.seed, "seed", 0, "seed of the devices' jitter (default: drawn)")
	f.BoolVarP(&s.quiet, "quiet", "q", false, "no progress")
	cmd.MarkFlagsMutuallyExclusive("keys", "keys-out")
	cmd.MarkFlagsMutuallyExclusive("profile", "mix")
}
