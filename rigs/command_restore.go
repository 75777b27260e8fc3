package rigs

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/muster/muster/rigs/handle"
	"github.com/muster/muster/rigs/lease"
	"github.com/muster/muster/rigs/provision"
)

// noticeDir is where everybody on this host reads which boards are owed something.
func noticeDir() string { return filepath.Join(lease.DefaultDir(), "owed") }

// openJournal opens a journal that tells everybody what is owed.
func openJournal(dir string) (*provision.Journal, error) {
	j, err := provision.OpenJournal(dir)
	if err == nil {
		j.Public(noticeDir())
	}
	return j, err
}

func restoreCommand(host *handle.Host) *cobra.Command {
	var journal string
	var list bool
	cmd := &cobra.Command{
		Use:   "restore [BOARD...]",
		Short: "Puts back what boards are owed: their own server keys",
		Long: `Puts back what boards had before they were pointed at another cloud: of the boards named, or of all.
What is owed is in the journal of the user who pointed them there; root pays what anybody owes.`,
		Example: `  muster rig restore --list
  muster rig restore
  muster rig restore e00fce68aabbccddeeff0011`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return boardNames(host), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return ended(ctx, cmd.ErrOrStderr(), restoreEverywhere(ctx, cmd, host, journal, list, args))
		},
	}
	cmd.Flags().StringVar(&journal, "journal", provision.DefaultDir(), "folder of the journal")
	cmd.Flags().BoolVar(&list, "list", false, "say what boards are owed, by anybody, and restore nothing")
	return cmd
}

// restoreEverywhere pays what is owed by the own journal, and by those of others that
// may be read.
func restoreEverywhere(ctx context.Context, cmd *cobra.Command, host *handle.Host, own string, list bool, names []string) error {
	journals := []string{own}
	for _, n := range provision.Notices(noticeDir()) {
		switch {
		case slices.Contains(journals, n.Journal):
		case os.Geteuid() == 0 || n.Mine():
			journals = append(journals, n.Journal)
		default:
			fmt.Fprintln(cmd.ErrOrStderr(), n)
		}
	}
	tell := func(stage string) { fmt.Fprintf(cmd.ErrOrStderr(), "  %s\n", stage) }
	for i, dir := range journals {
		journal, err := openJournal(dir)
		if err != nil {
			return err
		}
		if owed, err := journal.Owed(); i > 0 && err == nil && len(owed) == 0 {
			continue
		}
		if list {
			err = listOwed(cmd.OutOrStdout(), journal)
		} else {
			err = restoreAll(ctx, cmd.OutOrStdout(), host, &provision.Provisioner{Journal: journal}, names, tell)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Which commands see to what boards are owed. Those that change nothing only tell.
var (
	silentCommands = []string{"schema", "udev", "validate", "provision", "restore"}
	onlyTelling    = []string{"scan", "list", "show"}
	// namingCommands want to know a board by name and could do without: a rigs.yaml
	// that is wrong must be told. What restores keys works whatever it says.
	namingCommands = []string{"control", "flash", "provision"}
)

// seeToDebts has every command see to what boards are owed: what was owed until the
// end of a lease is paid when that is over, the rest is told. A killed job pays
// nothing itself.
func seeToDebts(rig *cobra.Command, b *benches, host *handle.Host) {
	for _, cmd := range rig.Commands() {
		if cmd.RunE == nil {
			continue
		}
		run := cmd.RunE
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			host.Tell = teller(cmd)
			if slices.Contains(namingCommands, cmd.Name()) {
				if err := b.wrong(); err != nil {
					return err
				}
			}
			if !slices.Contains(silentCommands, cmd.Name()) {
				pay(cmd.Context(), cmd, host, !slices.Contains(onlyTelling, cmd.Name()))
			}
			return run(cmd, args)
		}
	}
}

// pay pays what this user owes to boards whose lease is over, if it may, and tells of
// the others. A board that nobody has a lease on, because it was pointed somewhere
// without one, stays as it is.
func pay(ctx context.Context, cmd *cobra.Command, host *handle.Host, may bool) {
	d, hangUp, err := desk(ctx, host)
	if err != nil {
		return // the command itself tells
	}
	defer hangUp()
	w := cmd.ErrOrStderr()
	for _, n := range provision.Notices(noticeDir()) {
		b := host.At(n.Serial, n.Path, n.Platform)
		if found, err := host.Find(n.Serial); err == nil {
			b = found
		}
		h, held, err := d.Holder(ctx, request(b, n.Serial, "").Key)
		if held && h.Left == "" || err != nil {
			continue // whoever has it knows
		}
		record := leasedRecord(n)
		if record == nil || !may {
			fmt.Fprintf(w, "muster: %s\n", n)
			continue
		}
		fmt.Fprintf(w, "muster: the lease on %s is over: putting back what it had before it was pointed at %s\n", record, orNobody(record.Cloud))
		journal, err := openJournal(n.Journal)
		if err == nil {
			err = restoreOne(ctx, host, &provision.Provisioner{Journal: journal}, record, func(stage string) { fmt.Fprintf(w, "  %s\n", stage) })
		}
		if err != nil {
			fmt.Fprintf(w, "muster: %s is still owed its old server key: %v\n", record, err)
		}
	}
}

// leasedRecord returns what this user owes until the end of a lease, nil if it is
// another's, or owed without one.
func leasedRecord(n *provision.Notice) *provision.Record {
	if !n.Mine() {
		return nil
	}
	journal, err := openJournal(n.Journal)
	if err != nil {
		return nil
	}
	all, _ := journal.Owed() // what cannot be read, "restore" tells
	for _, r := range all {
		if r.Serial == n.Serial && r.Path == n.Path && r.Leased {
			return r
		}
	}
	return nil
}
