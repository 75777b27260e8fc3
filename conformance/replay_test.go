package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/muster/muster/harness/evidence"
	"github.com/muster/muster/harness/report"
)

// TestReplayIsTheSameToTheLastByte runs a case and its bundle. What is in virtual
// time has the same traces to the last byte, and the verdicts are the same.
func TestReplayIsTheSameToTheLastByte(t *testing.T) {
	t.Parallel() // it waits most of the time
	first, second := filepath.Join(t.TempDir(), "first"), filepath.Join(t.TempDir(), "second")
	var stdout, stderr bytes.Buffer
	cmd := Command()
	cmd.SetArgs([]string{"timers/keep-alive", "timers/expiry", "network/reordered", "handshake/impostor-cloud", "--devices=9", "--evidence=all", "--out=" + first})
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatalf("%v\n%s%s", err, &stdout, &stderr)
	}
	stdout.Reset()
	stderr.Reset()
	cmd = ReplayCommand()
	cmd.SetArgs([]string{filepath.Join(first, bundleName), "--out=" + second, "--", "--evidence=all"})
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatalf("%v\n%s%s", err, &stdout, &stderr)
	}
	if !strings.Contains(stdout.String(), " 0 different; ") || !strings.Contains(stdout.String(), "to the last bit, 0 not") {
		t.Errorf("the replay says:\n%s", last3(stdout.String()))
	}
	traces := 0
	for _, pattern := range []string{"*.trace.jsonl", "*.pcapng"} {
		files, err := filepath.Glob(filepath.Join(first, bundleName, "virtual", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			before := readTest(t, path)
			after := readTest(t, filepath.Join(second, bundleName, "virtual", filepath.Base(path)))
			if pattern == "*.pcapng" {
				continue // has the wall-clock time of the run
			}
			traces++
			if !bytes.Equal(before, after) {
				t.Errorf("%s differs", filepath.Base(path))
			}
		}
	}
	if traces < 20 {
		t.Errorf("%d traces compared", traces)
	}
}

func last3(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], "\n")
}

func readTest(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestReplayKnowsThatSomethingDiffers changes a digest and a verdict.
func TestReplayKnowsThatSomethingDiffers(t *testing.T) {
	line := func(digest string) evidence.NetworkLine {
		return evidence.NetworkLine{Check: "a/b", Device: "boron@6.2.0", Number: 1, Digest: digest}
	}
	result := func(v report.Verdict) *report.Run {
		return &report.Run{Results: []report.Result{{Suite: "a", Check: "b", DeviceOS: "6.2.0", Transport: "udp", Verdict: v}}}
	}
	var out bytes.Buffer
	compareRuns(&out,
		&evidence.Bundle{Report: result(report.Fail), Networks: []evidence.NetworkLine{line("1")}},
		&evidence.Bundle{Report: result(report.Pass), Networks: []evidence.NetworkLine{line("2")}})
	for _, part := range []string{"was fail, is pass", "virtual network 1 of a/b", "0 verdicts as before, 1 different", "0 virtual networks equal to the last bit, 1 not"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("it does not say %q:\n%s", part, &out)
		}
	}
}

func TestReplayArguments(t *testing.T) {
	b := &evidence.Bundle{
		Manifest: evidence.Manifest{Tool: tool, Arguments: []string{"resume", "--devices=9", "--seed=7"}},
		Report: &report.Run{Results: []report.Result{
			{Suite: "resume", Check: "bytes", Verdict: report.Fail},
			{Suite: "resume", Check: "bytes", Verdict: report.Pass},
			{Suite: "resume", Check: "marks", Verdict: report.Pass},
		}},
	}
	all, err := replayArguments(b, false)
	if err != nil || strings.Join(all, " ") != "resume --devices=9 --seed=7" {
		t.Errorf("%q, %v", all, err)
	}
	some, err := replayArguments(b, true)
	if err != nil || strings.Join(some, " ") != "resume/bytes --devices=9 --seed=7" {
		t.Errorf("%q, %v", some, err)
	}
	b.Report.Results = b.Report.Results[1:]
	if _, err := replayArguments(b, true); err == nil {
		t.Error("there is no failure to replay")
	}
	b.Manifest.Tool = "muster judge"
	if _, err := replayArguments(b, false); err == nil {
		t.Error("a judgement cannot be run again")
	}
}

