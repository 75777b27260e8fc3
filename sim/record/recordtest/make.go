// Package recordtest makes up runs that look like real ones, for tests of what
// shows and judges them.
package recordtest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/muster/muster/sim/record"
)

// Options say what happened. The zero value is 1,000 devices without trouble.
type Options struct {
	Seed    uint64
	Devices int           // 0: 1000
	Every   time.Duration // 0: 1s
	// Slower multiplies every duration, 0: 1.
	Slower float64
	// Overloaded makes the generator the bottleneck in the storm.
	Overloaded bool
	// Workers is how many there are; 0: none.
	Workers int
}

// A phase of every made-up run.
type phase struct {
	name, doing string
	length      time.Duration
}

var phases = []phase{
	{"ramp", "devices arrive, 1 % of them a second", 100 * time.Second},
	{"hold", "everybody publishes", 200 * time.Second},
	{"outage", "the cloud restarts", 20 * time.Second},
	{"storm", "everybody comes back", 80 * time.Second},
	{"campaign", "an update for a tenth", 120 * time.Second},
}

type group struct {
	name     string
	share    float64
	profiles []string
	factor   float64 // of durations
}

var groups = []group{
	{"borons", 0.6, []string{"boron@6.2.0", "boron@4.2.0"}, 1},
	{"argons", 0.3, []string{"argon@3.1.0"}, 0.8},
	{"photons", 0.1, []string{"photon@2.3.1"}, 1.4},
}

// Make returns a run and hands its samples to each, which may keep them.
func Make(o Options, each func(*record.Sample)) *record.Run {
	if o.Devices == 0 {
		o.Devices = 1000
	}
	if o.Every == 0 {
		o.Every = time.Second
	}
	if o.Slower == 0 {
		o.Slower = 1
	}
	m := &maker{Options: o, r: rand.New(rand.NewPCG(o.Seed, 7)), online: make([]float64, len(groups))}
	m.run = &record.Run{
		Format: record.Format, Muster: "v0.5.0", Name: "storm after an outage", Began: time.Date(2026, 5, 4, 9, 30, 0, 0, time.UTC),
		Seed: o.Seed, Every: o.Every, Cloud: "127.0.0.1:5684", Scenario: scenario(o.Devices),
		Command: []string{"muster", "fleet", "run", "storm.yaml", "--cloud", "127.0.0.1", "--seed", fmt.Sprint(o.Seed)},
		Levels:  make(map[string]map[record.Level]int64),
	}
	for w := range max(1, o.Workers) {
		m.run.Hosts = append(m.run.Hosts, record.Host{Name: fmt.Sprintf("bench-%d", w+1), Worker: m.worker(w), OS: "linux", Kernel: "6.18.0", Go: "go1.26.8", Cores: 2, Memory: 24 << 30})
	}
	first := 0
	for _, g := range groups {
		n := int(g.share * float64(o.Devices))
		m.run.Groups = append(m.run.Groups, record.Group{Name: g.name, Profiles: g.profiles, First: first, Devices: n})
		first += n
	}
	at := time.Duration(0)
	for _, p := range phases {
		m.run.Phases = append(m.run.Phases, record.Phase{Name: p.name, Doing: p.doing, Start: at, End: at + p.length})
		for t := o.Every; t <= p.length; t += o.Every {
			m.interval(p, at+t, float64(t)/float64(p.length), each)
		}
		at += p.length
	}
	m.judge()
	return m.run
}

type maker struct {
	Options
	r      *rand.Rand
	run    *record.Run
	online []float64
}

func (m *maker) worker(i int) string {
	if m.Workers == 0 {
		return ""
	}
	return fmt.Sprintf("w%d", i+1)
}

// noisy returns about n.
func (m *maker) noisy(n float64) uint64 {
	return uint64(max(0, math.Round(n+m.r.NormFloat64()*math.Sqrt(max(0, n)))))
}

// times adds n durations around a median, with the long tail of networks.
func (m *maker) times(h *record.Histogram, n uint64, median time.Duration) {
	for range min(n, 300) {
		h.Add(time.Duration(m.Slower * float64(median) * math.Exp(0.35*m.r.NormFloat64()+0.25*m.r.ExpFloat64())))
	}
}

