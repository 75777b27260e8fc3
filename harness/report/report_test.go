package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/harness/timeline"
)

// sample is a run with one of everything.
func sample() *Run {
	return &Run{
		Tool: "muster conform", Version: "test", Seed: 42, Started: time.Unix(1_700_000_000, 0).UTC(),
		Duration: 12 * time.Second, Cloud: "reference cloud", Device: "4 simulated devices",
		Repeat: "muster conform --seed 42",
		Cohorts: []Cohort{
			{Board: "photon", DeviceOS: "0.5.3", Transport: "tcp", Devices: 2},
			{Board: "boron", DeviceOS: "6.2.0", Transport: "udp", Devices: 2},
		},
		Results: []Result{
			{Suite: "handshake", Check: "connects", DeviceOS: "6.2.0", Transport: "udp", Verdict: Pass, Devices: 2},
			{Suite: "handshake", Check: "connects", DeviceOS: "0.5.3", Transport: "tcp", Verdict: Pass, Devices: 2},
			{
				Suite: "resume", Check: "bytes", DeviceOS: "6.2.0", Transport: "udp", Verdict: Fail, Devices: 2,
				Requirements: []string{"R-71"}, Repeat: "muster conform resume/bytes --seed 42",
				Findings: []Finding{{
					Verdict: Fail, Requirement: "R-71", Device: "e00fce68aabbccddeeff0011",
					Text: "a resume costs too much", Expected: "142 bytes", Actual: "160 <b>bytes</b>",
					Packets: []string{"> 253 CON EMPTY mid=0007"},
				}},
				Measurements: []Measurement{{Name: "resume", Unit: "B", Min: 160, Median: 160, Max: 160, Limit: 142, Exact: true, Count: 2}},
			},
			{Suite: "resume", Check: "bytes", DeviceOS: "0.5.3", Transport: "tcp", Verdict: Unsupported, Reason: "TCP has no resume"},
		},
		Ledger: []LedgerRow{{
			Phase: "resume", DeviceOS: "6.2.0", Transport: "udp", Devices: 2, Count: 2,
			Up: Cost{1, 53, 28}, Down: Cost{1, 33, 28}, Total: Spread{142, 150, 160}, Budget: 142,
		}},
	}
}

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		name string
		edit func(*Run)
		want int
	}{
		{"failure", func(*Run) {}, ExitFailures},
		{"clean", func(r *Run) { r.Results = r.Results[:2] }, ExitClean},
		{"unsupported is no failure", func(r *Run) { r.Results[2].Verdict = Unsupported }, ExitClean},
		{"inconclusive", func(r *Run) { r.Results[2].Verdict = Inconclusive }, ExitInconclusive},
		{"something did not run", func(r *Run) { r.Results[2].Verdict = NotRun }, ExitInconclusive},
		{"nothing selected", func(r *Run) { r.Results = nil }, ExitInconclusive},
		{"only unsupported", func(r *Run) { r.Results = r.Results[3:] }, ExitInconclusive},
		{"interrupted wins", func(r *Run) { r.Interrupted = true }, ExitInterrupted},
	} {
		run := sample()
		test.edit(run)
		if got := run.ExitCode(); got != test.want {
			t.Errorf("%s: exit code %d, want %d", test.name, got, test.want)
		}
	}
}

func TestLadderIsFullAndReadable(t *testing.T) {
	for v := range numVerdicts {
		text, err := v.MarshalText()
		if err != nil || len(text) == 0 || v.Mark() == "" {
			t.Errorf("verdict %d: text %q, mark %q, error %v", v, text, v.Mark(), err)
		}
		var back Verdict
		if err := back.UnmarshalText(text); err != nil || back != v {
			t.Errorf("%q reads back as %v, %v", text, back, err)
		}
	}
	if err := new(Verdict).UnmarshalText([]byte("fine")); err == nil {
		t.Error("an unknown word was accepted")
	}
	if Worse(Fail, Pass) != Fail || Worse(Pass, Inconclusive) != Inconclusive {
		t.Error("the ladder does not take the worse")
	}
}

