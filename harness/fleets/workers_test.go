package fleets

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster/muster/fixtures/natstest"
	"github.com/muster/muster/sim/fleetreport"
	"github.com/muster/muster/sim/record"
)

// Of "make fleet-workers"; the defaults are for a test.
var (
	workersDevices = flag.Int("workers-devices", 60, "devices of TestFleetWorkers")
	workersLength  = flag.Duration("workers-length", time.Minute, "how long they publish")
)

// patience is for what must come in the end, on a machine that is busy.
const patience = 2 * time.Minute

// TestFleetWorkers runs a fleet on three workers against a cloud, each a process of
// its own. One worker is killed under load, and then the coordinator, which is
// started again. The report has the worker's devices taken over, and adds up to what
// the cloud has counted.
func TestFleetWorkers(t *testing.T) {
	t.Parallel() // it waits most of the time
	devices := uint64(*workersDevices)
	url := natstest.Start(t).ClientURL()
	dir := t.TempDir()
	cloud := startCloud(t, filepath.Join(dir, "cloud"))
	every := time.Second
	if devices > 500 {
		every = 10 * time.Second
	}
	file := filepath.Join(dir, "workers.yaml")
	text := fmt.Sprintf(`
name: workers
groups:
  - {name: borons, devices: %d, profiles: boron@6.2.0, publish: [{event: temp, every: %s}]}
phases:
  - {name: arrive, duration: 3s, arrive: {rate: %d/s}}
  - {name: publish, duration: %s}
thresholds: [share(online) == 100%%]
`, devices, every, max(1, devices/2), *workersLength)
	if devices > 500 {
		text = strings.Replace(text, fmt.Sprintf("duration: 3s, arrive: {rate: %d/s}", devices/2), fmt.Sprintf("duration: %ds, arrive: {rate: 150/s}", devices/100), 1)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	public := filepath.Join(dir, "fleet.jsonl")
	run(t, "fleet", "keys", file, "--keys", "seed:7", "--register", public)
	run(t, "cloud", "device", "import", public, "--data", cloud.data)

	workers := make(map[string]*process)
	for _, name := range []string{"a", "b", "c"} {
		workers[name] = start(t, io.Discard, "fleet", "worker", "--nats", url, "--name", name)
	}
	heard := cloud.hear(t, "temp")
	out := filepath.Join(dir, "out")
	_, tcpPort, _ := strings.Cut(cloud.tcp, ":")
	args := []string{
		"fleet", "run", file, "--nats", url, "--run-id", "test", "--workers", "3", "--lease", "10s", "--keys", "seed:7",
		"--cloud", cloud.udp, "--tcp-port", tcpPort, "--cloud-key", cloud.data, "--out", out, "--seed", "5", "--view", "lines",
	}
	coordinator := start(t, io.Discard, args...)
	eventually(t, "events of all devices", func() bool {
		if coordinator.ended() {
			t.Fatal("the coordinator ended by itself")
		}
		return heard.count() >= 2*devices
	})
	workers["b"].kill()
	coordinator.kill()
	coordinator = start(t, io.Discard, args...)
	eventually(t, "the end of the run", coordinator.ended)
	if code := coordinator.cmd.ProcessState.ExitCode(); code != 0 && code != 3 { // 3: this machine is busy
		t.Errorf("exit code %d", code)
	}
	r, samples, err := record.Load(out)
	if err != nil {
		t.Fatal(err)
	}
	report := ""
	for _, n := range r.Notes {
		report += fmt.Sprintf("%v %s: %s (%d)\n", n.At.Round(time.Millisecond), n.Kind, n.Text, n.Count)
	}
	all := r.Sum("", "")
	t.Logf("%s\n%v %v %v: %s\n%s", coordinator.said(), all.Counts, r.Levels, r.Verdict, r.Why, report)
	if strings.Count(report, "which worker b had, is taken over by worker") == 0 || !strings.Contains(report, "never arrived") {
		t.Error("nothing says that the killed worker's devices were taken over, or what is missing")
	}
	if len(r.Hosts) != 3 || r.Levels["borons"][record.Online] != int64(devices) {
		t.Errorf("hosts %v, at the end %v", r.Hosts, r.Levels)
	}
	if page, err := os.ReadFile(filepath.Join(out, fleetreport.File)); err != nil || !strings.Contains(string(page), "taken over") {
		t.Errorf("the page tells nothing of it: %v", err)
	}
	var sum record.Tally
	for i := range samples {
		sum.Add(&samples[i].Tally)
	}
	if sum.Counts[record.Published] != all.Counts[record.Published] || sum.Traffic() != all.Traffic() {
		t.Error("the samples do not add up to the run")
	}
	// The cloud knows better what the killed worker did in the interval that it did
	// not live to tell of: a third of the devices, for a second or two, or for some more
	// where it had to wait for a core.
	events, hellos := heard.end(), cloud.metric(t, "muster_cloud_hellos_total")
	told, sessions := all.Counts[record.Published], all.Counts[record.Handshakes]+all.Counts[record.Resumes]
	t.Logf("events: %d told, %d heard from the cloud; sessions: %d told, %d counted by the cloud", told, events, sessions, hellos)
	if told > events || events > told+2*devices {
		t.Errorf("the report has %d events acknowledged, and the cloud passed on %d", told, events)
	}
	if sessions > hellos || hellos > sessions+devices || sessions < devices || hellos < devices*4/3 {
		t.Errorf("the report has %d sessions, and the cloud counted %d", sessions, hellos)
	}
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(patience + *workersLength + time.Duration(*workersDevices)*20*time.Millisecond); !so(); {
		if time.Now().After(end) {
			t.Fatalf("%s: it does not come", what)
		}
		time.Sleep(50 * time.Millisecond) // another process does it
	}
}

var tokenLine = regexp.MustCompile(`token: (\S+)`)

// An ear counts events of a name that a cloud passes on.
type ear struct {
	n    atomic.Uint64
	body io.Closer
	done chan struct{}
}

func (c cloudProcess) hear(t *testing.T, name string) *ear {
	t.Helper()
	login, err := os.ReadFile(filepath.Join(c.data, "login.txt"))
	if err != nil {
		t.Fatal(err)
	}
	token := tokenLine.FindSubmatch(login)
	if token == nil {
		t.Fatal("the cloud made no token")
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.api+"/v1/devices/events/"+name, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+string(token[1]))
	answer, err := http.DefaultClient.Do(r)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(answer, err)
	}
	e := &ear{body: answer.Body, done: make(chan struct{})}
	go func() {
		defer close(e.done)
		for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
			if lines.Text() == "event: "+name {
				e.n.Add(1)
			}
		}
	}()
	return e
}

