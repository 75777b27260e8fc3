package rigs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster/muster/protocol/keyblob"
	"github.com/muster/muster/rigs/dfu"
	"github.com/muster/muster/rigs/handle"
	"github.com/muster/muster/rigs/lease"
	"github.com/muster/muster/rigs/provision"
)

const longProvision = `Points a board at a cloud, and puts back what it had.

  1. saves the board's server key and device key, by DFU, on disk
  2. registers the device key with the cloud
  3. writes the server key and the address of the cloud
  4. restarts the board, and sees it connect

Whatever fails before the end puts the old server key back. The device key is never
written. What the board had is owed to it from then on: "--restore" pays that, and
so does the end of the COMMAND behind "--", or of a lease on the board. A journal,
private to its owner, says what is owed; it outlives a killed run and an unplugged
board.

The cloud's public key comes from the data folder of this user's "muster cloud", or
from --server-key. Boards of Device OS 1.1 and later use UDP port 5684, whatever
--cloud says.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted; behind "--" that of
the command.`

// provisioning are the flags of "muster rig provision".
type provisioning struct {
	cloud, serverKey, transport, journal string
	api                                  api
	noRegister, keep, restore, owed      bool
	online                               time.Duration
}

func provisionCommand(host *handle.Host) *cobra.Command {
	var p provisioning
	cmd := &cobra.Command{
		Use:   "provision [BOARD] --cloud HOST [-- COMMAND...]",
		Short: "Points a board at a cloud, and puts back what it had",
		Long:  longProvision,
		Example: `  muster rig provision e00fce68aabbccddeeff0011 --cloud 192.168.1.20
  muster rig provision e00fce68aabbccddeeff0011 --cloud 192.168.1.20 -- make bench-tests
  muster rig provision --owed
  muster rig provision --restore`,
		Args: func(cmd *cobra.Command, args []string) error {
			boards := len(args)
			if dash := cmd.ArgsLenAtDash(); dash >= 0 {
				boards = dash
			}
			switch {
			case p.restore || p.owed:
				return nil
			case boards != 1:
				return errors.New("name one board, and its cloud with --cloud; or use --restore or --owed")
			case p.cloud == "":
				return errors.New("--cloud says where the board shall connect: an IPv4 address or a name, as the board sees it")
			}
			return nil
		},
		ValidArgsFunction: completeBoard(host),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			var command []string
			if dash := cmd.ArgsLenAtDash(); dash >= 0 {
				args, command = args[:dash], args[dash:]
			}
			return ended(ctx, cmd.ErrOrStderr(), p.run(ctx, cmd, host, args, command))
		},
	}
	cmd.Flags().StringVar(&p.cloud, "cloud", "", "the cloud as boards reach it: IPv4 address or name, with a port if it is not the usual one")
	cmd.Flags().StringVar(&p.serverKey, "server-key", cloudData(), "the cloud's public key: a file, DER or PEM, or the data folder of muster cloud")
	cmd.Flags().StringVar(&p.api.url, "api", "", "URL of the cloud's REST API (default: http, the host of --cloud, port 8080)")
	p.api.flags(cmd)
	cmd.Flags().StringVar(&p.transport, "transport", "", "tcp or udp (default: that of the platform)")
	cmd.Flags().BoolVar(&p.noRegister, "no-register", false, "register no key and look at no API: the cloud knows the device already")
	cmd.Flags().BoolVar(&p.keep, "keep", false, "leave a board that does not connect as it is")
	cmd.Flags().DurationVar(&p.online, "within", 3*time.Minute, "how long the board may take to connect")
	cmd.Flags().StringVar(&p.journal, "journal", provision.DefaultDir(), "folder of the journal")
	cmd.Flags().BoolVar(&p.restore, "restore", false, "put back what boards are owed: of the board named, or of all")
	cmd.Flags().BoolVar(&p.owed, "owed", false, "list what boards are owed")
	cmd.MarkFlagsMutuallyExclusive("restore", "owed")
	cmd.MarkFlagsMutuallyExclusive("restore", "cloud")
	cmd.MarkFlagsMutuallyExclusive("owed", "cloud")
	_ = cmd.RegisterFlagCompletionFunc("transport", cobra.FixedCompletions([]string{"tcp", "udp"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (p *provisioning) run(ctx context.Context, cmd *cobra.Command, host *handle.Host, args, command []string) error {
	if err := canRun(command); err != nil {
		return err
	}
	journal, err := openJournal(p.journal)
	if err != nil {
		return err
	}
	w := cmd.OutOrStdout()
	tell := func(stage string) { fmt.Fprintf(cmd.ErrOrStderr(), "  %s\n", stage) }
	pro := &provision.Provisioner{Journal: journal}
	switch {
	case p.owed:
		return listOwed(w, journal)
	case p.restore:
		return restoreAll(ctx, w, host, pro, args, tell)
	}
	if len(command) == 0 {
		return p.point(ctx, w, host, pro, args[0], tell)
	}
	// One lease over all of it; what runs below takes the board under it.
	return withKeptBoard(ctx, host, args[0], "provision", func() error {
		return p.during(ctx, cmd, host, pro, args, command, tell)
	})
}

// during provisions a board for as long as a command runs.
func (p *provisioning) during(ctx context.Context, cmd *cobra.Command, host *handle.Host, pro *provision.Provisioner, args, command []string, tell provision.Tell) error {
	w := cmd.OutOrStdout()
	if err := p.point(ctx, w, host, pro, args[0], tell); err != nil {
		return err
	}
	ran := runCommand(ctx, cmd, command)
	// Whatever the command did, and also when somebody interrupts.
	if err := restoreAll(context.WithoutCancel(ctx), w, host, pro, args, tell); err != nil {
		return errors.Join(err, ran)
	}
	return ran
}

// point provisions one board.
func (p *provisioning) point(ctx context.Context, w io.Writer, host *handle.Host, pro *provision.Provisioner, name string, tell provision.Tell) error {
	leased := p.isLeased(ctx, host, name)
	return withBoard(ctx, host, name, "provision", func(b *handle.Board) error {
		plan, err := p.plan(b)
		if err != nil {
			return err
		}
		plan.Leased = leased
		fmt.Fprintf(w, "%s: to %s over %s\n", b, p.cloud, plan.Transport)
		if err := pro.Provision(ctx, b, plan, tell); err != nil {
			return err
		}
		if plan.API == nil {
			fmt.Fprintf(w, "%s is pointed at %s. Nobody looked whether it connects.\n", b, p.cloud)
			return nil
		}
		fmt.Fprintf(w, "%s is connected to %s.\n", b, p.cloud)
		return nil
	})
}

// isLeased reports whether the board is leased beyond this command.
func (p *provisioning) isLeased(ctx context.Context, host *handle.Host, name string) bool {
	b, err := host.Find(name)
	if err != nil {
		return false
	}
	d, hangUp, err := desk(ctx, host)
	if err != nil {
		return false
	}
	defer hangUp()
	h, held, err := d.Holder(ctx, request(b, name, "").Key)
	return err == nil && held && h.Kept && h.Owner == lease.Me()
}

func (p *provisioning) plan(b *handle.Board) (provision.Plan, error) {
	plan := provision.Plan{Transport: dfu.TransportOf(b.Platform), Online: p.online, Keep: p.keep}
	switch strings.ToLower(p.transport) {
	case "":
	case "tcp":
		plan.Transport = keyblob.TCP
	case "udp":
		plan.Transport = keyblob.UDP
	default:
		return plan, &usageError{fmt.Errorf("--transport %s: want tcp or udp", p.transport)}
	}
	var err error
	if plan.Address, err = provision.ParseHost(p.cloud, plan.Transport); err != nil {
		return plan, &usageError{err}
	}
	if plan.ServerKey, err = provision.LoadServerKey(p.serverKey, plan.Transport); err != nil {
		return plan, err
	}
	if p.noRegister {
		return plan, nil
	}
	a := p.api
	if a.url == "" {
		host := p.cloud
		if name, _, err := net.SplitHostPort(p.cloud); err == nil {
			host = name
		}
		a.url = "http://" + net.JoinHostPort(host, "8080")
	}
	plan.API, err = a.cloud()
	return plan, err
}

// listOwed writes what is owed, and nothing of keys.
func listOwed(w io.Writer, journal *provision.Journal) error {
	all, err := journal.Owed()
	for _, r := range all {
		what := "its old server key"
		if r.Server == nil {
			what = "only a restart: nothing was written to it"
		}
		fmt.Fprintf(w, "%s is owed %s (pointed at %s on %s by %s)\n", r, what, orNobody(r.Cloud), r.Began.Local().Format("2006-01-02 15:04"), r.By)
	}
	if len(all) == 0 && err == nil {
		fmt.Fprintln(w, "No board is owed anything.")
	}
	return err
}

func orNobody(s string) string {
	if s == "" {
		return "nobody"
	}
	return s
}

// restoreAll pays what is owed to the boards named, or to all.
func restoreAll(ctx context.Context, w io.Writer, host *handle.Host, pro *provision.Provisioner, names []string, tell provision.Tell) error {
	all, err := pro.Journal.Owed()
	if len(names) > 0 {
		var wanted []*provision.Record
		for _, name := range names {
			r := recordOf(host, pro.Journal, all, name)
			var wrong interface{ Usage() }
			if _, unknown := host.Find(name); r == nil && errors.As(unknown, &wrong) {
				return unknown
			}
			if r == nil {
				fmt.Fprintf(w, "%s is owed nothing.\n", name)
				continue
			}
			wanted = append(wanted, r)
		}
		all = wanted
	}
	for _, r := range all {
		fmt.Fprintf(w, "%s: putting back what it had\n", r)
		failed := restoreOne(ctx, host, pro, r, tell)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", r, failed))
			continue
		}
		fmt.Fprintf(w, "%s has what it had.\n", r)
	}
	if len(all) == 0 && len(names) == 0 && err == nil {
		fmt.Fprintln(w, "No board is owed anything.")
	}
	return err
}

func restoreOne(ctx context.Context, host *handle.Host, pro *provision.Provisioner, r *provision.Record, tell provision.Tell) error {
	name := r.Serial
	if name == "" {
		name = r.Path
	}
	err := withBoard(ctx, host, name, "restore", func(b *handle.Board) error { return pro.Restore(ctx, b.Host(), r, tell) })
	if errors.Is(err, handle.ErrNoBoard) {
		// In DFU mode some boards have no serial number; the record knows its place.
		err = pro.Restore(ctx, host, r, tell)
	}
	if provision.IsNothingOwed(err) {
		return nil // somebody was faster
	}
	return err
}

// payOwed puts back what boards are owed, at the end of a lease on them. A board
// that cannot be paid is told, and stays owed.
func payOwed(ctx context.Context, cmd *cobra.Command, host *handle.Host, names []string) error {
	if _, err := os.Stat(provision.DefaultDir()); err != nil {
		return nil //nolint:nilerr // nobody was ever provisioned
	}
	journal, err := openJournal(provision.DefaultDir())
	if err != nil {
		return err
	}
	all, err := journal.Owed()
	tell := func(stage string) { fmt.Fprintf(cmd.ErrOrStderr(), "  %s\n", stage) }
	for _, name := range names {
		r := recordOf(host, journal, all, name)
		if r == nil {
			continue
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: putting back what it had before it was pointed at %s\n", name, orNobody(r.Cloud))
		if failed := restoreOne(ctx, host, &provision.Provisioner{Journal: journal}, r, tell); failed != nil {
			err = errors.Join(err, fmt.Errorf("%s is still owed its old server key: \"muster rig restore %s\": %w", name, name, failed))
		}
	}
	return err
}

// recordOf finds the record of a board by what a person typed; the board may be
// away.
func recordOf(host *handle.Host, journal *provision.Journal, all []*provision.Record, name string) *provision.Record {
	names := []string{name}
	if host.Name != nil {
		names = append(names, host.Name(name)) // what rigs.yaml says of it
	}
	for _, r := range all {
		for _, name := range names {
			if strings.EqualFold(r.Serial, name) || r.Path == name {
				return r
			}
		}
	}
	if b, err := host.Find(name); err == nil {
		if r, err := journal.OwedTo(b); err == nil {
			return r
		}
	}
	return nil
}

// canRun says what is wrong with a command before anything is done for it.
func canRun(command []string) error {
	if len(command) == 0 {
		return nil
	}
	if _, err := exec.LookPath(command[0]); err != nil {
		return &usageError{fmt.Errorf("the command behind --: %w", err)}
	}
	return nil
}

// runCommand runs the command behind "--" and returns its exit code as an error.
// A Ctrl-C reaches it from the terminal; it is waited for. Where the system can
// say so, it is told to end when this process is killed: the boards are free then.
func runCommand(ctx context.Context, cmd *cobra.Command, command []string) error {
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, cmd.OutOrStdout(), cmd.ErrOrStderr()
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = time.Minute
	c.SysProcAttr = mortal()
	// Linux takes the end of the thread that started it for the parent's.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := c.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 && ctx.Err() == nil {
		return &exitError{exit.ExitCode()}
	}
	return err
}
