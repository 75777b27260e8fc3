package conformance

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster/muster/harness/fakerig"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
)

// benchOf is a bench of fake boards with simulated devices of these profiles inside.
func benchOf(t *testing.T, profiles ...string) (*fakerig.Bench, *target.RigOptions) {
	t.Helper()
	bench, err := fakerig.Start(t.TempDir(), profiles...)
	if err != nil {
		t.Skipf("no bench here: %v", err)
	}
	t.Cleanup(func() {
		if err := bench.Close(); err != nil {
			t.Error(err)
		}
	})
	rig, err := bench.Rig()
	if err != nil {
		t.Fatal(err)
	}
	return bench, rig
}

// TestBoardOnARig judges a fake board, with a simulated device inside, as "muster
// conform --device rig:NAME" judges a real one.
func TestBoardOnARig(t *testing.T) {
	bench, rig := benchOf(t, "boron@6.2.0", "boron@6.2.0")
	bench.SetDelay(20 * time.Millisecond)
	t.Parallel() // it waits most of the time
	var mu sync.Mutex
	said := map[string]bool{}
	run, err := Run(t.Context(), Options{
		Seed: 7, Patience: 2 * time.Minute, plain: true, Timeout: 20 * time.Minute,
		Spec:   &target.Spec{Device: &target.DeviceSpec{Rig: "pool=fake*2"}},
		Select: []string{"handshake", "functions", "variables", "pubsub", "ota/update", "resume", "bench"},
		Target: func(o *target.Options) { o.Rig = rig },
		Log: func(source, line string) {
			mu.Lock()
			defer mu.Unlock()
			said[source] = true
			if !strings.Contains(line, "alive") {
				t.Log(source, line)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	passed := 0
	for _, r := range run.Results {
		switch r.Verdict {
		case report.Pass, report.PassWithRemark:
			passed++
		case report.Fail, report.Inconclusive:
			t.Errorf("%s: %v %s %+v", r.Name(), r.Verdict, r.Reason, r.Findings)
		default:
			t.Logf("%s: %v %s", r.Name(), r.Verdict, r.Reason)
		}
	}
	if passed < 15 {
		t.Errorf("%d checks passed", passed)
	}
	expect(t, run, report.Pass, "ota/update", "pubsub/publish", "pubsub/across", "resume/bytes", "resume/no-handshake", "bench/reset", "bench/power-cut",
		"bench/sleep", "bench/reset-in-update", "bench/power-cut-in-update", "bench/power-cut-in-apply")
	for _, source := range []string{"board-1", "board-2", target.USBSource, target.RigSource} {
		if !said[source] {
			t.Errorf("%s said nothing", source)
		}
	}
}

// TestPuppetsBeforeABoard plays before a fake board: its power is cut before each stage, and
// it is reset where it goes on with its session.
func TestPuppetsBeforeABoard(t *testing.T) {
	_, rig := benchOf(t, "boron@6.2.0")
	t.Parallel() // it waits most of the time
	checks := []string{"dispatch/unknown", "dispatch/reset", "receiving/update", "receiving/cancel", "restore/resume", "records/cloud-closes", "publishing/reset"}
	run, err := Run(t.Context(), Options{
		Seed: 7, Patience: 3 * time.Minute, plain: true, Timeout: 20 * time.Minute,
		Spec: &target.Spec{Device: &target.DeviceSpec{Rig: "board-1"}}, Select: append(checks, "receiving/acks"),
		Target: func(o *target.Options) { o.Rig = rig },
		Log: func(source, line string) {
			if !strings.Contains(line, "alive") {
				t.Log(time.Now().Format(time.TimeOnly), source, line)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range run.Results {
		if r.Verdict == report.Fail || r.Verdict == report.Inconclusive {
			t.Errorf("%s: %v %s %+v", r.Name(), r.Verdict, r.Reason, r.Findings)
		}
		t.Logf("%s: %v %s %v", r.Name(), r.Verdict, r.Reason, r.Duration)
	}
	expect(t, run, report.Pass, checks...)
	expect(t, run, report.Unsupported, "receiving/acks") // is about milliseconds
}

// TestBoardThatIsUnpluggedInTheMiddle goes on with the other boards of the pool: what was
// found of it is no failure of its firmware, and is told with its name.
func TestBoardThatIsUnpluggedInTheMiddle(t *testing.T) {
	bench, rig := benchOf(t, "boron@6.2.0", "boron@6.2.0")
	rig.Away, rig.Bench.Times.Return = 20*time.Second, 20*time.Second // a fake board is back within one
	t.Parallel()                                                      // it waits most of the time
	var unplug sync.Once
	said := make(chan string, 1000)
	run, err := Run(t.Context(), Options{
		Seed: 7, Patience: time.Minute, plain: true, Timeout: 20 * time.Minute,
		Spec: &target.Spec{Device: &target.DeviceSpec{Rig: "pool=fake*2"}}, Select: []string{"handshake/connects", "dispatch/unknown", "bench/reset"},
		Target: func(o *target.Options) { o.Rig = rig },
		Log: func(source, line string) {
			select {
			case said <- source + " " + line:
			default: // nobody reads any more
			}
		},
		Progress: func(_ float64, what string) {
			if !strings.HasPrefix(what, "dispatch:") {
				return
			}
			// Who looked at the bus just before that may still take it for the puppet: the
			// run goes on when the other board has lived on for a second.
			unplug.Do(func() {
				for len(said) > 0 {
					<-said
				}
				bench.Boards[0].Unplug()
				for _, want := range []string{target.USBSource + " board-1: the port is gone", "board-2 ", "board-2 "} {
					for !strings.HasPrefix(<-said, want) {
					}
				}
			})
		},
	})
	if run == nil || err == nil || !strings.Contains(err.Error(), "muster rig restore") {
		t.Fatalf("nobody says what the board is owed: %v", err)
	}
	for _, r := range run.Results {
		t.Logf("%s: %v %s %+v", r.Name(), r.Verdict, r.Reason, r.Findings)
	}
	expect(t, run, report.Pass, "handshake/connects", "dispatch/unknown")
	expect(t, run, report.Inconclusive, "bench/reset")
	if code := run.ExitCode(); code != report.ExitInconclusive {
		t.Errorf("exit code %d", code)
	}
	for _, r := range run.Results {
		if r.Verdict == report.Inconclusive && (len(r.Findings) == 0 || !strings.Contains(r.Findings[0].Text, "board board-1 is not there")) {
			t.Errorf("%s: %s %+v", r.Name(), r.Reason, r.Findings)
		}
	}
}
