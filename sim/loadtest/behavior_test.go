package loadtest

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/scenario"
	"github.com/muster/muster/sim/workload"
)

// read makes a scenario of a file's text.
func read(t *testing.T, text string) *scenario.Scenario {
	t.Helper()
	s, err := scenario.Read("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// runVirtually runs a scenario in virtual time.
func runVirtually(t *testing.T, s *scenario.Scenario) (*record.Run, *collected) {
	t.Helper()
	o, sink := inVirtualTime(t, s)
	r, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r, sink
}

// near reports whether a number is within a share of what is wanted.
func near(n uint64, want, share float64) bool {
	return float64(n) >= want*(1-share) && float64(n) <= want*(1+share)
}

// Devices that sleep wake by themselves, resume, publish once and sleep again.
func TestSleep(t *testing.T) {
	r, _ := runVirtually(t, read(t, `
name: sleep
groups:
  - name: meters
    devices: 40
    profiles: boron@6.2.0
    publish: [{event: reading, on: online, size: 60}]
    sleep: {awake: {uniform: [6s, 10s]}, asleep: {uniform: [20s, 40s]}}
phases:
  - {name: arrive, duration: 40s, arrive: {over: 30s}}
  - {name: live, duration: 10m}
`))
	live := r.Sum("live", "")
	cycles := 40 * 600 / 38.0
	if !near(live.Counts[record.Sleeps], cycles, 0.1) || !near(live.Counts[record.Resumes], cycles, 0.1) || live.Counts[record.Handshakes] != 0 {
		t.Errorf("%v, want some %.0f", live.Counts, cycles)
	}
	if !near(live.Counts[record.Published], cycles, 0.1) || live.Counts[record.PublishRefused] > 0 {
		t.Errorf("published: %v", live.Counts)
	}
	// The stand-in asks for no describe, so that devices say Hello again: more than the
	// 142 bytes that a resume takes with a cloud that does.
	if per := float64(live.Bytes[record.ActResume].Total()) / float64(live.Counts[record.Resumes]); per < 142 || per > 1000 {
		t.Errorf("%v bytes a resume", per)
	}
	l := r.Levels["meters"]
	if l[record.Sleeping]+l[record.Online]+l[record.Connecting] < 36 || l[record.Sleeping] < 20 {
		t.Errorf("%v", l)
	}
	if r.Verdict != record.Pass {
		t.Errorf("%v %v", r.Verdict, r.Thresholds)
	}
}

// Restarts come back with the session or without it, in the ratio of the scenario.
func TestReconnect(t *testing.T) {
	r, _ := runVirtually(t, read(t, `
name: reconnect
groups:
  - name: borons
    devices: 50
    profiles: boron@6.2.0
    reconnect: {every: {exponential: 1m}, full: 30%}
phases:
  - {name: arrive, duration: 20s, arrive: {rate: 10/s}}
  - {name: live, duration: 20m}
`))
	n := r.Sum("live", "").Counts
	restarts := 50 * 20.0
	if !near(n[record.Resumes]+n[record.Handshakes], restarts, 0.1) || !near(n[record.Handshakes], 0.3*restarts, 0.15) {
		t.Errorf("%v", n)
	}
}

// An outage of power sends all off and back at the same moment; only those that it
// is about, and that were there.
func TestPowerOutage(t *testing.T) {
	r, sink := runVirtually(t, read(t, `
name: outage
groups:
  - {name: here, devices: 30, profiles: boron@6.2.0}
  - {name: there, devices: 20, profiles: boron@6.2.0}
phases:
  - {name: arrive, duration: 30s, groups: [there], arrive: {rate: 10/s}}
  - {name: some, duration: 30s, groups: [here], arrive: {rate: 10/s, devices: 25}}
  - {name: dark, duration: 60s, groups: [here], outage: power}
  - {name: storm, duration: 60s}
`))
	for _, s := range sink.samples {
		on := s.Levels[record.Online]
		if s.Phase == "dark" && s.Group == "here" && on != 0 || s.Phase == "dark" && s.Group == "there" && on != 20 {
			t.Fatalf("%s at %v: %d online", s.Group, s.At, on)
		}
	}
	storm := r.Sum("storm", "here").Counts
	if storm[record.Resumes] != 25 || r.Sum("storm", "there").Counts[record.Resumes] != 0 || r.Levels["here"][record.Online] != 25 || r.Levels["here"][record.Off] != 5 {
		t.Errorf("%v, %v", storm, r.Levels)
	}
}

// In an outage of the network devices give up by themselves, and come back by
// Device OS's own back-off. They have thrown their sessions away by then, because
// nobody answered several resumes. Events that are kept are late, and count from when
// they were due.
func TestNetworkOutage(t *testing.T) {
	r, _ := runVirtually(t, read(t, `
name: outage
groups:
  - name: borons
    devices: 50
    profiles: boron@6.2.0
    publish: [{event: a, every: {exponential: 20s}, offline: keep}]
phases:
  - {name: arrive, duration: 30s, arrive: {rate: 10/s}}
  - {name: before, duration: 60s}
  - {name: dark, duration: 3m, outage: network}
  - {name: storm, duration: 5m}
`))
	dark, storm := r.Sum("dark", ""), r.Sum("storm", "")
	if dark.Bytes[record.ActOther].Down+dark.Bytes[record.ActPublish].Down != 0 || dark.Counts[record.ImpairLost] == 0 {
		t.Errorf("something came through: %+v", dark.Bytes)
	}
	if len(dark.Errors) == 0 || dark.Counts[record.Offline] < 50 {
		t.Errorf("nobody noticed: %v %v", dark.Counts, dark.Errors)
	}
	if storm.Counts[record.Connected] < 50 || storm.Counts[record.Handshakes] < 50 || r.Levels["borons"][record.Online] != 50 {
		t.Errorf("the storm: %v, %v", storm.Counts, r.Levels)
	}
	if late := dark.Times[record.PublishTime]; late.Count() == 0 || late.Max() < time.Minute {
		t.Errorf("no event of the outage was late: %v", late.Max())
	}
	if before := r.Sum("before", ""); before.Times[record.PublishTime].Max() > time.Second {
		t.Errorf("before: %v", before.Times[record.PublishTime].Max())
	}
}

// Loss, delay and NAT rebinding do what they say, to the group that has them.
func TestNetwork(t *testing.T) {
	r, _ := runVirtually(t, read(t, `
name: network
x-p: &p [{event: a, every: 10s, size: 100}]
groups:
  - {name: good, devices: 50, profiles: boron@6.2.0, publish: *p, network: {delay: 20ms}}
  - {name: bad, devices: 50, profiles: boron@6.2.0, publish: *p, network: {loss: 10%, delay: 100ms, jitter: 50ms, rebind: {exponential: 1m}}}
  - {name: small, devices: 5, profiles: boron@6.2.0, network: {mtu: 800}}
phases:
  - {name: arrive, duration: 60s, arrive: {rate: 20/s}}
  - {name: live, duration: 10m}
`))
	good, bad := r.Sum("live", "good"), r.Sum("live", "bad")
	if h := good.Times[record.PublishTime]; h.Min() < 40*time.Millisecond || h.Max() > 45*time.Millisecond || good.Counts[record.ImpairLost] != 0 {
		t.Errorf("good: %v to %v, %v", h.Min(), h.Max(), good.Counts)
	}
	h := bad.Times[record.PublishTime]
	packets := bad.Traffic()
	if h.Min() < 199*time.Millisecond || h.Quantile(0.5) > 400*time.Millisecond || h.Max() < 2*time.Second {
		t.Errorf("bad: %v, p50 %v, %v", h.Min(), h.Quantile(0.5), h.Max())
	}
	if lost := float64(bad.Counts[record.ImpairLost]) / float64(packets.UpPackets+packets.DownPackets+bad.Counts[record.ImpairLost]/2); lost < 0.07 || lost > 0.13 {
		t.Errorf("lost %.3f of the datagrams", lost)
	}
	if !near(bad.Counts[record.Moves], 500, 0.15) || bad.Counts[record.Published] < bad.Counts[record.Publishes]*97/100 || bad.Counts[record.Handshakes] > 5 {
		t.Errorf("bad: %v", bad.Counts)
	}
	if r.Levels["small"][record.Online] != 5 {
		t.Errorf("a device with a small MTU cannot connect: %v", r.Levels)
	}
}

// A run of parts adds up to the run of the whole: the same arrivals and events.
func TestParts(t *testing.T) {
	s := simple(60)
	whole, _ := runVirtually(t, s)
	var sum record.Tally
	for _, part := range []Part{{0, 25}, {25, 20}, {45, 15}} {
		o, _ := inVirtualTime(t, s)
		o.Part = part
		r, err := Run(context.Background(), o)
		if err != nil || r.Verdict != "" {
			t.Fatal(err, r.Verdict)
		}
		one := r.Sum("", "")
		sum.Add(&one)
	}
	all := whole.Sum("", "")
	for _, c := range []record.Counter{record.Arrivals, record.Publishes, record.Published, record.Connected} {
		if sum.Counts[c] != all.Counts[c] || sum.Counts[c] == 0 {
			t.Errorf("%s: %d in parts, %d in one", c, sum.Counts[c], all.Counts[c])
		}
	}
}

// Equal seeds give equal runs in virtual time, another seed another one.
func TestRunsRepeat(t *testing.T) {
	run := func(seed uint64) string {
		s := simple(30)
		s.Groups[0].Network = &scenario.Network{Loss: 0.05, Delay: 50 * time.Millisecond, Jitter: 30 * time.Millisecond, Rebind: workload.Always(30)}
		s.Groups[0].Reconnect = &scenario.Reconnect{Every: workload.Spread{Kind: workload.Exponential, A: 40}, Full: 0.5}
		o, _ := inVirtualTime(t, s)
		o.Seed = seed
		r, err := Run(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(r.Cells)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	one, again, other := run(3), run(3), run(4)
	if one != again {
		t.Error("two runs with one seed differ")
	}
	if one == other {
		t.Error("two seeds give one run")
	}
}

// The examples run, in virtual time, as far as they need no API.
func TestExamples(t *testing.T) {
	for _, name := range []string{"first-run", "storm-after-outage", "sleepy-cellular", "lossy-network", "cloud-restart"} {
		s, err := scenario.LoadFile("../../fixtures/scenarios/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		if testing.Short() {
			if err := s.Scale(40); err != nil {
				t.Fatal(err)
			}
			s.Thresholds = nil
		}
		for i := range s.Thresholds { // the stand-in makes devices say Hello at each resume
			s.Thresholds[i].Expr = strings.Replace(s.Thresholds[i].Expr, "bytes(resume) <= 200", "bytes(resume) <= 1000", 1)
		}
		r, _ := runVirtually(t, s)
		if r.Verdict != record.Pass {
			t.Errorf("%s: %s, %+v", name, r.Why, r.Thresholds)
		}
	}
}

// A release that no table lists by itself is one kind of device, however often it is
// looked up.
func TestReleaseOfALine(t *testing.T) {
	s := read(t, `
name: line
groups: [{name: a, devices: 4, profiles: photon@0.6.2, rsa-keys: 1}]
phases: [{name: all, duration: 30s, arrive: {at-once: true}}]
`)
	o, _ := inVirtualTime(t, s)
	list := members(t, s)
	var tcp []device.ID
	for i := range 4 {
		tcp = append(tcp, list(i).ID)
	}
	if err := o.Keys.MakeRSA(context.Background(), tcp, nil); err != nil {
		t.Fatal(err)
	}
	r, err := Run(context.Background(), o)
	if err != nil || r.Levels["a"][record.Online] != 4 {
		t.Errorf("%v, %+v", err, r)
	}
}

// A resume that nobody answers is none.
func TestResumesOfSilence(t *testing.T) {
	s := read(t, `
name: silence
seed: 5
groups: [{name: a, devices: 10, profiles: boron@6.2.0, reconnect: {every: 20s}}]
phases:
  - {name: arrive, duration: 15s, arrive: {at-once: true}}
  - {name: outage, duration: 60s, outage: network}
  - {name: back, duration: 3m}
`)
	r, _ := runVirtually(t, s)
	out := r.Sum("outage", "")
	if out.Counts[record.Attempts] < 10 || out.Counts[record.Resumes] != 0 || out.Counts[record.Handshakes] != 0 || out.Counts[record.Connected] != 0 {
		t.Errorf("in the outage: %v", out.Counts)
	}
	if all := r.Sum("", ""); all.Counts[record.Resumes]+all.Counts[record.Handshakes] > all.Counts[record.Attempts] || all.Counts[record.Resumes] > all.Counts[record.Connected] {
		t.Errorf("%v", all.Counts)
	}
}

// A network is one for devices over TCP too: they wait for what is lost, are reset, and
// find out by themselves that they were forgotten or that there is an outage.
func TestNetworkOfStreams(t *testing.T) {
	s := read(t, `
name: streams
seed: 5
groups:
  - {name: lossy, devices: 4, profiles: photon@3.1.0, rsa-keys: 1, publish: {every: 5s}, network: {loss: 10%, delay: 100ms}}
  - {name: reset, devices: 4, profiles: photon@3.1.0, rsa-keys: 1, network: {reset: 40s}}
  - {name: forgotten, devices: 4, profiles: photon@3.1.0, rsa-keys: 1, network: {rebind: 80s}}
phases:
  - {name: all, duration: 4m, arrive: {at-once: true}}
  - {name: outage, duration: 60s, outage: network}
  - {name: back, duration: 3m}
`)
	o, _ := inVirtualTime(t, s)
	list := members(t, s)
	var tcp []device.ID
	for i := range 12 {
		tcp = append(tcp, list(i).ID)
	}
	if err := o.Keys.MakeRSA(context.Background(), tcp, nil); err != nil {
		t.Fatal(err)
	}
	r, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	lossy, reset, forgotten := r.Sum("all", "lossy"), r.Sum("all", "reset"), r.Sum("all", "forgotten")
	if h := lossy.Times[record.PublishTime]; h.Min() < 199*time.Millisecond || h.Max() < time.Second || lossy.Counts[record.ImpairLost] == 0 || lossy.Counts[record.Offline] != 0 {
		t.Errorf("lossy: from %v to %v, %v", h.Min(), h.Max(), lossy.Counts)
	}
	if n := reset.Errors["stream failed"]; n < 12 || n > 28 {
		t.Errorf("%d were reset, in 6 intervals of 4 devices", n)
	}
	if reset, timed := forgotten.Errors["stream failed"], forgotten.Errors["ping timeout"]; reset != 0 || timed < 4 {
		t.Errorf("of those that were forgotten %d were told, and %d found out", reset, timed)
	}
	if out := r.Sum("outage", "lossy"); out.Errors["ping timeout"] != 4 {
		t.Errorf("in the outage: %v", out.Errors)
	}
	for group, levels := range r.Levels {
		if levels[record.Online] < levels[record.Devices]-1 {
			t.Errorf("%s: %v", group, levels)
		}
	}
}

// What devices answer follows the distributions of the scenario, and some calls are
// never answered.
func TestApplication(t *testing.T) {
	s := read(t, `
name: answers
groups:
  - name: a
    devices: 1
    profiles: boron@6.2.0
    functions:
      - {name: length}
      - {name: measure, returns: {uniform: [10, 20]}, delay: {uniform: [20ms, 40ms]}, fails: 25%}
    variables:
      - {name: i, type: int, value: {choice: [3, 5]}}
      - {name: d, value: {normal: {mean: 20, deviation: 2}}}
      - {name: s, type: string, value: 12}
      - {name: b, type: bool, value: 1}
    subscribe: [news]
phases: [{name: all, duration: 1s, arrive: {at-once: true}}]
`)
	app := application(&s.Groups[0], 7)
	id := device.ID{1, 2, 3}
	if got := app.Functions[0].Call(id, []byte("abc")); got != 3 || app.Functions[0].Runs != nil {
		t.Errorf("length: %d", got)
	}
	lost, values := 0, make(map[int32]bool)
	for range 1000 {
		v := app.Functions[1].Call(id, nil)
		values[v] = true
		delay, answers := app.Functions[1].Runs(id)
		if v < 10 || v > 20 || delay < 20*time.Millisecond || delay > 40*time.Millisecond {
			t.Fatalf("%d after %v", v, delay)
		}
		if !answers {
			lost++
		}
	}
	if lost < 180 || lost > 320 || len(values) < 8 {
		t.Errorf("%d of 1000 calls are not answered, %d different results", lost, len(values))
	}
	i, d := app.Variables[0].Value(id).Int, app.Variables[1].Value(id).Double
	if i != 3 && i != 5 || d < 5 || d > 35 || app.Variables[2].Value(id).String != "xxxxxxxxxxxx" || !app.Variables[3].Value(id).Bool {
		t.Errorf("variables: %v %v", i, d)
	}
	if len(app.Subscriptions) != 1 || app.Subscriptions[0].Filter != "news" {
		t.Errorf("%v", app.Subscriptions)
	}
}

// Events carry the time at which they were published, and what is no such event has
// none.
func TestStamps(t *testing.T) {
	at := time.UnixMicro(1_800_000_000_123_456)
	data := make([]byte, 40)
	fill(data, at)
	if got, ok := stampOf(data); !ok || !got.Equal(at) {
		t.Errorf("%s: %v", data, got)
	}
	for _, other := range []string{"", "21.5", "0123456789abcdez", "a long text that is no stamp", "ffffffffffffffff"} {
		if _, ok := stampOf([]byte(other)); ok {
			t.Errorf("%q has a stamp", other)
		}
	}
	short := make([]byte, 5)
	if fill(short, at); string(short) != "....." {
		t.Errorf("%q", short)
	}
}

// A part that joins in the middle does at once what should have arrived, and goes on
// from there.
func TestJoin(t *testing.T) {
	s := simple(20)
	s.Phases = []scenario.Phase{
		{Name: "past", Duration: time.Hour, Arrive: &scenario.Arrive{Rate: 1}},
		{Name: "now", Duration: 4 * time.Second},
	}
	s.Groups[0].Publish[0].Every = workload.Always(2)
	o, _ := onSockets(t, s, http.NotFoundHandler())
	o.Began = time.Now().Add(-time.Hour)
	r, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	past, now := r.Sum("past", ""), r.Sum("now", "")
	if past.Counts[record.Arrivals] != 20 || past.Counts[record.Publishes] != 0 || past.Counts[record.Late] != 0 {
		t.Errorf("in the past: %v", past.Counts)
	}
	if now.Counts[record.Arrivals] < 20 || now.Counts[record.Arrivals] > 60 || now.Counts[record.Connected] == 0 {
		t.Errorf("%v", now.Counts)
	}
}
