package conformance

import (
	"strings"
	"testing"

	"github.com/muster/muster/harness/report"
)

// TestAllFindingsAreKept records one finding on each of many devices: the report
// names every device, and text for people the first ones.
func TestAllFindingsAreKept(t *testing.T) {
	r := new(Recorder)
	r.Judged(1)
	for range 499 {
		r.Fail(report.Finding{Text: "broken", Packets: []string{"a packet"}})
	}
	r.Remark(report.Finding{Text: "odd", Packets: []string{"a packet"}})
	result := r.result(report.Result{Suite: "s", Check: "c"})
	if len(result.Findings) != 500 || result.Findings[499].Text != "odd" {
		t.Errorf("%d findings, the last %+v", len(result.Findings), result.Findings[len(result.Findings)-1])
	}
	if len(result.Findings[0].Packets) != 1 || len(result.Findings[400].Packets) != 0 {
		t.Error("packets are kept of the first findings only")
	}
	var b strings.Builder
	run := &report.Run{Results: []report.Result{result}}
	if err := run.WriteTerminal(&b, false); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "broken"); n != 20 || !strings.Contains(b.String(), "480 more findings") {
		t.Errorf("%d findings are shown:\n%s", n, &b)
	}
}
