package command

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/scenario"
	"github.com/muster/muster/sim/show"
)

const longRun = `Run a scenario file: groups of devices, phases, load, networks, updates, and the
thresholds that decide the exit code.

A scenario knows no cloud and no secrets: these are given here. Callers and
campaigns use the cloud's REST API with an access token from the variable
MUSTER_TOKEN or from a file.

The load is an open model: what is due does not wait for what was due before, and
times count from the moment at which something was due. Equal seeds give an equal
load.

An interrupt ends the run cleanly: what was measured is judged and recorded. A
second one ends it at once.

Exit codes: 0 all thresholds hold, 1 some do not, 2 wrong usage or a scenario with
errors, 3 a threshold could not be judged or this machine was the bottleneck, 130
interrupted.`

// load reads a scenario file, with as many devices as the flags say.
func (s *settings) load(path string) (*scenario.Scenario, error) {
	sc, err := scenario.LoadFile(path)
	if err != nil {
		return nil, &fleet.UsageError{Err: listed(err)}
	}
	if s.devices < 0 {
		return nil, &fleet.UsageError{Err: errors.New("--devices must not be negative")}
	}
	if s.devices > 0 {
		if err := sc.Scale(s.devices); err != nil {
			return nil, &fleet.UsageError{Err: err}
		}
	}
	return sc, nil
}

// listed puts the problems of a file on lines of their own, which begin with where they
// are: that is how editors and build servers find them.
func listed(err error) error {
	var list scenario.Problems
	if errors.As(err, &list) {
		return fmt.Errorf("%s:\n%w", show.Count(len(list), "error"), list)
	}
	return err
}

// runCommand returns "muster fleet run".
func runCommand() *cobra.Command {
	s := &settings{}
	cmd := &cobra.Command{
		Use: "run SCENARIO.yaml", Short: "Run a scenario file", Long: longRun, Args: cobra.ExactArgs(1), SilenceUsage: true,
		Example: `  D=~/.local/state/muster/cloud
  muster fleet run storm.yaml --register $D/devices --cloud 127.0.0.1 --cloud-key $D
                                  with keys of this run alone
  muster fleet keys storm.yaml --keys-out fleet --register $D/devices
  muster fleet run storm.yaml --keys fleet --cloud 127.0.0.1 --cloud-key $D --out out/storm
                                  with keys that are kept, and a record
  muster fleet run storm.yaml … --keys seed:7 --nats nats://bench:4222
                                  on the workers that wait there
  muster fleet run storm.yaml … --devices 10000
                                  ten thousand devices, in the proportions of the file`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.withSignals(cmd, func(ctx context.Context, say *console) error {
				sc, err := s.load(args[0])
				if err != nil {
					return err
				}
				if s.cloud == "" {
					return &fleet.UsageError{Err: errors.New("no cloud to connect to: give --cloud HOST; \"muster fleet check\" shows what a scenario does")}
				}
				for _, check := range []func() error{s.checkWorkers, s.checkCloud} {
					if err := check(); err != nil {
						return &fleet.UsageError{Err: err}
					}
				}
				if !cmd.Flags().Changed("out") {
					s.out = outOf(sc.Name, time.Now())
				}
				j := job{scenario: sc, folder: filepath.Dir(args[0])}
				if s.workers.URL != "" {
					return s.onWorkers(ctx, j, filepath.Base(args[0]), cmd.OutOrStdout(), say)
				}
				return s.run(ctx, j, cmd.OutOrStdout(), say)
			})
		},
		ValidArgsFunction: yamlFiles,
	}
	s.runFlags(cmd)
	s.keyFlags(cmd)
	cmd.Flags().IntVar(&s.devices, "devices", 0, "how many devices in all, in the proportions of the scenario (default: those of the scenario)")
	cmd.Flags().StringVar(&s.api, "api", "", "base of the cloud's REST API, for callers and campaigns (default: http://HOST:8080)")
	s.workers.Register(cmd.Flags())
	cmd.Flags().Lookup("out").Usage += ` (default: out/NAME-TIME; "" for none)`
	return cmd
}

// outOf is the folder of a run of which nobody said where it is to be recorded.
func outOf(name string, at time.Time) string {
	plain := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, name)
	return filepath.Join("out", strings.Trim(plain, "-")+"-"+at.Format("20060102-150405"))
}

// checkCommand returns "muster fleet check".
func checkCommand() *cobra.Command {
	s := &settings{}
	cmd := &cobra.Command{
		Use: "check SCENARIO.yaml…", Short: "Validate scenario files and show what they would do", Args: cobra.MinimumNArgs(1), SilenceUsage: true,
		Long: `Validate scenario files and show what they would do: phases, devices, expected
rates. Nothing is sent.

An error names line, column and field, and what is allowed. --schema prints the
JSON schema of scenario files, which editors understand.

Exit codes: 0 the files are right, 2 they are not.`,
		Example: `  muster fleet check storm.yaml
  muster fleet check scenarios/*.yaml -q              errors only, as in CI
  muster fleet check --schema > scenario.schema.json  for an editor`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var problems scenario.Problems
			shown := false
			for _, path := range args {
				sc, err := s.load(path)
				var list scenario.Problems
				switch {
				case errors.As(err, &list):
					problems = append(problems, list...) // of all files, at once
					continue
				case err != nil:
					return err
				case s.quiet:
					continue
				case shown:
					cmd.Println()
				}
				preview(cmd.OutOrStdout(), sc)
				shown = true
			}
			if len(problems) > 0 {
				return &fleet.UsageError{Err: listed(problems)}
			}
			return nil
		},
		ValidArgsFunction: yamlFiles,
	}
	schema := false
	cmd.Flags().BoolVar(&schema, "schema", false, "print the JSON schema of scenario files")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if schema {
			return cobra.NoArgs(cmd, args)
		}
		return cobra.MinimumNArgs(1)(cmd, args)
	}
	inner := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if schema {
			_, err := cmd.OutOrStdout().Write(scenario.Schema())
			return err
		}
		return inner(cmd, args)
	}
	cmd.Flags().IntVar(&s.devices, "devices", 0, "how many devices in all, in the proportions of the scenario")
	cmd.Flags().BoolVarP(&s.quiet, "quiet", "q", false, "errors only")
	return cmd
}

// keysCommand returns "muster fleet keys".
func keysCommand() *cobra.Command {
	s := &settings{}
	cmd := &cobra.Command{
		Use: "keys SCENARIO.yaml", Short: "Make the keys of the devices of a scenario", Args: cobra.ExactArgs(1), SilenceUsage: true,
		Long: `Make the keys of the devices of a scenario, and write their public halves to where a
cloud can read them.

Exit codes: 0 the keys are made, 2 wrong usage or a scenario with errors, 130
interrupted.`,
		Example: `  muster fleet keys storm.yaml --keys-out fleet --register ~/.local/state/muster/cloud/devices
  muster fleet keys storm.yaml --keys seed:7 --register fleet.jsonl    derived from a number, for tests`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.withSignals(cmd, func(ctx context.Context, say *console) error {
				sc, err := s.load(args[0])
				if err != nil {
					return err
				}
				if s.keysOut == "" && s.register == "" {
					return &fleet.UsageError{Err: errors.New("give --keys-out DIR, --register FILE or both")}
				}
				_, _, err = s.keysFor(ctx, sc, say)
				return err
			})
		},
		ValidArgsFunction: yamlFiles,
	}
	s.keyFlags(cmd)
	cmd.Flags().IntVar(&s.devices, "devices", 0, "how many devices in all, in the proportions of the scenario")
	return cmd
}

func yamlFiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}
