package preflight

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/show"
)

// Command returns the sub-command "doctor".
func Command() *cobra.Command {
	p := Plan{}
	cloud, asJSON := "127.0.0.1", false
	cmd := &cobra.Command{
		Use: "doctor", Short: "Say whether this machine can hold a fleet, and what to change", Args: cobra.NoArgs, SilenceUsage: true,
		Long: `Look at this machine before a fleet runs on it: open files, ports, receive buffers,
connection tracking, loopback addresses, memory, cores, clock. For each it says what
is there, what it means for so many devices, and the command that changes it. It
changes nothing itself.

"muster fleet run" looks too, and tells of problems only. Why a board does not connect
is what "muster cloud doctor" finds out.

Exit codes: 0 it will do (warnings included), 1 something will not work, 2 wrong usage.`,
		Example: `  muster doctor --devices 1000000                      with the cloud on this machine
  muster doctor --devices 50000 --cloud cloud.example   with a cloud elsewhere
  muster doctor --devices 5000 --tcp 5000 --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if p.Devices < 1 || p.TCP < 0 || p.TCP > p.Devices || p.Sources < 0 {
				return &fleet.UsageError{Err: fmt.Errorf("--devices %d --tcp %d --sources %d: want one device or more, and of them none or more over TCP", p.Devices, p.TCP, p.Sources)}
			}
			p.Loopback = IsLoopback(cmd.Context(), cloud)
			facts := Look()
			found := Check(&facts, p)
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", " ")
				if err := enc.Encode(struct {
					Plan     Plan      `json:"plan"`
					Facts    Facts     `json:"facts"`
					Findings []Finding `json:"findings"`
				}{p, facts, found}); err != nil {
					return err
				}
			} else {
				Write(cmd.OutOrStdout(), found, coloured(cmd.OutOrStdout()))
				fmt.Fprintln(cmd.OutOrStdout(), "\n"+summary(found, p))
			}
			for _, f := range found {
				if f.Level == Fail {
					return &fleet.ExitError{Code: 1}
				}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.IntVar(&p.Devices, "devices", 1000, "how many devices")
	f.IntVar(&p.TCP, "tcp", 0, "how many of them are over TCP (Photon, P1, Core)")
	f.StringVar(&cloud, "cloud", cloud, "HOST or HOST:PORT of the cloud")
	f.IntVar(&p.Sources, "sources", 0, "how many local addresses they send from, towards a cloud elsewhere (default: 1)")
	f.BoolVar(&asJSON, "json", false, "write everything as JSON")
	return cmd
}

// IsLoopback reports whether a cloud is on 127.0.0.0/8. One that is not found is not.
func IsLoopback(ctx context.Context, cloud string) bool {
	host := cloud
	if h, _, err := net.SplitHostPort(cloud); err == nil {
		host = h
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	list, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", host)
	return err == nil && len(list) > 0 && list[0].Unmap().IsLoopback()
}

// marks are how levels look, and their colours.
var marks = map[Level][2]string{OK: {"✓", "32"}, Warn: {"!", "33"}, Fail: {"✗", "31"}}

// Write writes findings for people.
func Write(w io.Writer, list []Finding, colour bool) {
	for _, f := range list {
		mark := marks[f.Level][0]
		if colour {
			mark = "\x1b[" + marks[f.Level][1] + "m" + mark + "\x1b[0m"
		}
		fmt.Fprintf(w, "%s %-20s %s\n", mark, f.Name, f.What)
		if f.Means != "" {
			fmt.Fprintf(w, "  %-20s %s\n", "", f.Means)
		}
		if f.Do != "" {
			fmt.Fprintf(w, "  %-20s → %s\n", "", f.Do)
		}
	}
}

// Problems returns what is not as it should be.
func Problems(list []Finding) (bad []Finding) {
	for _, f := range list {
		if f.Level != OK {
			bad = append(bad, f)
		}
	}
	return bad
}

func summary(list []Finding, p Plan) string {
	fails, warns := 0, 0
	for _, f := range list {
		switch f.Level {
		case Fail:
			fails++
		case Warn:
			warns++
		case OK:
		}
	}
	where := "towards a cloud elsewhere"
	if p.Loopback {
		where = "with their cloud on this machine"
	}
	what := show.Count(p.Devices, "device") + " " + where
	switch {
	case fails > 0:
		return fmt.Sprintf("✗ %s will not work: %d to change, %d to look at.", what, fails, warns)
	case warns > 0:
		return fmt.Sprintf("! %s will run; %d to look at.", what, warns)
	}
	return fmt.Sprintf("✓ %s: nothing stands in the way.", what)
}

// coloured reports whether to write in colours.
func coloured(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}
