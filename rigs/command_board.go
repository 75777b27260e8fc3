package rigs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/term"

	"github.com/spf13/cobra"

	"github.com/muster/muster/rigs/bench"
	"github.com/muster/muster/rigs/handle"
	"github.com/muster/muster/rigs/inventory"
	"github.com/muster/muster/rigs/lease"
	"github.com/muster/muster/rigs/restapi"
)

// A usageError says that a command was called wrongly.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// Usage marks the error as one of usage.
func (e *usageError) Usage() {}

// An exitError ends the program with a code, when all has been said.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// ExitCode returns the exit code.
func (e *exitError) ExitCode() int { return e.code }

// Exit codes beside 1 for failures and 2 for wrong usage.
const (
	exitInconclusive = 3
	exitInterrupted  = 130
)

// withBoard does something with a board that nobody else has meanwhile.
func withBoard(ctx context.Context, host *handle.Host, name, reason string, do func(*handle.Board) error) (err error) {
	b, err := host.FindSoon(ctx, name)
	if err != nil {
		return err
	}
	d, hangUp, err := desk(ctx, host)
	if err != nil {
		return err
	}
	defer hangUp()
	l, err := d.AcquireAny(ctx, 1, 0, []lease.Request{request(b, name, reason)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lease.ReleaseAll(l)) }()
	b.Hold(l[0].File())
	return do(b)
}

// withKeptBoard is withBoard for what runs other commands, which take the board
// under its lease.
func withKeptBoard(ctx context.Context, host *handle.Host, name, reason string, do func() error) (err error) {
	b, err := host.FindSoon(ctx, name)
	if err != nil {
		return err
	}
	r := request(b, name, reason)
	r.TTL, r.Keep, r.Bound, r.Beat = lease.MaxTTL, true, os.Getpid(), lease.DefaultTTL
	d, hangUp, err := desk(ctx, host)
	if err != nil {
		return err
	}
	defer hangUp()
	l, err := d.AcquireAny(ctx, 1, 0, []lease.Request{r})
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, lease.ReleaseAll(l), d.Release(context.WithoutCancel(ctx), r, false))
	}()
	return do()
}

// desk is where this host's processes agree, and hosts where there is a server.
func desk(ctx context.Context, host *handle.Host) (d *lease.Desk, hangUp func(), err error) {
	d = &lease.Desk{Dir: lease.DefaultDir(), Tell: host.Tell}
	url := os.Getenv(bench.NATSVariable)
	if url == "" {
		return d, func() {}, nil
	}
	if d.Remote, err = lease.Dial(ctx, url); err != nil {
		return nil, nil, err
	}
	return d, d.Remote.Close, nil
}

func request(b *handle.Board, name, reason string) lease.Request {
	key := inventory.Board{Serial: b.Serial, Path: b.Path}.Key()
	if s, err := b.State(); err == nil && s.Serial == b.Serial {
		key = s.Key() // it knows of twins
	}
	return lease.Request{Key: key, Board: name, Reason: reason}
}

// ended makes of an error what the command ends with: an interruption is said in
// one line and has its own exit code.
func ended(ctx context.Context, w io.Writer, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	fmt.Fprintln(w, "muster: interrupted:", err)
	return &exitError{exitInterrupted}
}

// cloudData is the data folder of this user's "muster cloud".
func cloudData() string {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "muster", "cloud")
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "state", "muster", "cloud")
	}
	return "muster-cloud"
}

// api are the flags with which commands reach a cloud's REST API.
type api struct {
	url, tokenFile, ca string
}

// flags are those of all commands that talk to the API; each has its own for the URL.
func (a *api) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.tokenFile, "token-file", "", "file with the access token (default: $MUSTER_TOKEN, else the login of this user's muster cloud)")
	cmd.Flags().StringVar(&a.ca, "cloud-ca", "", "PEM file of a certificate to trust for the API")
}

func (a *api) cloud() (*restapi.Cloud, error) {
	file := a.tokenFile
	if file == "" && os.Getenv(restapi.EnvToken) == "" {
		// A cloud of this user has left its login for this user.
		if login := filepath.Join(cloudData(), "login.txt"); readable(login) {
			file = login
		}
	}
	token, err := restapi.Token(file)
	if err != nil {
		return nil, err
	}
	var ca []byte
	if a.ca != "" {
		if ca, err = os.ReadFile(a.ca); err != nil {
			return nil, fmt.Errorf("--cloud-ca: %w", err)
		}
	}
	c, err := restapi.New(a.url, token, ca)
	if err != nil {
		return nil, &usageError{err}
	}
	return c, nil
}

func readable(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	return f.Close() == nil
}

// isTerminal reports whether somebody looks.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
