package conformance

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/harness/recording/labfile"
	"github.com/muster/muster/harness/report"
)

// asFiles writes a recording of real firmware as a capture file and its secrets as a
// key log, as somebody else would hand them over, from a packet on.
func asFiles(t *testing.T, c *fixtures.Capture, from int) (pcap, keys string) {
	t.Helper()
	file, log, err := labfile.Make(c, from)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	pcap, keys = filepath.Join(dir, "x.pcapng"), filepath.Join(dir, "keys.log")
	if err := errors.Join(os.WriteFile(pcap, file, 0o600), os.WriteFile(keys, log, 0o600)); err != nil {
		t.Fatal(err)
	}
	return pcap, keys
}

func judged(t *testing.T, o *judgeOptions) *report.Run {
	t.Helper()
	o.max = 1 << 20
	run, _, err := judge(t.Context(), o, func(float64, string) {})
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// outcomes names the checks that ended in a verdict.
func outcomes(run *report.Run, v report.Verdict) (names []string) {
	for _, r := range run.Results {
		if r.Verdict == v {
			names = append(names, r.Name())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// departures are the recordings in which the lab cloud did wrong on purpose, by the
// end of their names, and what must be found in them. In all others nothing is.
var departures = map[string][]string{
	"udp-hs-cookie255":        {"handshake/cookie"}, // larger than the question
	"udp-hs-nohvr":            {"handshake/cookie", "handshake/server-flight"},
	"udp-hs-nocertreq":        {"handshake/server-flight"},
	"udp-hs-with-certificate": {"handshake/server-flight"},
	"v3.1.0-udp-hs-cid9":      {"handshake/connection-id"},
	"v6.2.0-udp-hs-cid9":      {"handshake/connection-id"},
	"v3.1.0-udp-hs-nocid":     {"handshake/connection-id"},
	"v6.2.0-udp-hs-nocid":     {"handshake/connection-id"},
	"udp-lost-rst":            {"handshake/hello-first"}, // a Reset
}

// TestJudgeEveryRecording judges the recordings of real firmware.
func TestJudgeEveryRecording(t *testing.T) {
	passed := make(map[string]int)
	for _, c := range fixtures.Captures() {
		pcap, keys := asFiles(t, c, 0)
		o := &judgeOptions{files: []string{pcap}, keys: []string{keys}, deviceOS: strings.TrimPrefix(strings.SplitN(c.Name, "-", 2)[0], "v")}
		if len(c.Sessions)+len(c.Conns) == 0 {
			o.keys = nil // no session came about
		}
		run := judged(t, o)
		for _, name := range outcomes(run, report.Pass) {
			passed[name]++
		}
		var want []string
		for end, names := range departures {
			if strings.HasSuffix(c.Name, end) {
				want = names
			}
		}
		if got := outcomes(run, report.Fail); !slices.Equal(got, want) {
			t.Errorf("%s: failed %q, want %q", c.Name, got, want)
			for _, r := range run.Results {
				for _, f := range r.Findings {
					t.Logf("  %s %s: %s; want %s, got %s", r.Name(), f.Requirement, f.Text, f.Expected, f.Actual)
				}
			}
		}
	}
	for _, s := range Suites() {
		for _, check := range s.Checks {
			if name := s.Name + "/" + check.Name; check.Judge != nil && passed[name] == 0 {
				t.Errorf("no recording passes %s: it judges nothing of real firmware", name)
			}
		}
	}
}

// TestJudgeWithoutKeys judges what is not encrypted, and says what it could not read.
func TestJudgeWithoutKeys(t *testing.T) {
	pcap, _ := asFiles(t, fixtures.ByName("v6.2.0-udp-session"), 0)
	run := judged(t, &judgeOptions{files: []string{pcap}})
	for _, name := range []string{"handshake/cookie", "handshake/connection-id", "handshake/client-hello"} {
		if !slices.Contains(outcomes(run, report.Pass), name) {
			t.Errorf("%s did not pass: %+v", name, run.Results)
		}
	}
	if got := outcomes(run, report.Fail); len(got) > 0 {
		t.Errorf("failed %q", got)
	}
	if notes := strings.Join(run.Notes, "\n"); !strings.Contains(notes, "could not be decrypted") || !strings.Contains(notes, "--keys") {
		t.Errorf("notes: %s", notes)
	}
	if got := outcomes(run, report.Unsupported); !slices.Contains(got, "pubsub/publish-cost") {
		t.Errorf("unsupported: %q", got)
	}
}

// TestJudgeCutRecordings cuts each recording at the front, everywhere in its beginning:
// nothing is taken for missing that was only not captured.
func TestJudgeCutRecordings(t *testing.T) {
	for _, name := range []string{"v6.2.0-udp-resume", "v2.3.0-udp-resume", "v1.4.4-udp-restart", "v6.2.0-tcp-session"} {
		c := fixtures.ByName(name)
		for from := 1; from < 16; from++ {
			pcap, keys := asFiles(t, c, from)
			o := &judgeOptions{files: []string{pcap}, keys: []string{keys}, clouds: []string{"192.0.2.1"}, max: 1 << 20}
			run, _, err := judge(t.Context(), o, func(float64, string) {})
			if err != nil {
				if c.Transport == "tcp" {
					continue // of its first connection nothing is left, and that is said
				}
				t.Fatal(err)
			}
			if got := outcomes(run, report.Fail); len(got) > 0 {
				t.Errorf("%s from packet %d on: failed %q", name, from, got)
				for _, r := range run.Results {
					for _, f := range r.Findings {
						t.Logf("  %s %s: %s; want %s, got %s %q", r.Name(), f.Requirement, f.Text, f.Expected, f.Actual, f.Packets)
					}
				}
			}
		}
	}
}

func TestJudgeUsage(t *testing.T) {
	pcap, keys := asFiles(t, fixtures.ByName("v6.2.0-udp-session"), 0)
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no capture file, only words that say nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "name a capture file"},
		{[]string{filepath.Join(t.TempDir(), "none")}, "no such file"},
		{[]string{text}, "neither a pcap nor a pcapng"},
		{[]string{pcap, "--keys", text}, "neither a key log"},
		{[]string{pcap, "--cloud", "cloud.example.org"}, "no IP address"},
		{[]string{pcap, "--cloud", "203.0.113.9"}, "no traffic with 203.0.113.9"},
		{[]string{pcap, "--device-os", "six"}, "not a Device OS release"},
		{[]string{pcap, "--check", "resume/nosuch"}, "no passive check is called"},
	} {
		var stdout, stderr bytes.Buffer
		cmd := JudgeCommand()
		cmd.SetArgs(append(test.args, "--out", filepath.Join(t.TempDir(), "out")))
		cmd.SetOut(&stdout)
		cmd.SetErr(&stderr)
		cmd.SilenceErrors = true
		err := cmd.ExecuteContext(t.Context())
		var exit *ExitError
		if !errors.As(err, &exit) || exit.Code != report.ExitUsage || !strings.Contains(stderr.String(), test.want) {
			t.Errorf("%q: %v, %s, want %q", test.args, err, &stderr, test.want)
		}
	}
	var stdout, stderr bytes.Buffer
	cmd := JudgeCommand()
	traced := filepath.Join(t.TempDir(), "trace.jsonl")
	cmd.SetArgs([]string{pcap, "--keys", keys, "--trace", traced, "--check", "handshake/*", "--out", filepath.Join(t.TempDir(), "out")})
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	if b := readTest(t, traced); !bytes.Contains(b, []byte("20 byte event data!!")) {
		t.Error("the trace does not say what was said")
	}
}
