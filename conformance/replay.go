package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/muster/muster/harness/evidence"
	"github.com/muster/muster/harness/report"
)

const replayLong = `Run the case of a bundle again: the same checks, seed and options.

BUNDLE is the folder that a run left (out/bundle), its manifest.json, or a zip
archive of it. What ran in virtual time runs again bit for bit, and that is
checked; what ran on real sockets runs again with the same devices and order,
other keys and other times.

Behind -- come arguments of the original command that a bundle does not hold,
such as tokens.

Exit codes are those of the run: 0 all passed, 1 something failed, 2 wrong
usage, 3 something could not be judged, 130 interrupted.`

// ReplayCommand returns the sub-command "replay".
func ReplayCommand() *cobra.Command {
	var (
		out      string
		failures bool
	)
	cmd := &cobra.Command{
		Use:   "replay BUNDLE [-- FLAG…]",
		Short: "Run the case of a bundle again",
		Long:  replayLong,
		Example: `  muster replay out/bundle
  muster replay --failures artifact.zip   only the checks that did not pass
  muster replay out/bundle -- --token …   what the bundle does not hold`,
		SilenceUsage: true,
		Args:         cobra.MinimumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"zip", "json"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return replay(cmd.Context(), args[0], args[1:], out, failures, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&out, "out", filepath.Join("out", "replay"), "folder for the reports and the new bundle")
	cmd.Flags().BoolVar(&failures, "failures", false, "run only the checks that did not pass")
	return cmd
}

// replay runs a bundle again and compares.
func replay(ctx context.Context, path string, more []string, out string, failures bool, stdout, stderr io.Writer) error {
	b, err := evidence.Open(path)
	if err != nil {
		fmt.Fprintln(stderr, "muster replay:", err)
		return &ExitError{report.ExitUsage}
	}
	defer func() { _ = b.Close() }() // it was only read
	if inside, err := within(path, filepath.Join(out, bundleName)); err == nil && inside {
		fmt.Fprintf(stderr, "muster replay: --out %s would overwrite the bundle that is replayed: give another folder\n", out)
		return &ExitError{report.ExitUsage}
	}
	arguments, err := replayArguments(b, failures)
	if err != nil {
		fmt.Fprintln(stderr, "muster replay:", err)
		return &ExitError{report.ExitUsage}
	}
	if missing := missingFlags(b.Manifest.Withheld, more); len(missing) > 0 {
		fmt.Fprintf(stderr, "muster replay: the run had %s, whose values are secrets and not in the bundle: add -- %s …\n", strings.Join(missing, " "), strings.Join(missing, " … "))
		return &ExitError{report.ExitUsage}
	}
	var again *report.Run
	cmd := command(func(run *report.Run) { again = run })
	cmd.SetArgs(append(append(arguments, "--out="+out), more...))
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	cmd.SilenceErrors = true
	fmt.Fprintf(stderr, "replaying: muster conform %s\n", strings.Join(arguments, " "))
	failed := cmd.ExecuteContext(ctx)
	var exit *ExitError
	if failed != nil && !errors.As(failed, &exit) {
		fmt.Fprintln(stderr, "muster replay:", failed)
		return &ExitError{report.ExitUsage}
	}
	if again == nil {
		return failed
	}
	networks, err := evidence.Open(filepath.Join(out, bundleName))
	if err != nil {
		return errors.Join(failed, err)
	}
	compareRuns(stdout, b, networks)
	return errors.Join(failed, networks.Close())
}

// within reports whether a path is the folder dir or lies in it.
func within(path, dir string) (bool, error) {
	a, err1 := filepath.Abs(path)
	b, err2 := filepath.Abs(dir)
	rel, err3 := filepath.Rel(b, a)
	return err3 == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)), errors.Join(err1, err2)
}

// replayArguments returns the arguments that run a bundle again, or those of its
// checks that did not pass.
func replayArguments(b *evidence.Bundle, failures bool) ([]string, error) {
	if b.Manifest.Tool != tool {
		return nil, fmt.Errorf("the bundle is of %q, which cannot be run again", b.Manifest.Tool)
	}
	if !failures {
		return b.Manifest.Arguments, nil
	}
	var list []string
	for _, r := range b.Report.Results {
		if name := r.Name(); r.Verdict >= report.PassWithRemark && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("every check of that run passed: leave --failures out to run them all")
	}
	for _, a := range b.Manifest.Arguments {
		if strings.HasPrefix(a, "--") {
			list = append(list, a)
		}
	}
	return list, nil
}

// missingFlags returns the flags that were not given again.
func missingFlags(withheld, more []string) (missing []string) {
	for _, flag := range withheld {
		if !slices.ContainsFunc(more, func(a string) bool { return a == flag || strings.HasPrefix(a, flag+"=") }) {
			missing = append(missing, flag)
		}
	}
	return missing
}

// compareRuns says what was different the second time.
func compareRuns(w io.Writer, before, after *evidence.Bundle) {
	type key struct{ name, deviceOS, transport string }
	was := make(map[key]report.Verdict)
	for _, r := range before.Report.Results {
		was[key{r.Name(), r.DeviceOS, r.Transport}] = r.Verdict
	}
	same, different := 0, 0
	fmt.Fprintln(w)
	for _, r := range after.Report.Results {
		v, known := was[key{r.Name(), r.DeviceOS, r.Transport}]
		switch {
		case !known:
		case v == r.Verdict:
			same++
		default:
			different++
			fmt.Fprintf(w, "differs: %s on Device OS %s: was %v, is %v\n", r.Name(), report.Generation{DeviceOS: r.DeviceOS, Transport: r.Transport}, v, r.Verdict)
		}
	}
	equal, lines := compareNetworks(before.Networks, after.Networks)
	for _, line := range lines {
		fmt.Fprintln(w, line)
	}
	fmt.Fprintf(w, "replay: %d verdicts as before, %d different; %d virtual networks equal to the last bit, %d not\n", same, different, equal, len(lines))
	if before.Manifest.Version != after.Manifest.Version || before.Manifest.Build["vcs.revision"] != after.Manifest.Build["vcs.revision"] {
		fmt.Fprintf(w, "the bundle was written by muster %s %s, this is %s %s: they may differ in what they send\n",
			before.Manifest.Version, before.Manifest.Build["vcs.revision"], after.Manifest.Version, after.Manifest.Build["vcs.revision"])
	}
}

// compareNetworks compares digests, of each check and device as far as it ran both
// times.
func compareNetworks(before, after []evidence.NetworkLine) (equal int, different []string) {
	type key struct {
		check, device string
		number        int
	}
	was := make(map[key]string)
	for _, n := range before {
		was[key{n.Check, n.Device, n.Number}] = n.Digest
	}
	for _, n := range after {
		digest, known := was[key{n.Check, n.Device, n.Number}]
		switch {
		case !known:
		case digest == n.Digest:
			equal++
		default:
			different = append(different, fmt.Sprintf("differs: virtual network %d of %s with %s has other packets", n.Number, n.Check, n.Device))
		}
	}
	return equal, different
}