func (e *ear) count() uint64 { return e.n.Load() }

// end ends the listening and returns how many there were.
func (e *ear) end() uint64 {
	_ = e.body.Close()
	<-e.done
	return e.n.Load()
}

// metric returns what the cloud tells Prometheus.
func (c cloudProcess) metric(t *testing.T, name string) uint64 {
	t.Helper()
	r, err := http.Get(c.api + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	at := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindSubmatch(b)
	if at == nil {
		return 0
	}
	n, err := strconv.ParseFloat(string(at[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return uint64(n)
}

// TestWorkerThatFindsNothing ends when it was told how long to wait.
func TestWorkerThatFindsNothing(t *testing.T) {
	t.Parallel() // it waits most of the time
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"--nats " + natstest.Start(t).ClientURL() + " --wait 100ms": "start one with",
		"--nats nats://127.0.0.1:1":                                 "no NATS server answers there",
		"--nats nats://127.0.0.1:1 --name a.b":                      "letters, digits",
		"--nats nats://127.0.0.1:1 --source here":                   "IP address",
		"--nats nats://127.0.0.1:1 --secret-file /nowhere":          "secret",
		"": "NATS_URL",
	} {
		cmd := exec.CommandContext(t.Context(), self, append([]string{"fleet", "worker"}, strings.Fields(args)...)...)
		cmd.Env = append(os.Environ(), beMuster+"=1", "NATS_URL=")
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v, says %s", args, err, out)
		}
	}
}
