package rigs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/muster/muster/rigs/bench"
	"github.com/muster/muster/rigs/inventory"
	"github.com/muster/muster/rigs/lease"
	"github.com/muster/muster/rigs/power"
)

// newTable is a table as this program draws them.
func newTable(header ...any) table.Writer {
	t := table.NewWriter()
	style := table.StyleLight
	style.Format.Header = text.FormatDefault
	style.Options.SeparateColumns = false
	style.Options.DrawBorder = false
	t.SetStyle(style)
	t.AppendHeader(header)
	return t
}

// mergeFound writes what is plugged in into the file, and says what changed.
func mergeFound(w io.Writer, path string, found inventory.Boards, save bool) error {
	file, err := inventory.Load(path)
	if errors.Is(err, inventory.ErrNoFile) {
		file, err = &inventory.File{Path: path}, nil
	}
	if err != nil {
		return err
	}
	merged, changes, err := file.Merge(found)
	if err != nil {
		return err
	}
	if len(changes) == 0 {
		if len(file.Boards) > 0 {
			fmt.Fprintf(w, "%s has them all.\n", path)
		}
		return nil
	}
	for _, c := range changes {
		fmt.Fprintf(w, "%s: %s: %s\n", path, c.Name, c.What)
	}
	if !save {
		fmt.Fprintf(w, "%s is as it was: \"muster rig scan --write\" writes this.\n", path)
		return nil
	}
	if err := inventory.Write(path, merged); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s is written. Rename boards and add pools and power as you like.\n", path)
	return nil
}

func validateCommand(b *benches) *cobra.Command {
	return &cobra.Command{
		Use:   "validate",
		Short: "Checks rigs.yaml, every problem with its line",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, err := inventory.Load(b.options.File)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is right: %s.\n", file.Path, count(len(file.Boards), "board"))
			return err
		},
	}
}

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Prints the JSON schema of rigs.yaml, for editors",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(inventory.Schema)
			return err
		},
	}
}

// A view is what is known of a board.
type view struct {
	inventory.Sighting
	Holder *lease.Holder `json:"lease,omitempty"`
	Health power.Health  `json:"health"`
	Log    string        `json:"console_log"`
	Means  []string      `json:"power_means,omitempty"`
}

func look(cmd *cobra.Command, b *bench.Bench, e inventory.Entry) (view, error) {
	s, _, err := b.Locate(e)
	v := view{Sighting: s, Log: b.LogPath(e.Name)}
	if err != nil {
		return v, err
	}
	h, held, err := b.Desk.Holder(cmd.Context(), s.Key())
	if err != nil {
		return v, err
	}
	if held {
		h.Token = "" // it is for its owner
		v.Holder = &h
	}
	v.Health, err = b.Clinic.Health(e.Name)
	for _, m := range b.Means(e) {
		v.Means = append(v.Means, fmt.Sprintf("%s (%s)", m.Rung, m.Text))
	}
	return v, err
}

