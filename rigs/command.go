// Package rigs is the bench: real boards, found and read.
//
// What this package is not: part of the simulator or the cloud. It imports
// neither, because a bench must work with boards and clouds that are not ours.
package rigs

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/muster/muster/rigs/bench"
	"github.com/muster/muster/rigs/handle"
	"github.com/muster/muster/rigs/inventory"
)

const nothing = `No Particle board is plugged in, as far as USB tells.
Check that the cable carries data and not only power, that the board is powered
(a lit LED), and that a virtual machine or container is given the USB device.
If a board is listed later but does not open, it is permissions: install the
udev rules of "muster rig udev", or join the port's group (dialout or plugdev).
Without a board, "muster rig fake" plugs in fake ones.
`

// Command returns "muster rig".
func Command() *cobra.Command { return command(inventory.Ports) }

// command returns "muster rig" over the ports that look finds.
func command(look func() ([]inventory.Port, error)) *cobra.Command {
	return rigCommand(look, &handle.Host{Look: look}, bench.Options{Look: look})
}

func rigCommand(look func() ([]inventory.Port, error), host *handle.Host, o bench.Options) *cobra.Command {
	rig := &cobra.Command{
		Use:   "rig",
		Short: "Finds, names, leases, drives and restarts real boards",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	b := &benches{options: o}
	b.flags(rig)
	host.Name = b.translate
	rig.AddCommand(
		scanCommand(look, b), validateCommand(b), schemaCommand(), listCommand(b), showCommand(b),
		leaseCommand(b, host), releaseCommand(b, host),
		udevCommand(), consoleCommand(b), touchCommand(b), askCommand(b), powerCommand(b), healthCommand(b),
		controlCommand(host), flashCommand(host), provisionCommand(host), restoreCommand(host),
	)
	seeToDebts(rig, b, host)
	return rig
}

func scanCommand(look func() ([]inventory.Port, error), b *benches) *cobra.Command {
	var asJSON, save bool
	cmd := &cobra.Command{
		Use:   "scan",
		Short: "Lists the Particle boards that are plugged in, and proposes rigs.yaml",
		Long: `Lists the Particle boards that are plugged in, and what rigs.yaml would get to know: boards that are new,
and boards that have moved. With --write it does. It takes no board out, and keeps everything else as it is
to the last byte, comments too.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ports, err := look()
			if err != nil {
				return fmt.Errorf("listing USB: %w", err)
			}
			found := inventory.Find(ports)
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(found)
			}
			if err := write(cmd.OutOrStdout(), found); err != nil {
				return err
			}
			if len(found.Boards) == 0 {
				return nil
			}
			return mergeFound(cmd.OutOrStdout(), b.options.File, found, save)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON, and look at no rigs.yaml")
	cmd.Flags().BoolVar(&save, "write", false, "write rigs.yaml")
	cmd.MarkFlagsMutuallyExclusive("json", "write")
	return cmd
}

// write writes what people read: the table, then what is odd, then the count.
func write(w io.Writer, found inventory.Boards) error {
	var s strings.Builder
	if len(found.Boards) == 0 {
		s.WriteString(nothing)
		if version, err := os.ReadFile("/proc/version"); err == nil && isWSL(string(version)) {
			s.WriteString(onWSL)
		}
	} else {
		t := newTable("Board", "Mode", "Serial number", "USB path", "Interface", "Console")
		for _, b := range found.Boards {
			var names, numbers []string
			for _, c := range b.Consoles {
				names = append(names, c.Port)
				number := "?"
				if c.Interface >= 0 {
					number = strconv.Itoa(c.Interface)
				}
				numbers = append(numbers, number)
			}
			t.AppendRow(table.Row{b.Platform, b.Mode, b.Serial, b.Path, strings.Join(numbers, "\n"), strings.Join(names, "\n")})
		}
		fmt.Fprintf(&s, "%s\n\n", t.Render())
		for _, b := range found.Boards {
			if b.Remark != "" {
				fmt.Fprintf(&s, "%s %s %s: %s\n", b.Platform, b.Serial, b.Path, b.Remark)
			}
		}
		fmt.Fprintf(&s, "%s\n", count(len(found.Boards), "board"))
	}
	if found.Others > 0 {
		fmt.Fprintf(&s, "%s left out: not Particle's.\n", count(found.Others, "other USB serial port"))
	}
	_, err := io.WriteString(w, s.String())
	return err
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
