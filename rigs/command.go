// Package rigs is the bench: real boards, found and read.
//
// What this package is not: part of the simulator or the cloud. It imports
// neither, because a bench must work with boards and clouds that are not ours.
package rigs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/muster/muster/rigs/handle"
	"github.com/muster/muster/rigs/inventory"
	"github.com/muster/muster/rigs/serial"
)

const nothing = `No Particle board is plugged in, as far as USB tells.
Check that the cable carries data and not only power, that the board is powered
(a lit LED), and that a virtual machine or container is given the USB device.
If a board is listed later but does not open, it is permissions: install
Particle's udev rules, or join the group of the port (dialout or plugdev).
`

// Command returns "muster rig".
func Command() *cobra.Command { return command(inventory.Ports) }

// command returns "muster rig" over the ports that look finds.
func command(look func() ([]inventory.Port, error)) *cobra.Command {
	return rigCommand(look, &handle.Host{Look: look})
}

func rigCommand(look func() ([]inventory.Port, error), host *handle.Host) *cobra.Command {
	rig := &cobra.Command{
		Use:   "rig",
		Short: "Finds real boards and reads their consoles",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	rig.AddCommand(scanCommand(look), consoleCommand(look), controlCommand(host), flashCommand(host), provisionCommand(host))
	return rig
}

func scanCommand(look func() ([]inventory.Port, error)) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "scan",
		Short: "Lists the Particle boards that are plugged in",
		Args:  cobra.NoArgs,
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
			return write(cmd.OutOrStdout(), found)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

// write writes what people read: the table, then what is odd, then the count.
func write(w io.Writer, found inventory.Boards) error {
	var s strings.Builder
	if len(found.Boards) == 0 {
		s.WriteString(nothing)
	} else {
		t := table.NewWriter()
		style := table.StyleLight
		style.Format.Header = text.FormatDefault
		style.Options.SeparateColumns = false
		style.Options.DrawBorder = false
		t.SetStyle(style)
		t.AppendHeader(table.Row{"Board", "Mode", "Serial number", "USB path", "Interface", "Console"})
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

func consoleCommand(look func() ([]inventory.Port, error)) *cobra.Command {
	o := serial.Options{Now: time.Now}
	cmd := &cobra.Command{
		Use:   "console PORT|SERIAL|USB-PATH",
		Short: "Prints what a board says, with the time, until interrupted",
		Example: `  muster rig console /dev/ttyACM0
  muster rig console e00fce68aabbccddeeff0011`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			name, err := resolve(args[0], look)
			if err != nil {
				return err
			}
			return follow(ctx, cmd.OutOrStdout(), name, o)
		},
	}
	cmd.Flags().BoolVar(&o.ShowSecrets, "show-secrets", false, "print the device secret and claim codes as they are")
	return cmd
}

// resolve returns the port for what a person typed.
func resolve(name string, look func() ([]inventory.Port, error)) (string, error) {
	if strings.ContainsRune(name, '/') || strings.HasPrefix(strings.ToUpper(name), "COM") {
		return name, nil
	}
	ports, err := look()
	if err != nil {
		return "", fmt.Errorf("listing USB: %w", err)
	}
	return inventory.Find(ports).Console(name)
}

// follow prints lines until the context ends, which is no error.
func follow(ctx context.Context, w io.Writer, name string, o serial.Options) (err error) {
	c, err := serial.Open(name, o)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // Next tells
	defer func() {
		stop()
		err = errors.Join(err, c.Close())
	}()
	for {
		line, err := c.Next()
		if errors.Is(err, serial.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		mark := ""
		if line.More {
			mark = " …"
		}
		if _, err := fmt.Fprintf(w, "%s  %s%s\n", line.Time.Format("15:04:05.000"), line.Text, mark); err != nil {
			return err
		}
	}
}
