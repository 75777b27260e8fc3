package rigs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/rigs/control"
	"github.com/muster/muster/rigs/handle"
)

// asks are what a board can be asked or told by control request.
var asks = []struct {
	word, short string
	do          func(context.Context, *control.Device, io.Writer) error
}{
	{"info", "device id, serial number, Device OS, mode, connection", tellInfo},
	{"modules", "the firmware modules that it runs", tellModules},
	{"diagnostics", "its diagnostics, in JSON", tellDiagnostics},
	{"reset", "restart it", simple(control.Reset)},
	{"force-reset", "restart it though its threads hang (Device OS 2.0 and later)", func(_ context.Context, d *control.Device, _ io.Writer) error { return d.ForceReset() }},
	{"dfu", "enter DFU mode", simple(control.EnterDFU)},
	{"safe-mode", "enter safe mode", simple(control.EnterSafeMode)},
	{"listen", "enter listening mode", simple(control.StartListening)},
	{"stop-listening", "leave listening mode", simple(control.StopListening)},
	{"connect", "connect to its cloud", simple(control.CloudConnect)},
	{"disconnect", "disconnect from its cloud", simple(control.CloudDisconnect)},
}

func controlCommand(host *handle.Host) *cobra.Command {
	var long strings.Builder
	long.WriteString("Asks or tells a board something by USB control request, as Particle's own tools do.\n\n")
	var words []string
	for _, a := range asks {
		fmt.Fprintf(&long, "  %-15s %s\n", a.word, a.short)
		words = append(words, a.word)
	}
	long.WriteString("\nIt needs Linux, and Device OS 0.8.0 or later (0.9.0 on Gen 3). A board in DFU mode\nanswers nothing.")
	return &cobra.Command{
		Use:   "control BOARD WHAT",
		Short: "Asks or tells a board something by USB control request",
		Long:  long.String(),
		Example: `  muster rig control e00fce68aabbccddeeff0011 info
  muster rig control 1-1.4 dfu`,
		Args: cobra.ExactArgs(2),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return words, cobra.ShellCompDirectiveNoFileComp
			}
			return boardNames(host), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			i := slices.Index(words, args[1])
			if i < 0 {
				return &usageError{fmt.Errorf("a board cannot be asked %q: it can be asked %s", args[1], strings.Join(words, ", "))}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return ended(ctx, cmd.ErrOrStderr(), withBoard(ctx, host, args[0], "control", func(b *handle.Board) error {
				return b.Ask(func(d *control.Device) error { return asks[i].do(ctx, d, cmd.OutOrStdout()) })
			}))
		},
	}
}

// completeBoard completes the name of a board, and leaves what follows it to the
// shell.
func completeBoard(host *handle.Host) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return boardNames(host), cobra.ShellCompDirectiveNoFileComp
	}
}

// boardNames are what a shell completes.
func boardNames(host *handle.Host) []string {
	all, err := host.Names()
	if err != nil {
		return nil // a completion has nowhere to tell it
	}
	return all
}

func simple(kind control.Kind) func(context.Context, *control.Device, io.Writer) error {
	return func(ctx context.Context, d *control.Device, _ io.Writer) error { return d.Simple(ctx, kind) }
}

// tellInfo writes what the board says of itself. What a release cannot tell is
// left out.
func tellInfo(ctx context.Context, d *control.Device, w io.Writer) error {
	rows := []struct {
		name string
		ask  func(context.Context) (string, error)
	}{
		{"device id", d.DeviceID},
		{"serial number", d.SerialNumber},
		{"Device OS", d.Version},
		{"mode", func(ctx context.Context) (string, error) {
			m, err := d.Mode(ctx)
			return string(m), err
		}},
		{"cloud", d.CloudStatus},
	}
	told := 0
	var failed error
	for _, r := range rows {
		value, err := r.ask(ctx)
		var refused *control.ResultError
		switch {
		case errors.As(err, &refused):
			failed = errors.Join(failed, err)
			continue
		case err != nil:
			return err
		}
		told++
		if _, err := fmt.Fprintf(w, "%-14s %s\n", r.name, value); err != nil {
			return err
		}
	}
	if told == 0 {
		return failed
	}
	return nil
}

func tellModules(ctx context.Context, d *control.Device, w io.Writer) error {
	modules, err := d.Modules(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, moduleTable(modules))
	return err
}

func moduleTable(modules []pdc.ModuleInfo) string {
	t := newTable("Module", "Index", "Version", "Size", "Slot", "Needs", "State")
	for _, m := range modules {
		var needs []string
		for _, d := range m.Dependencies {
			needs = append(needs, fmt.Sprintf("%s %d: %d", d.Function, d.Index, d.Version))
		}
		state := "valid"
		if !m.Valid() {
			state = "not valid"
		}
		t.AppendRow(table.Row{m.Function, m.Index, m.Version, known(m.Size), known(m.MaxSize), strings.Join(needs, "\n"), state})
	}
	return t.Render()
}

// known leaves out what a release does not tell.
func known(n uint32) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func tellDiagnostics(ctx context.Context, d *control.Device, w io.Writer) error {
	b, err := d.Diagnostics(ctx)
	if err != nil {
		return err
	}
	var indented any
	if json.Unmarshal(b, &indented) == nil {
		if pretty, err := json.MarshalIndent(indented, "", "  "); err == nil {
			b = pretty
		}
	}
	_, err = fmt.Fprintln(w, strings.TrimSpace(string(b)))
	return err
}
