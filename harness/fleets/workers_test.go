package fleets

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/loadtest"
	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/scenario"
	"github.com/muster/muster/sim/workers"
)

// Of "make fleet-workers"; the defaults are for a test.
var (
	workersDevices = flag.Int("workers-devices", 60, "devices of TestFleetWorkers")
	workersLength  = flag.Duration("workers-length", 14*time.Second, "how long they publish")
)

// workersSeed is that of the devices' keys.
const workersSeed = 7

// TestFleetWorkers runs a fleet on three workers, each a process of its own, against
// a cloud in another one. One worker is killed under load. The report has its
// devices taken over, and adds up to what the cloud has counted.
func TestFleetWorkers(t *testing.T) {
	s := natsServer(t)
	cloud := startCloud(t, t.TempDir())
	text := fmt.Sprintf(`
name: workers
groups:
  - {name: borons, devices: %d, profiles: boron@6.2.0, publish: [{event: temp, every: 1s}]}
phases:
  - {name: arrive, duration: 3s, arrive: {rate: %d/s}}
  - {name: publish, duration: %s}
thresholds: [share(online) == 100%%]
`, *workersDevices, max(1, *workersDevices/2), *workersLength)
	sc, err := scenario.Read("workers.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	register(t, cloud, sc)
	list := make(map[string]*process)
	for _, name := range []string{"a", "b", "c"} {
		list[name] = start(t, io.Discard, "fleet", "worker", "--nats", s.ClientURL(), "--name", name)
	}
	b, err := workers.Dial(t.Context(), workers.Server{URL: s.ClientURL()}, "test", func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	heard := cloud.hear(t, "temp")
	sink := &killSink{when: uint64(*workersDevices), victim: list["b"]}
	f := &workers.Fleet{
		ID: "test", Scenario: sc, File: "workers.yaml", Keys: workers.KeySource{From: fmt.Sprintf("seed:%d", workersSeed)},
		Cloud: cloud.forFleet(t), Seed: 5, Muster: workers.Version(), Sink: sink, Workers: 3, Lease: 4 * time.Second,
		Say: func(text string) { t.Log(text) },
	}
	r, done, err := f.Run(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	done()
	report := ""
	for _, n := range r.Notes {
		report += fmt.Sprintf("%v %s: %s (%d)\n", n.At.Round(time.Millisecond), n.Kind, n.Text, n.Count)
	}
	t.Log(report)
	all := r.Sum("", "")
	t.Log(all.Counts, all.Errors, r.Levels, r.Verdict, r.Why)
	if !strings.Contains(report, "which worker b had, is taken over by worker") || !strings.Contains(report, "never arrived") {
		t.Error("nothing says that the killed worker's devices were taken over, or what is missing")
	}
	if len(r.Hosts) != 3 || r.Levels["borons"][record.Online] != int64(*workersDevices) {
		t.Errorf("%d hosts, at the end %v", len(r.Hosts), r.Levels)
	}
	// The cloud knows better what the killed worker did in the interval that it did
	// not live to tell of: a third of the devices, for a second or two.
	events, hellos := heard(), cloud.metric(t, "muster_cloud_hellos_total")
	told, sessions := all.Counts[record.Published], all.Counts[record.Handshakes]+all.Counts[record.Resumes]
	slack := uint64(*workersDevices)
	t.Logf("events: %d told, %d heard from the cloud; sessions: %d told, %d counted by the cloud", told, events, sessions, hellos)
	if told > events || events > told+slack {
		t.Errorf("the report has %d events acknowledged, and the cloud passed on %d", told, events)
	}
	if sessions > hellos || hellos > sessions+slack || sessions < slack*4/3 {
		t.Errorf("the report has %d sessions, and the cloud counted %d", sessions, hellos)
	}
}

var tokenLine = regexp.MustCompile(`token: (\S+)`)

// hear counts the events of a name that the cloud passes on, until the result is
// called.
func (c cloudProcess) hear(t *testing.T, name string) (heard func() uint64) {
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
	var n atomic.Uint64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
			if lines.Text() == "event: "+name {
				n.Add(1)
			}
		}
	}()
	return func() uint64 {
		_ = answer.Body.Close()
		<-done
		return n.Load()
	}
}

// A killSink kills a worker when so many devices have come online and published.
type killSink struct {
	mu        sync.Mutex
	when      uint64
	published uint64
	victim    *process
	once      sync.Once
}

func (k *killSink) Sample(s *record.Sample) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.published += s.Counts[record.Published]; k.published > 2*k.when {
		k.once.Do(k.victim.kill)
	}
}

func (k *killSink) Note(record.Note) {}

// natsServer starts a server with JetStream in this process.
func natsServer(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the NATS server does not start")
	}
	return s
}

// register brings the public keys of a scenario's devices to a cloud.
func register(t *testing.T, cloud cloudProcess, s *scenario.Scenario) {
	t.Helper()
	profiles, err := s.Profiles()
	if err != nil {
		t.Fatal(err)
	}
	keys, mark := fleet.SeededKeys(workersSeed, 0), fleet.SeededMark(workersSeed)
	var list []fleet.Member
	for i := range s.Devices() {
		list = append(list, fleet.Member{ID: fleet.ID(mark, i), Profile: profiles(i)})
	}
	file := filepath.Join(t.TempDir(), "fleet.jsonl")
	if err := keys.ExportPublic(file, list, nil); err != nil {
		t.Fatal(err)
	}
	run(t, "cloud", "device", "import", file, "--data", cloud.data)
}

// forFleet is what devices must know of the cloud.
func (c cloudProcess) forFleet(t *testing.T) loadtest.Cloud {
	t.Helper()
	var keys fleet.CloudKeys
	if err := keys.Load(c.data); err != nil {
		t.Fatal(err)
	}
	return loadtest.Cloud{
		Name: c.udp, UDP: netip.MustParseAddrPort(c.udp), TCP: netip.MustParseAddrPort(c.tcp), EC: keys.EC, RSA: keys.RSA,
	}
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
