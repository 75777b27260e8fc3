package conformance

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/conformance/mutants"
	"github.com/muster/muster/harness/fakerig"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/harness/vdev"
)

// The tests of this package run this very program as a device.
const (
	beDevice = "MUSTER_TEST_BE_A_DEVICE"
	beMutant = "MUSTER_TEST_BE_A_MUTANT"
)

// mutation is what is wrong with the mutant of that name, nil for none.
func mutation(name string) func(*target.DeviceConfig) {
	table := mutants.All()
	i := slices.IndexFunc(table, func(m mutants.Mutant) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return table[i].Device
}

func TestMain(m *testing.M) {
	fakerig.MainIfAsked()
	target.MainIfAsked()
	if os.Getenv(beDevice) != "" {
		os.Exit(vdev.Main(os.Args[1:], target.Application(), mutation(os.Getenv(beMutant)), os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// judgeProgram judges this program as a device.
func judgeProgram(t *testing.T, profile string, edit func(*Options, *target.ProcessSpec), args ...string) *report.Run {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Parallel() // they wait most of the time
	command := append([]string{"env", beDevice + "=1", "'" + self + "'"}, args...)
	p := &target.ProcessSpec{Command: strings.Join(command, " "), Dir: t.TempDir()}
	o := Options{
		Seed: 7, Patience: time.Minute, plain: true, Timeout: 15 * time.Minute,
		Spec: &target.Spec{Device: &target.DeviceSpec{Profile: profile, Process: p}},
		Log:  func(source, line string) { t.Log(source, line) },
	}
	edit(&o, p)
	run, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range run.Results {
		if r.Verdict != report.Pass {
			t.Logf("%s: %v %s", r.Name(), r.Verdict, r.Reason)
		}
		for _, f := range r.Findings {
			t.Logf("  %s: %s; want %s, got %s", f.Requirement, f.Text, f.Expected, f.Actual)
		}
	}
	return run
}

// verdictOf returns the verdict of the one result of a check.
func verdictOf(run *report.Run, name string) report.Verdict {
	for i := range run.Results {
		if run.Results[i].Name() == name {
			return run.Results[i].Verdict
		}
	}
	return report.NotRun
}

// expect compares the verdicts of some checks.
func expect(t *testing.T, run *report.Run, verdict report.Verdict, names ...string) {
	t.Helper()
	for _, name := range names {
		if v := verdictOf(run, name); v != verdict {
			t.Errorf("%s: %v, want %v", name, v, verdict)
		}
	}
}

func TestProgramOverUDP(t *testing.T) {
	run := judgeProgram(t, "gcc-udp@6.2.0", func(o *Options, p *target.ProcessSpec) {
		p.Commands = true
		p.Devices = make([]target.ProgramSpec, 2)
		o.Select = []string{"handshake", "functions", "variables", "pubsub/publish", "pubsub/deliver", "ota/update", "resume/bytes", "timers/keep-alive", "bench"}
	})
	expect(t, run, report.Pass, "target/capabilities", "target/canary", "handshake/connects", "functions/call", "variables/read",
		"variables/response-form", "pubsub/publish", "ota/update", "bench/power-cut", "bench/power-cut-in-update", "bench/power-cut-in-apply")
	// It loses its session with its process, and runs in real time.
	expect(t, run, report.Unsupported, "resume/bytes", "timers/keep-alive", "bench/reset", "bench/sleep", "bench/reset-in-update")
	if code := run.ExitCode(); code != report.ExitClean {
		t.Errorf("exit code %d", code)
	}
	if run.Device == "" || len(run.Capabilities) == 0 || len(run.Omissions) == 0 {
		t.Errorf("the report says too little: %q, %d capabilities, omissions %v", run.Device, len(run.Capabilities), run.Omissions)
	}
}

func TestProgramOverTCP(t *testing.T) {
	run := judgeProgram(t, "gcc@3.1.0", func(o *Options, p *target.ProcessSpec) {
		p.Pipe = true
		o.Select = []string{"handshake/connects", "functions/call", "variables/read", "pubsub/publish"}
	}, "--release", "3.1.0")
	expect(t, run, report.Pass, "target/capabilities", "target/canary", "handshake/connects", "functions/call", "variables/read")
	// Nobody said that its application takes commands.
	expect(t, run, report.Unsupported, "pubsub/publish")
}

// TestProgramDies ends the program three times before it connects.
func TestProgramDies(t *testing.T) {
	starts := 0
	run := judgeProgram(t, "gcc-udp@6.2.0", func(o *Options, _ *target.ProcessSpec) {
		o.Select = []string{"handshake/connects"}
		o.Log = func(source, line string) {
			if source == "process" && strings.Contains(line, "runs as process") {
				starts++
			}
		}
	}, "--dies", "3")
	expect(t, run, report.Pass, "handshake/connects")
	if starts != 4 {
		t.Errorf("the program was started %d times, want 4", starts)
	}
}

func TestProgramThatOffersNothing(t *testing.T) {
	run := judgeProgram(t, "gcc-udp@6.2.0", func(o *Options, _ *target.ProcessSpec) {
		o.Select = []string{"handshake/connects", "functions/call", "variables/read"}
	}, "--bare")
	expect(t, run, report.Pass, "handshake/connects")
	expect(t, run, report.Unsupported, "functions/call", "variables/read")
}

func TestProgramThatSaysYes(t *testing.T) {
	run := judgeProgram(t, "gcc-udp@6.2.0", func(o *Options, _ *target.ProcessSpec) {
		o.Select = []string{"handshake/connects", "functions/call"}
	}, "--yes")
	expect(t, run, report.Fail, "target/canary")
	expect(t, run, report.NotRun, "handshake/connects", "functions/call")
	if code := run.ExitCode(); code != report.ExitFailures {
		t.Errorf("exit code %d, want %d", code, report.ExitFailures)
	}
}

func TestProgramIsAnotherVersion(t *testing.T) {
	run := judgeProgram(t, "gcc-udp@6.2.0", func(o *Options, _ *target.ProcessSpec) {
		o.Select = []string{"handshake/connects"}
	}, "--release", "5.5.0")
	expect(t, run, report.Fail, "target/capabilities")
}

func TestProgramThatIsNone(t *testing.T) {
	run := judgeProgram(t, "gcc-udp@6.2.0", func(o *Options, p *target.ProcessSpec) {
		p.Command, o.Patience = "exec ./no-such-program", 4*time.Second // which only the shell finds out
		o.Select = []string{"handshake/connects"}
	})
	expect(t, run, report.Fail, "target/capabilities")
	expect(t, run, report.Unsupported, "handshake/connects")
}

// TestPuppetsBeforePrograms judges this program by what puppet clouds say to it: in order it
// passes, and each mutant fails the check that names it, as in virtual time.
func TestPuppetsBeforePrograms(t *testing.T) {
	t.Parallel() // it waits most of the time
	checks := []string{"dispatch/unknown", "dispatch/signal", "dtls/client-hello-bytes", "dtls/pinned-key", "records/noise", "asking/variables"}
	t.Run("in order", func(t *testing.T) {
		run := judgeProgram(t, "gcc-udp@6.2.0", func(o *Options, _ *target.ProcessSpec) { o.Select, o.Patience = checks, 2*time.Minute })
		expect(t, run, report.Pass, checks...)
	})
	for mutant, check := range map[string]string{
		"device/answers-unknown": "dispatch/unknown", "device/any-key-exchange": "dtls/pinned-key", "device/takes-replays": "records/noise",
		"device/ignores-pings": "dispatch/signal", "device/other-suites": "dtls/client-hello-bytes", "device/double-values": "asking/variables",
	} {
		t.Run(mutant, func(t *testing.T) {
			run := judgeProgram(t, "gcc-udp@6.2.0", func(o *Options, p *target.ProcessSpec) {
				o.Select, o.Patience = []string{check}, 2*time.Minute
				p.Command = "env " + beMutant + "=" + mutant + " " + p.Command
			})
			expect(t, run, report.Fail, check)
		})
	}
}

// TestPuppetsOverTCP plays before a program over TCP, and before one that registers nothing.
func TestPuppetsOverTCP(t *testing.T) {
	checks := []string{"dispatch/unknown", "dispatch/signal", "tcp/cloud-proof"}
	run := judgeProgram(t, "gcc@3.1.0", func(o *Options, p *target.ProcessSpec) {
		p.Pipe = true
		o.Select, o.Patience = checks, 2*time.Minute
	}, "--release", "3.1.0", "--bare")
	expect(t, run, report.Pass, checks...)
}