func (m *maker) interval(p phase, at time.Duration, progress float64, each func(*record.Sample)) {
	for w := range max(1, m.Workers) {
		for i, g := range groups {
			s := &record.Sample{At: at, Every: m.Every, Worker: m.worker(w), Phase: p.name, Group: g.name, Levels: make(map[record.Level]int64)}
			devices := g.share * float64(m.Devices) / float64(max(1, m.Workers))
			if w == 0 {
				m.online[i] = m.advance(p, m.online[i], devices, progress)
			}
			m.fill(s, p, g, devices, m.online[i])
			m.run.Cell(p.name, g.name).Add(&s.Tally)
			m.run.Levels[g.name] = s.Levels
			each(s)
		}
		s := &record.Sample{At: at, Every: m.Every, Worker: m.worker(w), Phase: p.name, Self: m.self(p)}
		s.Count(record.SocketDrops, s.Self.SocketDrops)
		m.run.Cell(p.name, "").Add(&s.Tally)
		each(s)
	}
}

// advance returns how many devices of a group are online after an interval.
func (m *maker) advance(p phase, online, devices, progress float64) float64 {
	switch p.name {
	case "ramp":
		return devices * progress
	case "outage":
		return online * 0.7
	case "storm":
		return devices - (devices-online)*0.93
	}
	return devices
}

func (m *maker) fill(s *record.Sample, p phase, g group, devices, online float64) {
	seconds := m.Every.Seconds()
	slow := 1.0
	move := func(a record.Activity, n uint64, up, down, packets uint64) {
		s.Move(a, record.Traffic{Up: n * up, Down: n * down, UpPackets: n * packets, DownPackets: n * packets})
	}
	var connected, resumed uint64
	switch p.name {
	case "ramp":
		connected = m.noisy(devices / 100 * seconds)
		s.Error("no answer to the handshake", m.noisy(devices/20000*seconds))
	case "outage":
		s.Error("ping timeout", m.noisy(online*0.2*seconds))
		s.Count(record.Attempts, m.noisy(online*0.3*seconds))
	case "storm":
		slow = 6
		resumed = m.noisy((devices - online) * 0.07 * seconds)
		connected = resumed / 20
		s.Error("session refused", resumed/20)
		s.Error("no answer to the handshake", m.noisy(float64(resumed)/30))
	case "campaign":
		s.Count(record.UpdatesBegun, m.noisy(devices/1200*seconds))
		s.Count(record.UpdatesApplied, m.noisy(devices/1250*seconds))
		m.times(s.Time(record.UpdateTime), s.Counts[record.UpdatesApplied], 42*time.Second)
		move(record.ActUpdate, s.Counts[record.UpdatesBegun]*180, 60, 1100, 1)
		s.Levels[record.Updating] = int64(devices / 30)
	}
	for _, n := range s.Errors {
		s.Count(record.Offline, n)
	}
	s.Count(record.Handshakes, connected)
	s.Count(record.Resumes, resumed)
	s.Count(record.Connected, connected+resumed)
	s.Count(record.Attempts, connected+resumed+s.Counts[record.Offline])
	scale := func(d time.Duration) time.Duration { return time.Duration(float64(d) * g.factor * slow) }
	m.times(s.Time(record.HandshakeTime), connected, scale(110*time.Millisecond))
	m.times(s.Time(record.ResumeTime), resumed, scale(24*time.Millisecond))
	s.Time(record.ConnectTime).Merge(s.Times[record.HandshakeTime])
	s.Time(record.ConnectTime).Merge(s.Times[record.ResumeTime])
	move(record.ActHandshake, connected, 1500, 1250, 12)
	move(record.ActResume, resumed, 142, 110, 1)
	m.publish(s, p, g, online, scale)
	pings := m.noisy(online / 60 * seconds)
	s.Count(record.Pings, pings)
	move(record.ActKeepAlive, pings, 65, 65, 1)
	rest := devices - online
	s.Levels[record.Devices], s.Levels[record.Online] = int64(devices), int64(online)
	s.Levels[record.Connecting] = int64(rest * 0.1)
	if p.name == "ramp" {
		s.Levels[record.Off] = int64(rest * 0.9)
	} else {
		s.Levels[record.Queued] = int64(rest * 0.5)
	}
}

