package report

import (
	"encoding/json"
	"strings"
	"testing"
)

func runOf(results ...Result) *Run { return &Run{Results: results, Cloud: "the reference cloud"} }

func TestCompare(t *testing.T) {
	result := func(check string, v Verdict) Result {
		return Result{Suite: "s", Check: check, DeviceOS: "6.2.0", Transport: "udp", Verdict: v}
	}
	measured := func(median int64) Result {
		r := result("bytes", Pass)
		r.Measurements = []Measurement{{Name: "resume", Unit: "B", Median: median}}
		return r
	}
	broken := result("breaks", Fail)
	broken.Findings = []Finding{{Requirement: "R-1", Text: "it broke"}}
	before := runOf(result("same", Pass), result("breaks", Pass), result("heals", Fail), result("goes", Pass), measured(142))
	after := runOf(result("same", Pass), broken, result("heals", Pass), result("comes", Unsupported), measured(150))
	before.Ledger = []LedgerRow{{Phase: "resume", DeviceOS: "6.2.0", Transport: "udp", Budget: 142, Total: Spread{Median: 142}}, {Phase: "free", Total: Spread{Median: 1}}}
	after.Ledger = []LedgerRow{{Phase: "resume", DeviceOS: "6.2.0", Transport: "udp", Budget: 142, Total: Spread{Median: 150}}, {Phase: "free", Total: Spread{Median: 2}}}
	after.Cloud = "another cloud"
	d := Compare(before, after)
	kinds := make(map[string]string)
	for i := range d.Verdicts {
		kinds[d.Verdicts[i].Check] = d.Verdicts[i].Kind()
	}
	want := map[string]string{"s/breaks": "worse", "s/heals": "better", "s/goes": "gone", "s/comes": "new"}
	if len(kinds) != len(want) || d.Same != 2 || len(d.Numbers) != 2 || len(d.Conditions) != 1 || d.Empty() {
		t.Errorf("%+v", d)
	}
	for check, kind := range want {
		if kinds[check] != kind {
			t.Errorf("%s: %q, want %q", check, kinds[check], kind)
		}
	}
	var b strings.Builder
	if err := d.WriteTerminal(&b, false); err != nil {
		t.Fatal(err)
	}
	for _, says := range []string{"it broke", "another cloud", "+8", "1 worse, 1 better, 1 new, 1 gone, 2 numbers changed, 2 results alike"} {
		if !strings.Contains(b.String(), says) {
			t.Errorf("%q is not in\n%s", says, &b)
		}
	}
	if j, err := json.Marshal(d); err != nil || !strings.Contains(string(j), `"after":"fail"`) {
		t.Errorf("%s %v", j, err)
	}
}

func TestCompareOfEquals(t *testing.T) {
	run := runOf(Result{Suite: "s", Check: "c", Verdict: Fail})
	if d := Compare(run, run); !d.Empty() || d.Same != 1 {
		t.Errorf("%+v", d)
	}
}

func TestTerminalSaysWhatWasNotJudged(t *testing.T) {
	run := runOf(Result{Suite: "s", Check: "c", Verdict: Fail, Deviation: &Deviation{Owner: "ann"}})
	run.Capabilities = []Capability{{Name: "udp", Declared: "yes", Probed: "no", Text: "nothing came back"}}
	run.Omissions = []Omission{{What: "unsupported", Reason: "no API", Checks: 7}}
	run.Flakes = &FlakeBudget{Allowed: 1, Used: 2}
	run.Baseline = &Baseline{Name: "known.yaml", Differences: []Difference{{Check: "s/d", Expected: Pass, Actual: Fail, Text: "not in the baseline"}}}
	var b strings.Builder
	if err := run.WriteTerminal(&b, false); err != nil {
		t.Fatal(err)
	}
	for _, says := range []string{
		"nothing came back", "7 × unsupported: no API", "2 results passed only when tried again, of 1",
		"known.yaml: 1 results deviate as expected, 1 differences", "s/d: expected pass, was fail: not in the baseline",
	} {
		if !strings.Contains(b.String(), says) {
			t.Errorf("%q is not in\n%s", says, &b)
		}
	}
}
