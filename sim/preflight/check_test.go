package preflight

import (
	"bytes"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"
)

// good is a machine without anything to complain of.
func good() Facts {
	return Facts{
		OS: "linux", Cores: 8, UsedCores: 8, Memory: 24 << 30, Available: 20 << 30, Load: 0.4, FilesMax: 1 << 20, FilesMost: 1 << 20,
		ReceiveBuffer: 4 << 20, PortLow: 32768, PortHigh: 60999, Tracked: 12, TrackedMax: 1 << 21, ClockSource: "tsc", TimerLate: 200 * time.Microsecond, Random: time.Microsecond,
	}
}

func TestCheck(t *testing.T) {
	here, there := Plan{Devices: 1_000_000, Loopback: true}, Plan{Devices: 50_000}
	for _, c := range []struct {
		name   string
		plan   Plan
		change func(*Facts)
		check  string // that is not ok; "": all are
		level  Level
		want   []string
	}{
		{"a-million-here", here, func(*Facts) {}, "", OK, nil},
		{"few-elsewhere", Plan{Devices: 20_000}, func(*Facts) {}, "", OK, nil},
		{"files", Plan{Devices: 20_000}, func(f *Facts) { f.FilesMax = 1024 }, "open files", Fail, []string{"needs 20,128", "only 896 devices", "prlimit --pid $$ --nofile=32768"}},
		{"files-of-tcp-here", Plan{Devices: 5000, TCP: 2000, Loopback: true}, func(f *Facts) { f.FilesMax = 1024 }, "open files", Fail, []string{"needs 2,128"}},
		{"files-beyond-nr-open", Plan{Devices: 2_000_000, Sources: 100}, func(f *Facts) {}, "open files", Fail, []string{"fs.nr_open=2097152 && sudo prlimit"}},
		{"ports", there, func(*Facts) {}, "ports", Fail, []string{"needs 50,000 of 28,232", "only 28,232 devices", `ip_local_port_range="1024 65535"`}},
		{"ports-nearly", Plan{Devices: 27_000}, func(*Facts) {}, "ports", Warn, []string{"needs 27,000 of 28,232"}},
		{"ports-and-sources", Plan{Devices: 200_000, Sources: 2}, func(*Facts) {}, "ports", Fail, []string{"4 addresses of this machine as --source"}},
		{"ports-of-sources", Plan{Devices: 50_000, Sources: 2}, func(*Facts) {}, "", OK, nil},
		{"ports-apart", Plan{Devices: 50_000, TCP: 25_000}, func(*Facts) {}, "", OK, nil},
		{"buffers", here, func(f *Facts) { f.ReceiveBuffer = 212_992 }, "receive buffers", Warn, []string{"208 KiB", "wants 4 MiB", "net.core.rmem_max=4194304"}},
		{"tracking", here, func(f *Facts) { f.TrackedMax = 262_144 }, "connection tracking", Warn, []string{"dropped without a word", "nf_conntrack_max=1250012"}},
		{"tracking-none", here, func(f *Facts) { f.TrackedMax, f.Tracked = 262_144, 0 }, "", OK, nil},
		{"loopback", here, func(f *Facts) { f.Loopback = "127.1.0.0: not permitted" }, "loopback addresses", Fail, []string{"not permitted", "use Linux"}},
		{"memory", here, func(f *Facts) { f.Available = 3 << 30 }, "memory", Fail, []string{"needs about", "a cloud on this machine included", "muster fleet worker"}},
		{"memory-nearly", here, func(f *Facts) { f.Available = 8 << 30 }, "memory", Warn, []string{"use at most"}},
		{"one-core", here, func(f *Facts) { f.UsedCores = 1 }, "cores", Warn, []string{"take turns on one core"}},
		{"busy", here, func(f *Facts) { f.Load = 7.5 }, "other programs", Warn, []string{"7.5 programs", "inconclusive"}},
		{"clock", here, func(f *Facts) { f.ClockSource = "hpet" }, "clock", Warn, []string{"tsc | sudo tee"}},
		{"timers", here, func(f *Facts) { f.TimerLate = 30 * time.Millisecond }, "clock", Warn, []string{"30 ms late"}},
		{"random", here, func(f *Facts) { f.Random = time.Second }, "random numbers", Warn, []string{"rng-tools"}},
		{"nothing-known", there, func(f *Facts) { *f = Facts{OS: "plan9", Cores: 2, UsedCores: 2} }, "", OK, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			facts := good()
			c.change(&facts)
			bad := Problems(Check(&facts, c.plan))
			if c.check == "" {
				if len(bad) > 0 {
					t.Errorf("found %+v", bad)
				}
				return
			}
			if len(bad) != 1 || bad[0].Name != c.check || bad[0].Level != c.level {
				t.Fatalf("found %+v", bad)
			}
			var out bytes.Buffer
			Write(&out, bad, false)
			for _, want := range append(c.want, "→ ") {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is not in:\n%s", want, out.String())
				}
			}
		})
	}
}

// What is found out about this machine is plausible.
func TestLook(t *testing.T) {
	f := Look()
	if f.Cores < 1 || f.UsedCores < 1 || f.TimerLate <= -time.Millisecond {
		t.Errorf("%+v", f)
	}
	if runtime.GOOS != "linux" {
		return
	}
	if f.Memory < f.Available || f.Available == 0 || f.FilesMax == 0 || f.ReceiveBuffer < 4096 || f.PortHigh <= f.PortLow || f.Loopback != "" {
		t.Errorf("%+v", f)
	}
}

func TestCommand(t *testing.T) {
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		cmd := Command()
		cmd.SetArgs(args)
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SilenceErrors = true
		err := cmd.Execute()
		return out.String(), err
	}
	out, err := run("--devices", "10")
	if err != nil || !strings.Contains(out, "10 devices with their cloud on this machine") || !strings.Contains(out, "open files") {
		t.Errorf("%v:\n%s", err, out)
	}
	var exit interface{ ExitCode() int }
	out, err = run("--devices", "900000000", "--cloud", "192.0.2.1", "--json")
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("very many devices: %v", err)
	}
	var got struct {
		Plan     Plan
		Facts    Facts
		Findings []Finding
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.Plan.Loopback || got.Facts.Cores < 1 || len(got.Findings) < 3 {
		t.Errorf("%v: %+v", err, got)
	}
	var usage interface{ Usage() }
	if _, err := run("--devices", "5", "--tcp", "6"); !errors.As(err, &usage) {
		t.Errorf("more over TCP than there are: %v", err)
	}
}
