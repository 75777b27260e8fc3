package fleetcompare

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/record/recordtest"
)

func side(t *testing.T, o recordtest.Options) *Side {
	t.Helper()
	o.Every, o.Devices = 4*time.Second, 20_000
	s, err := Read(recordtest.Folder(t, o))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// row finds a number of the whole fleet.
func (c *Comparison) row(t *testing.T, phase, group, name string) Row {
	t.Helper()
	for _, r := range c.Rows {
		if r.Phase == phase && r.Group == group && r.Name == name {
			return r
		}
	}
	t.Fatalf("there is no %s of %s in %s", name, group, phase)
	return Row{}
}

// Two runs of the same thing differ by chance only, and a slower cloud is found out.
func TestCompare(t *testing.T) {
	a, b, slow := side(t, recordtest.Options{Seed: 1}), side(t, recordtest.Options{Seed: 2}), side(t, recordtest.Options{Seed: 3, Slower: 1.4})
	same := Compare(a, b, 0.05)
	for _, r := range same.Rows {
		if r.Verdict == Worse || r.Verdict == Better || r.Verdict == Changed {
			t.Errorf("chance is taken for a change: %+v", r)
		}
	}
	if same.ExitCode() != exitAlike || same.Headline() != "no difference beyond the noise" {
		t.Errorf("exit code %d: %s", same.ExitCode(), same.Headline())
	}
	if got := strings.Join(same.Conditions, "; "); got != "seed: 1 → 2" {
		t.Errorf("conditions: %s", got)
	}
	worse := Compare(a, slow, 0.05)
	for _, name := range []string{"an event, p50", "an event, p99"} {
		for _, group := range []string{"", "borons"} {
			if r := worse.row(t, "hold", group, name); r.Verdict != Worse || !strings.HasPrefix(r.Change, "+") {
				t.Errorf("%+v", r)
			}
		}
	}
	if r := worse.row(t, "hold", "", "events acknowledged"); r.Verdict != Same {
		t.Errorf("%+v", r)
	}
	if r := worse.row(t, "ramp", "", "bytes of a handshake"); r.Verdict != Same {
		t.Errorf("%+v", r)
	}
	if r := worse.row(t, "hold", "", "an event, max"); r.Verdict != Few {
		t.Errorf("a maximum is judged: %+v", r)
	}
	if worse.ExitCode() != exitWorse || worse.Broken() != 1 {
		t.Errorf("exit code %d, %d thresholds fail", worse.ExitCode(), worse.Broken())
	}
	better := Compare(slow, a, 0.05)
	if r := better.row(t, "hold", "", "an event, p99"); r.Verdict != Better || better.ExitCode() != exitAlike {
		t.Errorf("exit code %d, %+v", better.ExitCode(), r)
	}
	var out bytes.Buffer
	if err := worse.WriteText(&out, false, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Not the same", "seed: 1 → 3", "an event, p99", "+4", "worse", "fails now", "repeat both runs", "1 threshold fails now"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, out.String())
		}
	}
	out.Reset()
	if err := worse.Pair().WriteHTML(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"fail", "Time of an event, p99", "within the noise", "All percentiles: event, from when due", "seed: 1 → 3"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if dir := os.Getenv("MUSTER_SCREENSHOTS"); dir != "" {
		_ = os.WriteFile(filepath.Join(dir, "compare.html"), out.Bytes(), 0o600)
	}
}

// Where a generator was the bottleneck nothing is called better or worse.
func TestSpoilt(t *testing.T) {
	c := Compare(side(t, recordtest.Options{Seed: 1}), side(t, recordtest.Options{Seed: 2, Slower: 1.5, Overloaded: true}), 0.05)
	if r := c.row(t, "storm", "", "an event, p99"); r.Verdict != Spoilt {
		t.Errorf("%+v", r)
	}
	if r := c.row(t, "hold", "", "an event, p99"); r.Verdict != Worse {
		t.Errorf("a phase that was not spoilt: %+v", r)
	}
	if len(c.Doubts) == 0 || !strings.Contains(c.Doubts[0], "B: in phase storm the generator was the bottleneck") {
		t.Errorf("doubts: %v", c.Doubts)
	}
}

func TestJudge(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	around := func(mean, spread float64, n int) []float64 {
		list := make([]float64, piecesOf)
		for i := range list {
			if list[i] = mean + spread*r.NormFloat64(); i >= n {
				list[i] = math.NaN()
			}
		}
		return list
	}
	trend := func(add float64) []float64 { // what every storm does over its time
		list := make([]float64, piecesOf)
		for i := range list {
			list[i] = 10*float64(i) + add + 0.1*r.NormFloat64()
		}
		return list
	}
	for _, c := range []struct {
		name   string
		a, b   float64
		pa, pb []float64
		better int
		want   Verdict
	}{
		{"small", 100, 104, around(100, 0.1, 10), around(104, 0.1, 10), -1, Same},
		{"clear", 100, 120, around(100, 2, 10), around(120, 2, 10), -1, Worse},
		{"clear-and-good", 100, 80, around(100, 2, 10), around(80, 2, 10), -1, Better},
		{"more-is-better", 100, 80, around(100, 2, 10), around(80, 2, 10), 1, Worse},
		{"neither", 100, 80, around(100, 2, 10), around(80, 2, 10), 0, Changed},
		{"noisy", 100, 110, around(100, 60, 10), around(110, 60, 10), -1, Noise},
		{"trend", 45, 50, trend(0), trend(5), -1, Worse},
		{"few", 100, 120, around(100, 2, 4), around(120, 2, 4), -1, Few},
		{"missing", 100, math.NaN(), around(100, 2, 10), around(0, 0, 0), -1, Few},
		{"pieces-disagree", 100, 120, around(120, 1, 10), around(100, 1, 10), -1, Noise},
		{"equal", 100, 120, []float64{1, 1, 1, 1, 1, 1}, []float64{2, 2, 2, 2, 2, 2}, -1, Worse},
	} {
		if got := judge(c.a, c.b, c.pa, c.pb, c.better, 0.05); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// Chance alone is seldom taken for a change: once in some hundreds of comparisons.
func TestFalseAlarms(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	alarms := 0
	const tries = 3000
	for range tries {
		var pa, pb []float64
		sa, sb := 0.0, 0.0
		for range piecesOf {
			a, b := 100*math.Exp(0.5*r.NormFloat64()), 100*math.Exp(0.5*r.NormFloat64())
			pa, pb, sa, sb = append(pa, a), append(pb, b), sa+a, sb+b
		}
		if v := judge(sa, sb, pa, pb, -1, 0.05); v == Worse || v == Better {
			alarms++
		}
	}
	if alarms > tries/150 {
		t.Errorf("%d false alarms in %d comparisons", alarms, tries)
	}
}

func TestChange(t *testing.T) {
	for _, c := range []struct {
		a, b float64
		want string
	}{{100, 150, "+50 %"}, {100, 98.6, "-1.4 %"}, {100, 100.01, "0 %"}, {0, 5, "new"}, {1, 40, "×40"}, {math.NaN(), 1, ""}} {
		if got := change(c.a, c.b); got != c.want {
			t.Errorf("%v to %v: got %q, want %q", c.a, c.b, got, c.want)
		}
	}
}

func TestCommand(t *testing.T) {
	a := recordtest.Folder(t, recordtest.Options{Seed: 1, Every: 5 * time.Second})
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		cmd := Command()
		cmd.SetArgs(args)
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		err := cmd.Execute()
		return out.String(), err
	}
	page := filepath.Join(t.TempDir(), "c.html")
	out, err := run(a, a, "--html", page)
	if err != nil || !strings.Contains(out, "no difference beyond the noise") {
		t.Errorf("%v:\n%s", err, out)
	}
	if b, err := os.ReadFile(page); err != nil || !bytes.HasPrefix(b, []byte("<!doctype html>")) {
		t.Errorf("the page: %v", err)
	}
	var exit interface{ ExitCode() int }
	slow := recordtest.Folder(t, recordtest.Options{Seed: 1, Every: 5 * time.Second, Devices: 20_000, Slower: 2})
	if _, err := run(recordtest.Folder(t, recordtest.Options{Seed: 1, Every: 5 * time.Second, Devices: 20_000}), slow); !errors.As(err, &exit) || exit.ExitCode() != 4 {
		t.Errorf("a slower run: %v", err)
	}
	var usage interface{ Usage() }
	if _, err := run(a, t.TempDir()); !errors.As(err, &usage) {
		t.Errorf("no folder of a run: %v", err)
	}
	if err := os.Remove(filepath.Join(a, record.RunFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := run(a, slow); !errors.As(err, &usage) || !strings.Contains(err.Error(), "was killed") {
		t.Errorf("a killed run: %v", err)
	}
}