func listCommand(b *benches) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Lists the boards of rigs.yaml: where they are, who has them, how they are",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opened, err := b.openStrict(cmd)
			if err != nil {
				return err
			}
			defer opened.Close()
			views := []view{}
			for _, e := range opened.File.Boards {
				v, err := look(cmd, opened, e)
				if err != nil {
					return err
				}
				views = append(views, v)
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), views)
			}
			return writeList(cmd.OutOrStdout(), views)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func (b *benches) openStrict(cmd *cobra.Command) (*bench.Bench, error) {
	strict := *b
	strict.options.Strict = true
	return strict.open(cmd.Context(), cmd)
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func writeList(w io.Writer, views []view) error {
	t := newTable("Board", "Pool", "Platform", "State", "USB path", "Console", "Taken by", "Health")
	var remarks strings.Builder
	for _, v := range views {
		path, who := v.Entry.USB, ""
		if v.Board != nil {
			path = v.Board.Path
		}
		if v.Holder != nil {
			who = v.Holder.Owner
			if v.Holder.Kept {
				who += " (kept)"
			}
			if v.Holder.Left != "" {
				fmt.Fprintf(&remarks, "%s: taken by %s\n", v.Entry.Name, v.Holder)
			}
		}
		t.AppendRow(table.Row{v.Entry.Name, v.Entry.Pool, platformOf(v), v.State, path, v.Port, who, healthWord(v.Health)})
		if v.Remark != "" {
			fmt.Fprintf(&remarks, "%s: %s\n", v.Entry.Name, v.Remark)
		}
		if q := v.Health.Quarantine; q != nil {
			fmt.Fprintln(&remarks, (&power.QuarantineError{Board: v.Entry.Name, Quarantine: *q}).Error())
		}
	}
	_, err := fmt.Fprintf(w, "%s\n\n%s%s\n", t.Render(), remarks.String(), count(len(views), "board"))
	return err
}

func platformOf(v view) string {
	if v.Board != nil {
		return v.Board.Platform
	}
	return v.Entry.Platform
}

// healthWord says in a word or two how a board is.
func healthWord(h power.Health) string {
	if h.Quarantine != nil {
		return "quarantine"
	}
	if n := len(h.Recoveries); n > 0 {
		return fmt.Sprintf("well, %d recovered", n)
	}
	return "well"
}

func showCommand(b *benches) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:               "show BOARD",
		Short:             "Shows all that is known of a board",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: b.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			return b.entry(cmd, args[0], func(opened *bench.Bench, e inventory.Entry) error {
				v, err := look(cmd, opened, e)
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(cmd.OutOrStdout(), v)
				}
				return writeView(cmd.OutOrStdout(), v)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func writeView(w io.Writer, v view) error {
	var s strings.Builder
	line := func(name string, value any) {
		if text := fmt.Sprint(value); text != "" {
			fmt.Fprintf(&s, "%-14s %s\n", name, text)
		}
	}
	line("board", v.Entry.Name)
	line("state", v.State)
	line("remark", v.Remark)
	line("platform", platformOf(v))
	line("Device OS", v.Entry.DeviceOS)
	line("pool", v.Entry.Pool)
	line("serial number", v.Entry.Serial)
	if v.Board != nil {
		line("USB path", v.Board.Path)
	} else {
		line("USB path", v.Entry.USB)
	}
	line("console", v.Port)
	line("console log", v.Log)
	line("notes", v.Entry.Notes)
	if v.Holder != nil {
		line("taken by", *v.Holder)
	} else {
		line("taken by", "nobody")
	}
	line("restart by", strings.Join(v.Means, ", "))
	line("health", healthWord(v.Health))
	if q := v.Health.Quarantine; q != nil {
		line("", fmt.Sprintf("since %s, by %s: %s", q.Since.Local().Format("2006-01-02 15:04"), q.By, q.Reason))
	}
	writeCounts(&s, v.Health)
	_, err := io.WriteString(w, s.String())
	return err
}

func writeCounts(w io.Writer, h power.Health) {
	for r := power.Soft; r <= power.Person; r++ {
		n, used := h.Counts[r.String()]
		if !used {
			continue
		}
		fmt.Fprintf(w, "%-14s %s: tried %d times, worked %d times", "", r, n.Tried, n.Worked)
		if n.Lied > 0 {
			fmt.Fprintf(w, ", lied %d times", n.Lied)
		}
		fmt.Fprintln(w)
	}
}

func healthCommand(b *benches) *cobra.Command {
	var back bool
	var isolate string
	cmd := &cobra.Command{
		Use:   "health [BOARD]",
		Short: "Shows what it took to restart boards; takes one out of service, or back",
		Example: `  muster rig health
  muster rig health boron-1 --isolate "its LED is red"
  muster rig health boron-1 --return`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && (back || isolate != "") {
				return errors.New("name the board")
			}
			return cobra.MaximumNArgs(1)(cmd, args)
		},
		ValidArgsFunction: b.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			opened, err := b.open(cmd.Context(), cmd)
			if err != nil {
				return err
			}
			defer opened.Close()
			list := opened.File.Boards
			if len(args) == 1 {
				e, err := opened.Entry(args[0])
				if err != nil {
					return err
				}
				list = []inventory.Entry{e}
			}
			switch {
			case back:
				if err := opened.Clinic.Return(list[0].Name); err != nil {
					return err
				}
			case isolate != "":
				if err := opened.Clinic.Isolate(list[0].Name, lease.Me(), isolate); err != nil {
					return err
				}
			}
			for _, e := range list {
				h, err := opened.Clinic.Health(e.Name)
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%-14s %s\n", e.Name, healthWord(h))
				if q := h.Quarantine; q != nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%-14s %s (by %s, %s)\n", "", q.Reason, q.By, q.Since.Local().Format("2006-01-02 15:04"))
				}
				writeCounts(cmd.OutOrStdout(), h)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&back, "return", false, "put the board into service again")
	cmd.Flags().StringVar(&isolate, "isolate", "", "take the board out of service, for this `REASON`")
	cmd.MarkFlagsMutuallyExclusive("return", "isolate")
	return cmd
}