func (m *maker) publish(s *record.Sample, p phase, g group, online float64, scale func(time.Duration) time.Duration) {
	if p.name == "ramp" {
		return
	}
	arrivals := m.noisy(online / 10 * m.Every.Seconds())
	failed := arrivals / 2000
	s.Count(record.Arrivals, arrivals)
	s.Count(record.Publishes, arrivals)
	s.Count(record.Published, arrivals-failed)
	s.Count(record.PublishFailed, failed)
	m.times(s.Time(record.PublishService), arrivals, scale(18*time.Millisecond))
	m.times(s.Time(record.PublishTime), arrivals, scale(19*time.Millisecond))
	if m.Overloaded && p.name == "storm" {
		s.Count(record.Late, arrivals/8)
		m.times(s.Time(record.PublishTime), arrivals/10, time.Second)
	}
	if g.name == "borons" {
		m.times(s.Time(record.DeliveryTime), arrivals/20, scale(45*time.Millisecond))
		s.Count(record.EventsReceived, arrivals/20)
	}
	s.Move(record.ActPublish, record.Traffic{Up: arrivals * 130, Down: arrivals * 62, UpPackets: arrivals, DownPackets: arrivals})
}

func (m *maker) self(p phase) *record.Self {
	s := &record.Self{
		CPU: 0.5 + 0.1*m.r.Float64(), Cores: 2, SchedDelay: time.Duration(200+m.r.IntN(300)) * time.Microsecond,
		GCPause: time.Duration(100+m.r.IntN(200)) * time.Microsecond, GCCPU: 0.02, Heap: uint64(m.Devices) * 900, Resident: uint64(m.Devices)*1200 + 30<<20,
		Lag: time.Duration(m.r.IntN(4)) * time.Millisecond,
	}
	s.MachineCPU = s.CPU + 0.5
	if p.name == "storm" {
		s.CPU, s.MachineCPU = 1.2, 1.85
		if m.Overloaded {
			s.CPU, s.MachineCPU, s.SchedDelay = 1.92, 2, 60*time.Millisecond
			s.Lag = time.Duration(300+m.r.IntN(900)) * time.Millisecond
			s.SocketDrops = uint64(m.r.IntN(40))
		}
	}
	return s
}

// judge writes thresholds as a scenario would have them.
func (m *maker) judge() {
	add := func(text, phase, unit string, value, limit float64, ok bool) {
		v := record.Pass
		if !ok {
			v = record.Fail
		}
		m.run.Thresholds = append(m.run.Thresholds, record.Threshold{Text: text, Phase: phase, Value: value, Limit: limit, Unit: unit, Verdict: v})
	}
	hold, storm := m.run.Sum("hold", ""), m.run.Sum("storm", "")
	p99 := hold.Times[record.PublishTime].Quantile(0.99).Seconds()
	add("p99(publish) < 100ms", "hold", "s", p99, 0.1, p99 < 0.1)
	p99 = storm.Times[record.PublishTime].Quantile(0.99).Seconds()
	add("p99(publish) < 1s", "storm", "s", p99, 1, p99 < 1)
	share := 100 * float64(storm.Counts[record.Resumes]) / float64(max(1, storm.Counts[record.Connected]))
	add("resumes / connected > 90%", "storm", "%", share, 90, share > 90)
	m.run.Verdict = record.Pass
	for _, t := range m.run.Thresholds {
		if t.Verdict == record.Fail {
			m.run.Verdict, m.run.Why = record.Fail, t.Text+" does not hold in phase "+t.Phase
		}
	}
	m.run.Notes = append(m.run.Notes,
		record.Note{At: 300 * time.Second, Kind: "cloud", Text: "the cloud does not answer: connection refused", Count: uint64(m.Devices)},
		record.Note{At: 400 * time.Second, Kind: "campaign", Text: "wave 1 of the campaign: 10 % of the borons"})
}

func scenario(devices int) string {
	return fmt.Sprintf(`name: storm after an outage
groups:
  - name: borons
    devices: %d
    profiles: [boron@6.2.0, boron@4.2.0]
    publish: {every: 10s, size: {normal: {mean: 80, deviation: 20}}}
phases:
  - {name: ramp, for: 100s, arrive: 1%%/s}
  - {name: hold, for: 200s}
  - {name: outage, for: 20s, cloud: restart}
thresholds:
  - p99(publish) < 100ms in hold
`, devices)
}

// Folder writes a made-up run to a new folder.
func Folder(tb testing.TB, o Options) string {
	tb.Helper()
	dir := tb.TempDir()
	w, err := record.Create(dir)
	if err != nil {
		tb.Fatal(err)
	}
	r := Make(o, func(s *record.Sample) {
		if err := w.Add(s); err != nil {
			tb.Fatal(err)
		}
	})
	if err := w.Close(r); err != nil {
		tb.Fatal(err)
	}
	return dir
}