func TestGenerationsAreInOrder(t *testing.T) {
	run := &Run{Results: []Result{
		{DeviceOS: "10.0.0", Transport: "udp"},
		{DeviceOS: "6.2.0", Transport: "udp"},
		{DeviceOS: "0.5.3", Transport: "udp"},
		{DeviceOS: "0.5.3", Transport: "tcp"},
		{DeviceOS: "any"},
	}}
	var got []string
	for _, g := range run.Generations() {
		got = append(got, g.String())
	}
	want := []string{"0.5.3 tcp", "0.5.3 udp", "6.2.0 udp", "10.0.0 udp", "any"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestJSONReadsBack(t *testing.T) {
	var buf bytes.Buffer
	if err := sample().WriteJSON(&buf); err != nil {
		t.Fatal(err)
	}
	back, err := ReadJSON(&buf)
	if err != nil {
		t.Fatal(err)
	}
	want := sample()
	want.Format = FormatVersion
	if !reflect.DeepEqual(back, want) {
		t.Errorf("got %+v, want %+v", back, want)
	}
}

func TestJSONOfANewerFormIsRefused(t *testing.T) {
	for text, want := range map[string]string{`{"format": 2}`: "newer muster", `[]`: "no report"} {
		if _, err := ReadJSON(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := ReadJSON(strings.NewReader(`{"tool": "muster conform"}`)); err != nil {
		t.Errorf("a report from before the form had a number: %v", err)
	}
}

func TestJUnitNamesAreStableAndCountsRight(t *testing.T) {
	var buf bytes.Buffer
	if err := sample().WriteJUnit(&buf); err != nil {
		t.Fatal(err)
	}
	// Read with a decoder that knows only the schema, not the library that wrote it.
	var got struct {
		XMLName xml.Name `xml:"testsuites"`
		Suites  []struct {
			Name     string `xml:"name,attr"`
			Tests    int    `xml:"tests,attr"`
			Failures int    `xml:"failures,attr"`
			Skipped  int    `xml:"skipped,attr"`
			Cases    []struct {
				Class   string `xml:"classname,attr"`
				Name    string `xml:"name,attr"`
				Failure *struct {
					Message string `xml:"message,attr"`
					Text    string `xml:",chardata"`
				} `xml:"failure"`
				Skipped *struct {
					Message string `xml:"message,attr"`
				} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(buf.Bytes(), &got); err != nil {
		t.Fatalf("%v in:\n%s", err, buf.String())
	}
	if len(got.Suites) != 2 || got.Suites[1].Tests != 2 || got.Suites[1].Failures != 1 || got.Suites[1].Skipped != 1 {
		t.Fatalf("got %+v", got.Suites)
	}
	failed := got.Suites[1].Cases[0]
	if failed.Class != "resume.6.2.0.udp" || failed.Name != "bytes" {
		t.Errorf("class %q and name %q, want resume.6.2.0.udp and bytes", failed.Class, failed.Name)
	}
	for _, part := range []string{"142 bytes", "253 CON EMPTY", "to repeat: muster conform resume/bytes --seed 42"} {
		if failed.Failure == nil || !strings.Contains(failed.Failure.Text, part) {
			t.Errorf("the failure does not show %q: %+v", part, failed.Failure)
		}
	}
	if skipped := got.Suites[1].Cases[1].Skipped; skipped == nil || skipped.Message != "unsupported: TCP has no resume" {
		t.Errorf("got %+v", skipped)
	}
}

// pageOf returns the page of a run.
func pageOf(t *testing.T, run *Run) string {
	t.Helper()
	var buf bytes.Buffer
	if err := run.WriteHTML(&buf); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

func TestPageStandsAlone(t *testing.T) {
	html := pageOf(t, sample())
	for _, outside := range []string{"http://", "https://", "src=", "<link", "@import", "url("} {
		if strings.Contains(html, outside) {
			t.Errorf("the page reaches outside itself: %q", outside)
		}
	}
	if strings.Contains(html, "<b>bytes</b>") {
		t.Error("a finding is not escaped")
	}
	for _, part := range []string{"resume/bytes", "R-71", "0.5.3 tcp", "class=\"bar over\"", "muster conform --seed 42", "1 of 4 results failed"} {
		if !strings.Contains(html, part) {
			t.Errorf("the page does not show %q", part)
		}
	}
}

// TestPageShowsEverything looks for each part of the model on the page.
func TestPageShowsEverything(t *testing.T) {
	run := full()
	run.Requirements = []Requirement{{ID: "R-71", Level: "MUST", Text: "a resume is cheap", Source: "transport §3.9"}}
	run.Capabilities = []Capability{{Name: "ota3", Declared: "yes", Probed: "no", Text: "asked"}}
	run.Omissions = []Omission{{What: "slow/*", Reason: "not selected", Checks: 12}}
	run.Baseline = &Baseline{Name: "acme.yaml", Differences: []Difference{{Check: "resume/bytes", Expected: Pass, Actual: Fail, Text: "new failure"}}}
	run.Flakes = &FlakeBudget{Allowed: 2, Used: 1}
	run.Notes = []string{"cut when captured"}
	run.Evidence = &Evidence{Path: "bundle", Packets: 9, LeftOut: []string{"too large"}}
	run.Results[2].Measurements[0].Samples = []Sample{{Device: "e00f", Value: 160, Packets: []string{"> the ping"}}}
	run.Traffic = []Traffic{{At: 0, For: time.Second, Up: 10, Down: 20}}
	run.Timeline = []timeline.Event{
		{At: 0, For: time.Second, Lane: "run", Kind: timeline.Step, Text: "resume/bytes", Check: "resume/bytes"},
		{At: 5, Lane: "/dev/ttyACM0", Kind: timeline.Serial, Text: "boot <ok>"},
		{At: 6, Lane: "e00fce68aabbccddeeff0011", Kind: timeline.Device, Text: "online", Level: timeline.Good},
		{At: 7, Lane: "e00fce68aabbccddeeff0099", Kind: timeline.Device, Text: "of no interest"},
	}
	html := pageOf(t, run)
	for _, part := range []string{
		"a resume is cheap", "transport §3.9", "contradicts itself", "slow/*", "acme.yaml", "new failure", "passed only when tried again",
		"cut when captured", "bundle/traffic.pcapng", "too large", "&gt; the ping", "2 attempts", "bug 12", "<svg", "boot &lt;ok&gt;", "online",
		"href=\"#r2\"", "id=\"r2\"", "10 B up, 20 B down",
	} {
		if !strings.Contains(html, part) {
			t.Errorf("the page does not show %q", part)
		}
	}
	if drawn, _, _ := strings.Cut(html, "</svg>"); strings.Contains(drawn, "of no interest") {
		t.Error("devices without findings crowd the timeline")
	}
	for i := range run.Results {
		if link := fmt.Sprintf("href=\"#r%d\"", i); strings.Contains(html, link) && !strings.Contains(html, fmt.Sprintf("id=\"r%d\"", i)) {
			t.Errorf("%s leads nowhere", link)
		}
	}
}

// TestPageOfABench: a run with a board shows its packets beside its console, and all
// of it line by line; a run with thousands of devices does not.
func TestPageOfABench(t *testing.T) {
	run := full()
	packets := []timeline.Event{
		{At: 5, Lane: "e00fce68aabbccddeeff0011", Kind: timeline.Packet, Text: "up 53+28 [253 #1 CON EMPTY] <Ping>", Packet: 1},
		{At: 6, Lane: "e00fce68aabbccddeeff0011", Kind: timeline.Packet, Text: "down 33+28 [23 #1 ACK EMPTY]", Packet: 2},
	}
	run.Timeline = packets
	if html := pageOf(t, run); strings.Contains(html, `id="log"`) || strings.Contains(html, "CON EMPTY] &lt;Ping") {
		t.Error("the packets of simulated devices crowd the page")
	}
	run.Timeline = append([]timeline.Event{
		{At: 1, Lane: "power", Kind: timeline.Power, Text: "boron-1: cut by hub"},
		{At: 2, Lane: "usb", Kind: timeline.USB, Text: "boron-1: the port is gone"},
		{At: 3, Lane: "boron-1", Kind: timeline.Serial, Text: "application started"},
		{At: 4, Lane: "cloud", Kind: timeline.Cloud, Text: "online, session resumed"},
	}, packets...)
	drawn, lines, found := strings.Cut(pageOf(t, run), "</svg>")
	if !found {
		t.Fatal("no timeline")
	}
	for _, text := range []string{"cut by hub", "the port is gone", "application started", "session resumed", "CON EMPTY] &lt;Ping&gt;", "ACK EMPTY"} {
		if !strings.Contains(drawn, text) || !strings.Contains(lines, text) {
			t.Errorf("%q: drawn %v, among the lines %v", text, strings.Contains(drawn, text), strings.Contains(lines, text))
		}
	}
	run.Timeline = append(run.Timeline, make([]timeline.Event, logMax)...)
	if html := pageOf(t, run); !strings.Contains(html, "6 more in timeline.jsonl") {
		t.Error("nobody says what was left out")
	}
}

func TestRequirementsAreInOrder(t *testing.T) {
	run := &Run{Results: []Result{{Suite: "a", Check: "b", Requirements: []string{"R-10", "R-9", "S14", "C-2", "S2"}, Verdict: Pass}}}
	var got []string
	for _, row := range newMatrix(run).requirements() {
		got = append(got, row.ID)
	}
	if text := strings.Join(got, " "); text != "S2 S14 C-2 R-9 R-10" {
		t.Errorf("got %s", text)
	}
}

// TestKnownFailuresDoNotShout: what the baseline expects is no red cell.
func TestKnownFailuresDoNotShout(t *testing.T) {
	run := &Run{Results: []Result{{Suite: "a", Check: "b", Requirements: []string{"R-1"}, Verdict: Fail, Deviation: &Deviation{Owner: "ann", Reason: "known"}}}}
	if cell := newMatrix(run).requirements()[0].Cells[0]; cell.Verdict != PassWithRemark || !strings.Contains(cell.Title, "known") {
		t.Errorf("%+v", cell)
	}
}

func TestTreeShowsPacketsOnce(t *testing.T) {
	run := sample()
	other := run.Results[2]
	other.DeviceOS = "3.1.0"
	other.Text = "a resume costs little"
	run.Results = append(run.Results, other)
	var buf bytes.Buffer
	if err := run.WriteTerminal(&buf, false); err != nil {
		t.Fatal(err)
	}
	text := buf.String()
	if strings.Count(text, "253 CON EMPTY") != 1 || strings.Count(text, "1 packet: see the page") != 1 {
		t.Errorf("packets:\n%s", text)
	}
	for _, part := range []string{"✗ resume\n└─ ✗ bytes  [R-71]\n", "├─ ✗ Device OS 6.2.0 udp", "└─ ✗ Device OS 3.1.0 udp", "expected: 142 bytes"} {
		if !strings.Contains(text, part) {
			t.Errorf("the tree does not show %q:\n%s", part, text)
		}
	}
}

// TestTitlesAreNotCut: the table of one device is narrower than its title.
func TestTitlesAreNotCut(t *testing.T) {
	run := sample()
	run.Results = run.Results[:1]
	var buf bytes.Buffer
	if err := run.WriteTerminal(&buf, false); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(buf.String(), "Verdicts by suite and Device OS generation") {
		t.Errorf("the title is in pieces:\n%s", buf.String())
	}
}

func TestSummaryIsTheLastThingOnTheScreen(t *testing.T) {
	run := sample()
	var buf bytes.Buffer
	if err := run.WriteTerminal(&buf, false); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(buf.String()), "\n")
	last := lines[len(lines)-1]
	if last != "to repeat: muster conform --seed 42" {
		t.Errorf("last line %q", last)
	}
	if summary := lines[len(lines)-2]; !strings.Contains(summary, "1 fail") || !strings.Contains(summary, "4 devices, 4 checks") {
		t.Errorf("summary %q", summary)
	}
	if strings.Contains(buf.String(), "\x1b[") {
		t.Error("colour in plain output")
	}
}