// TestSecretsStayOutOfTheManifest: a flag that holds a secret is named, not told.
func TestSecretsStayOutOfTheManifest(t *testing.T) {
	cmd := Command()
	cmd.Flags().String("api-token", "", "")
	cmd.Flags().StringSlice("several", nil, "")
	if err := cmd.ParseFlags([]string{"--api-token=hush", "--devices=9", "--several=a,b", "--out=x"}); err != nil {
		t.Fatal(err)
	}
	var o evidenceOptions
	o.remember(cmd, []string{"resume"})
	if got := strings.Join(o.arguments, " "); got != "resume --devices=9 --several=a --several=b" {
		t.Errorf("got %q", got)
	}
	if !slices.Equal(o.withheld, []string{"--api-token"}) {
		t.Errorf("withheld %q", o.withheld)
	}
	if missing := missingFlags(o.withheld, nil); len(missing) != 1 {
		t.Errorf("missing %q", missing)
	}
	if missing := missingFlags(o.withheld, []string{"--api-token=x"}); len(missing) != 0 {
		t.Errorf("missing %q", missing)
	}
}

func TestReplayUsage(t *testing.T) {
	out := t.TempDir()
	for _, args := range [][]string{{filepath.Join(out, "none")}, {out}} {
		var stdout, stderr bytes.Buffer
		err := replay(t.Context(), args[0], nil, filepath.Join(out, "new"), false, &stdout, &stderr)
		var exit *ExitError
		if !errors.As(err, &exit) || exit.Code != report.ExitUsage || stderr.Len() == 0 {
			t.Errorf("%q: %v, %s", args, err, &stderr)
		}
	}
}

// TestStreamOfARun reads the events of a run as a program would.
func TestStreamOfARun(t *testing.T) {
	o := small("functions/call")
	o.evidence.jsonl = "-"
	var stdout, stderr bytes.Buffer
	out := t.TempDir()
	if err := conform(t.Context(), o, filepath.Join(out, "r"), &stdout, &stderr); err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	var names []string
	for line := range strings.Lines(stdout.String()) {
		var e report.StreamEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if !slices.Contains(names, e.Event) {
			names = append(names, e.Event)
		}
	}
	if got := strings.Join(names, " "); got != "begin timeline check result end" {
		t.Errorf("got %s", got)
	}
	if !strings.Contains(stderr.String(), "reports: ") {
		t.Errorf("people are told nothing: %s", &stderr)
	}
}

// onSocketsOnly are the suites that play on no virtual network: they wait for sockets, and
// what they see there is never the same.
var onSocketsOnly = []string{"api", "ota", "pubsub", "resume", "safemode", "session", "variables"}

// TestEveryVirtualNetworkIsTheSame runs all suites that play on virtual networks twice
// with one seed, side by side: a check that goes through a map, or draws from anywhere but
// the seed, shows here.
func TestEveryVirtualNetworkIsTheSame(t *testing.T) {
	if testing.Short() {
		t.Skip("runs most suites twice")
	}
	t.Parallel() // some checks wait for sockets
	var chosen []string
	for _, s := range Suites() {
		if !slices.Contains(onSocketsOnly, s.Name) {
			chosen = append(chosen, s.Name)
		}
	}
	var networks [2][]evidence.NetworkLine
	var both sync.WaitGroup
	for i := range networks {
		both.Go(func() { networks[i] = networksOf(t, chosen) })
	}
	if both.Wait(); t.Failed() {
		return
	}
	equal, different := compareNetworks(networks[0], networks[1])
	for _, line := range different {
		t.Error(line)
	}
	if equal < 100 || len(networks[0]) != len(networks[1]) {
		t.Errorf("%d networks are equal, of %d and %d", equal, len(networks[0]), len(networks[1]))
	}
}

// networksOf runs suites and returns the virtual networks that they made.
func networksOf(t *testing.T, chosen []string) []evidence.NetworkLine {
	o := small(chosen...)
	o.plain = true
	dir := filepath.Join(t.TempDir(), "bundle")
	var err error
	if o.collector, err = evidence.New(evidence.Config{Dir: dir}); err != nil {
		t.Error(err)
		return nil
	}
	if _, err := Run(t.Context(), o); err != nil {
		t.Error(err)
		return nil
	}
	b, err := evidence.Open(dir)
	if err != nil {
		t.Error(err)
		return nil
	}
	return b.Networks
}
