package selfwatch

import (
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/sim/record"
)

// calm is a generator with nothing to complain of.
func calm() record.Self {
	return record.Self{CPU: 0.6, MachineCPU: 0.9, Cores: 2, SchedDelay: 200 * time.Microsecond, GCPause: time.Millisecond, GCCPU: 0.02, Resident: 1 << 30}
}

// series judges a phase of twenty seconds, spoilt from the given second on.
func series(from int, spoil func(*record.Self, *record.Sample)) []Finding {
	j := Judge{Hosts: []record.Host{{Cores: 2, Memory: 8 << 30}}}
	for i := range 20 {
		self := calm()
		s := record.Sample{At: time.Duration(i+1) * time.Second, Every: time.Second, Phase: "storm", Self: &self}
		s.Count(record.Arrivals, 100)
		s.Move(record.ActPublish, record.Traffic{Up: 10_000, Down: 5_000, UpPackets: 100, DownPackets: 100})
		if i >= from {
			spoil(&self, &s)
		}
		j.Add(&s)
	}
	return j.Findings()
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name  string
		from  int
		spoil func(*record.Self, *record.Sample)
		late  bool
		want  []string // parts of what is said; none: no finding
	}{
		{"calm", 20, nil, false, nil},
		{"busy-but-in-time", 0, func(s *record.Self, _ *record.Sample) { s.CPU, s.MachineCPU = 2, 2 }, false, nil},
		{"one-hiccup", 19, func(s *record.Self, _ *record.Sample) { s.Lag = time.Second }, false, nil},
		{"own-cpu", 10, func(s *record.Self, _ *record.Sample) {
			s.CPU, s.MachineCPU, s.Lag, s.SchedDelay = 1.95, 2, 1400*time.Millisecond, 80*time.Millisecond
		}, true, []string{"in phase storm", "up to 1.4s late", "up to 80ms for a core", "used 1.9 of 2 cores", "more workers on other machines"}},
		{
			"neighbour", 10, func(s *record.Self, _ *record.Sample) {
				s.CPU, s.MachineCPU, s.SchedDelay = 0.7, 2, 60*time.Millisecond
			}, false,
			[]string{"work waited", "2.0 of 2 cores in use, 1.3 of them by other programs", "a machine of its own"},
		},
		{
			"garbage", 10, func(s *record.Self, _ *record.Sample) { s.CPU, s.GCCPU, s.GCPause = 2, 0.4, 90*time.Millisecond }, false,
			[]string{"stopped everything for up to 90ms", "40 % of its time", "GOGC"},
		},
		{"memory", 10, func(s *record.Self, _ *record.Sample) { s.Resident, s.Lag = 7800<<20, time.Second }, true, []string{"7.6 GiB of the 8.0 GiB of memory", "fewer devices"}},
		{"drops", 18, func(s *record.Self, _ *record.Sample) { s.SocketDrops = 5 }, false, []string{"dropped 10 of 2010 datagrams", "only 0.6 of 2 cores", "muster doctor"}},
		{"few-drops", 19, func(s *record.Self, _ *record.Sample) { s.SocketDrops = 1 }, false, nil},
		{"refused", 0, func(_ *record.Self, s *record.Sample) { s.Count(record.SendFailed, 3) }, false, []string{"refused to send 60 of 2060", "muster doctor"}},
		{"late-by-count", 0, func(_ *record.Self, s *record.Sample) { s.Count(record.Late, 2) }, true, []string{"40 of 2000 arrivals began late"}},
		{"throttled", 5, func(s *record.Self, _ *record.Sample) { s.SchedDelay = 50 * time.Millisecond }, false, []string{"only 0.6 of 2 cores", "throttled"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := series(c.from, c.spoil)
			if len(c.want) == 0 {
				if len(got) != 0 {
					t.Fatalf("found %v", got)
				}
				return
			}
			if len(got) != 1 {
				t.Fatalf("found %v", got)
			}
			if got[0].Late != c.late {
				t.Errorf("late is %v", got[0].Late)
			}
			if slow := c.name == "neighbour" || c.name == "garbage" || c.name == "throttled"; got[0].Slow != slow {
				t.Errorf("slow only is %v", got[0].Slow)
			}
			for _, part := range c.want {
				if !strings.Contains(got[0].String(), part) {
					t.Errorf("%q lacks %q", got[0], part)
				}
			}
		})
	}
}

// Workers are judged apart: the calm one is not blamed.
func TestJudgeWorkers(t *testing.T) {
	var j Judge
	for i := range 10 {
		for _, worker := range []string{"a", "b"} {
			self := calm()
			if worker == "b" {
				self.Lag = 2 * time.Second
			}
			j.Add(&record.Sample{At: time.Duration(i+1) * time.Second, Every: time.Second, Phase: "ramp", Worker: worker, Self: &self})
		}
	}
	got := j.Findings()
	if len(got) != 1 || got[0].Worker != "b" || !strings.Contains(got[0].What, "worker b: arrivals") {
		t.Errorf("found %v", got)
	}
}

