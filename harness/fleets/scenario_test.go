package fleets

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster/muster/sim/record"
)

// everything uses the cloud in every way that a scenario can, one group for each so
// that they do not disturb one another.
const everything = `name: everything
seed: 11
groups:
  - name: restarting
    devices: 6
    profiles: [boron@6.2.0, argon@3.1.0]
    reconnect: {every: 4s}
    publish: [{event: a, on: online}]
  - name: called
    devices: 4
    profiles: boron@6.2.0
    functions: [{name: led, returns: 7, delay: 20ms}]
    variables: [{name: level, type: int, value: 5}]
    subscribe: [news, a]
  - name: updated
    devices: 4
    profiles: [argon@6.2.0, boron@3.1.0]
phases:
  - {name: arrive, duration: 12s, arrive: {over: 4s}}
  - {name: live, duration: 20s}
callers:
  - {name: f, do: function, group: called, target: led, rate: 2/s, phases: [live]}
  - {name: v, do: variable, group: called, target: level, rate: 2/s, phases: [live]}
  - {name: p, do: publish, group: called, target: news, argument: hot, rate: 1/s, phases: [live]}
campaigns:
  - {name: new application, group: updated, phase: live, size: 4KiB, waves: [25%, 100%], pause: 1s}
thresholds:
  - {expr: bytes(resume) <= 142, phase: live, group: restarting}
  - {expr: "ratio(calls_failed, calls) < 20%", phase: live}
`

// A scenario against the reference cloud, as a user would run it: sessions resume in
// 142 bytes, programs call devices, a campaign updates them.
func TestScenario(t *testing.T) {
	t.Parallel() // it waits most of the time
	dir := t.TempDir()
	cloud := startCloud(t, filepath.Join(dir, "cloud"))
	file, out := filepath.Join(dir, "everything.yaml"), filepath.Join(dir, "out")
	if err := os.WriteFile(file, []byte(everything), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	login, err := os.ReadFile(filepath.Join(cloud.data, "login.txt"))
	if err != nil {
		t.Fatal(err)
	}
	_, tcpPort, _ := strings.Cut(cloud.tcp, ":")
	cmd := exec.CommandContext(t.Context(), self, "fleet", "run", file, "--register", filepath.Join(cloud.data, "devices"),
		"--cloud", cloud.udp, "--tcp-port", tcpPort, "--cloud-key", cloud.data, "--api", cloud.api,
		"--token-file", filepath.Join(cloud.data, "login.txt"), "--out", out)
	cmd.Env = append(os.Environ(), beMuster+"=1")
	said, err := cmd.CombinedOutput()
	// 3: this machine was too busy for a verdict; what must be true is looked at below.
	if code := cmd.ProcessState.ExitCode(); code != 0 && code != 3 {
		t.Fatalf("%v\n%s", err, said)
	}
	r, _, err := record.Load(out)
	if err != nil {
		t.Fatal(err)
	}
	restarting, called, updated := r.Sum("live", "restarting"), r.Sum("live", "called"), r.Sum("live", "updated")
	// On a machine that stands still for seconds a device repeats itself once in a while.
	n, bytes := restarting.Counts[record.Resumes], restarting.Bytes[record.ActResume].Total()
	if n < 10 || bytes < 140*n || bytes > 150*n {
		t.Errorf("%d resumes took %d bytes, want 142 each", n, bytes)
	}
	if n := called.Counts; n[record.FunctionsCalled] < 10 || n[record.VariablesRead] < 10 || n[record.EventsReceived] < 10 || called.Times[record.CallTime].Count() < 20 {
		t.Errorf("calls: %v %v", n, called.Errors)
	}
	if d := called.Times[record.DeliveryTime]; d.Count() < 10 {
		t.Errorf("%d events were timed from one device to another", d.Count())
	}
	if n := updated.Counts; n[record.UpdatesApplied] != 4 || n[record.UpdatesFailed] != 0 || updated.Times[record.UpdateTime].Count() != 4 || updated.Bytes[record.ActUpdate].Down < 4*4096 {
		t.Errorf("updates: %v %v", n, updated.Bytes)
	}
	if t.Failed() {
		t.Logf("%s", said)
	}
	// No secret is in the record.
	for _, line := range strings.Split(string(login), "\n") {
		_, secret, found := strings.Cut(line, ": ")
		if !found || len(secret) < 10 {
			continue
		}
		for _, name := range []string{record.RunFile, record.SamplesFile, "report.html"} {
			if b, err := os.ReadFile(filepath.Join(out, name)); err != nil || strings.Contains(string(b), strings.TrimSpace(secret)) {
				t.Errorf("%s: %v, or it holds a secret", name, err)
			}
		}
	}
}
