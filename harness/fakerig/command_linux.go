package fakerig

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/rigs/inventory"
	"github.com/muster/muster/rigs/rigtest"
	"github.com/muster/muster/sim/profile"
)

// offeredSize is that of the images that the bench offers, in bytes.
const offeredSize = 48_000

// Command returns "muster rig fake".
func Command() *cobra.Command {
	var dir string
	var delay time.Duration
	cmd := &cobra.Command{
		Use:   "fake [BOARD[@RELEASE] ...] [-- COMMAND ...]",
		Short: "Plugs in fake boards, to try everything without hardware",
		Long: `Plugs in fake boards, to try everything without hardware: their consoles are pseudo-terminals, and a simulated
device in each connects to the cloud that the board was pointed at. All "muster rig" commands, "muster conform
--device rig:…" and other programs work on them: picocom, screen, Particle's CLI, lrzsz.

With a COMMAND it runs that with the bench in its environment, and ends with its exit code. Without one it says what
to set in other shells, and takes what happens to the boards from its standard input ("help" lists it).`,
		Example: `  muster rig fake                                             a Boron with Device OS 6.2.0
  muster rig fake boron@6.2.0 photon@2.3.1 p2                 three boards
  muster rig fake boron -- muster rig list                    one command on such a bench
  muster rig fake boron -- muster conform --device rig:boron-1
  muster rig fake boron boron boron -- muster conform --device rig:pool=boron*3`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			boards, command := args, []string(nil)
			if at := cmd.ArgsLenAtDash(); at >= 0 {
				boards, command = args[:at], args[at:]
				if len(command) == 0 {
					return usageError{errors.New("behind -- there is no command")}
				}
			}
			return show(ctx, cmd, dir, delay, boards, command)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return boardNames(), cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "folder for the bench, which must not exist yet and goes with it (default: a new one)")
	cmd.Flags().DurationVar(&delay, "delay", 0, "how long a datagram takes between a device and its cloud, as over a modem")
	_ = cmd.MarkFlagDirname("dir")
	return cmd
}

// usageError is a wrong command line.
type usageError struct{ error }

// Usage makes the exit code that of wrong usage.
func (usageError) Usage() {}

// exitError is the exit code of the command that was run.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }
func (e exitError) ExitCode() int { return int(e) }

// show has a bench until it is interrupted, its standard input ends, or the
// command does.
func show(ctx context.Context, cmd *cobra.Command, dir string, delay time.Duration, boards, command []string) error {
	if len(boards) == 0 {
		boards = []string{"boron"}
	}
	names, profiles, err := named(boards)
	if err != nil {
		return usageError{err}
	}
	if len(command) > 0 {
		if _, err := exec.LookPath(command[0]); err != nil {
			return usageError{fmt.Errorf("the command behind --: %w", err)}
		}
	}
	if dir, err = benchDir(dir); err != nil {
		return err
	}
	b, env, err := open(dir, delay, names, profiles)
	if err != nil {
		return err
	}
	if len(command) > 0 {
		err = runCommand(ctx, cmd, command, env)
	} else {
		err = b.attend(ctx, cmd.InOrStdin(), cmd.OutOrStdout())
	}
	if ctx.Err() != nil && len(command) == 0 {
		err = nil // that is how it ends
	}
	return errors.Join(err, b.Close())
}

// named gives boards their names: boron-1, boron-2, photon-1.
func named(boards []string) (names, profiles []string, err error) {
	count := make(map[string]int)
	for _, b := range boards {
		kind, release, given := strings.Cut(b, "@")
		if !given {
			if release, err = newest(kind); err != nil {
				return nil, nil, err
			}
		}
		p, err := profile.Lookup(kind + "@" + release)
		if err != nil {
			return nil, nil, err
		}
		if p.Board.Virtual {
			return nil, nil, fmt.Errorf("%s is a program and no board: muster conform --device process:… judges those", kind)
		}
		count[kind]++
		names, profiles = append(names, fmt.Sprintf("%s-%d", kind, count[kind])), append(profiles, kind+"@"+release)
	}
	return names, profiles, nil
}