func TestSettle(t *testing.T) {
	late := Finding{Phase: "storm", Late: true, What: "in phase storm it was late", Do: "buy a bigger one"}
	slow := Finding{Phase: "storm", Slow: true, What: "in phase storm it waited", Do: "buy a bigger one"}
	threshold := func(phase string, v record.Verdict) record.Threshold {
		return record.Threshold{Text: "p99(publish) < 1s", Phase: phase, Unit: "s", Verdict: v}
	}
	lossy := Finding{Phase: "storm", What: "in phase storm it dropped datagrams", Do: "buy a bigger one"}
	share := record.Threshold{Text: "ratio(published, publishes) > 99%", Phase: "storm", Unit: "%", Verdict: record.Fail}
	for _, c := range []struct {
		name       string
		findings   []Finding
		verdict    record.Verdict
		thresholds []record.Threshold
		want       record.Verdict
		each       []record.Verdict
	}{
		{"nothing-found", nil, record.Fail, []record.Threshold{threshold("storm", record.Fail)}, record.Fail, []record.Verdict{record.Fail}},
		{"no-thresholds", []Finding{slow}, record.Pass, nil, record.Inconclusive, nil},
		{"no-thresholds-but-failed-where-slow", []Finding{slow}, record.Fail, nil, record.Fail, nil},
		{"no-thresholds-but-failed-where-lossy", []Finding{slow, lossy}, record.Fail, nil, record.Inconclusive, nil},
		{"something-else-failed", []Finding{late}, record.Fail, []record.Threshold{threshold("storm", record.Pass)}, record.Fail, []record.Verdict{record.Inconclusive}},
		{"failed-where-spoilt", []Finding{slow}, record.Fail, []record.Threshold{threshold("storm", record.Fail)}, record.Inconclusive, []record.Verdict{record.Inconclusive}},
		{"counts-stand-where-slow", []Finding{slow}, record.Fail, []record.Threshold{share}, record.Fail, []record.Verdict{record.Fail}},
		{"counts-fall-where-lossy", []Finding{lossy}, record.Fail, []record.Threshold{share}, record.Inconclusive, []record.Verdict{record.Inconclusive}},
		{"failed-elsewhere", []Finding{slow}, record.Fail, []record.Threshold{threshold("ramp", record.Fail)}, record.Fail, []record.Verdict{record.Fail}},
		{"over-all-phases", []Finding{slow}, record.Fail, []record.Threshold{threshold("", record.Fail)}, record.Inconclusive, []record.Verdict{record.Inconclusive}},
		{"passed-though-slow", []Finding{slow}, record.Pass, []record.Threshold{threshold("storm", record.Pass)}, record.Pass, []record.Verdict{record.Pass}},
		{"passed-with-less-load", []Finding{late}, record.Pass, []record.Threshold{threshold("storm", record.Pass)}, record.Inconclusive, []record.Verdict{record.Inconclusive}},
		{"one-failure-stands", []Finding{slow}, record.Fail, []record.Threshold{threshold("storm", record.Fail), threshold("ramp", record.Fail)}, record.Fail, []record.Verdict{record.Inconclusive, record.Fail}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &record.Run{Verdict: c.verdict, Thresholds: c.thresholds, Phases: []record.Phase{{Name: "storm", End: time.Minute}}}
			Settle(r, c.findings)
			if r.Verdict != c.want {
				t.Errorf("run: got %s, want %s", r.Verdict, c.want)
			}
			for i, want := range c.each {
				if got := r.Thresholds[i]; got.Verdict != want || want == record.Inconclusive && got.Why == "" {
					t.Errorf("threshold %d: got %s (%s), want %s", i, got.Verdict, got.Why, want)
				}
			}
			if r.Verdict == record.Inconclusive && !strings.Contains(r.Why, "buy a bigger one") {
				t.Errorf("why: %q", r.Why)
			}
			if len(r.Notes) != len(c.findings) || len(r.Notes) > 0 && (r.Notes[0].At != time.Minute || !strings.HasPrefix(r.Notes[0].Text, "In phase")) {
				t.Errorf("notes: %+v", r.Notes)
			}
		})
	}
}

func TestLook(t *testing.T) {
	self := calm()
	if strain, why := Look(&self); strain != Calm || why != "" {
		t.Errorf("calm: %v %s", strain, why)
	}
	self.MachineCPU = 1.9
	if strain, why := Look(&self); strain != Busy || why != "1.9 of 2 cores in use" {
		t.Errorf("busy: %v %s", strain, why)
	}
	self.Lag = 3210 * time.Millisecond
	if strain, why := Look(&self); strain != Bottleneck || why != "arrivals begin 3.2s late" {
		t.Errorf("late: %v %s", strain, why)
	}
}