// newest is the newest release that a kind of board has.
func newest(kind string) (string, error) {
	release := ""
	for _, p := range profile.All() {
		if p.Board.Name == kind {
			release = p.Version.Name
		}
	}
	if release == "" {
		return "", fmt.Errorf("there is no board %q; there are %s", kind, strings.Join(boardNames(), ", "))
	}
	return release, nil
}

// boardNames are the kinds of boards.
func boardNames() (names []string) {
	for _, b := range profile.Boards() {
		if !b.Virtual {
			names = append(names, b.Name)
		}
	}
	return names
}

func benchDir(dir string) (string, error) {
	if dir == "" {
		return os.MkdirTemp("", "muster-bench-")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, 0o755); errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("%s exists already: the bench needs a folder of its own, which it takes away at its end", dir)
	} else if err != nil {
		return "", fmt.Errorf("a folder for the bench: %w", err)
	}
	return dir, nil
}

// open makes a bench that other programs find by their environment.
func open(dir string, delay time.Duration, names, profiles []string) (*Bench, []string, error) {
	bench, err := rigtest.NewIn(dir)
	if err != nil {
		return nil, nil, err
	}
	b, err := fill(dir, bench, time.Second, names, profiles)
	if err != nil {
		return nil, nil, err
	}
	b.SetDelay(delay)
	fail := func(err error) (*Bench, []string, error) { return nil, nil, errors.Join(err, b.Close()) }
	if err := b.ServeControl(); err != nil {
		return fail(err)
	}
	if err := errors.Join(b.writeImages(), b.writeUdevadm()); err != nil {
		return fail(err)
	}
	env, err := b.environment()
	if err != nil {
		return fail(err)
	}
	return b, env, nil
}

// environment is what other programs need to work on the bench. It stands in its
// file env, too, for shells.
func (b *Bench) environment() ([]string, error) {
	var r [2]byte
	if _, err := rand.Read(r[:]); err != nil {
		return nil, err
	}
	cloud := netip.AddrFrom4([4]byte{127, 99, r[0], 1 + r[1]%250})
	env := []string{
		inventory.RootVariable + "=" + b.dir,
		"MUSTER_RIGS=" + filepath.Join(b.dir, "rigs.yaml"),
		"MUSTER_RIG_HOST=" + cloud.String(), // where muster conform has its cloud
		"MUSTER_LOCK_DIR=" + filepath.Join(b.dir, "locks"),
		"MUSTER_DFU_UTIL=" + b.Host.DFU.Program,
		"PATH=" + b.dir + ":" + os.Getenv("PATH"), // of its dfu-util and udevadm, for others
	}
	var s strings.Builder
	for _, v := range env {
		name, value, _ := strings.Cut(v, "=")
		if name == "PATH" {
			value = b.dir + `:$PATH`
		}
		fmt.Fprintf(&s, "export %s=\"%s\"\n", name, value)
	}
	return env, os.WriteFile(filepath.Join(b.dir, "env"), []byte(s.String()), 0o644) //nolint:gosec // no secrets
}

// writeImages writes an application for each board, newer than the one it has.
func (b *Bench) writeImages() error {
	for i, s := range b.devices {
		d := &target.Device{Profile: s.profile, ID: s.id}
		if err := os.WriteFile(filepath.Join(b.dir, b.names[i]+".bin"), target.Image(d, offeredSize), 0o644); err != nil { //nolint:gosec // no secrets
			return err
		}
	}
	return nil
}

func runCommand(ctx context.Context, cmd *cobra.Command, command, env []string) error {
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.Stdin, c.Stdout, c.Stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	c.Env = append(os.Environ(), env...)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = time.Minute
	err := c.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exitError(exit.ExitCode())
	}
	return err
}
