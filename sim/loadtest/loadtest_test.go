package loadtest

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/scenario"
	"github.com/muster/muster/sim/standin"
	"github.com/muster/muster/sim/workload"
	"github.com/muster/muster/transport/vnet"
)

// collected is a sink that keeps everything.
type collected struct {
	run     *record.Run
	samples []*record.Sample
	notes   []record.Note
}

func (c *collected) Begin(r *record.Run)     { c.run = r }
func (c *collected) Sample(s *record.Sample) { c.samples = append(c.samples, s) }
func (c *collected) Note(n record.Note)      { c.notes = append(c.notes, n) }
func (c *collected) noted(kind string) (n int) {
	for _, one := range c.notes {
		if one.Kind == kind {
			n++
		}
	}
	return n
}

// members are the devices of a scenario.
func members(t testing.TB, s *scenario.Scenario) func(i int) fleet.Member {
	t.Helper()
	profiles, err := s.Profiles()
	if err != nil {
		t.Fatal(err)
	}
	return func(i int) fleet.Member { return fleet.Member{ID: fleet.ID(7, i), Profile: profiles(i)} }
}

// cloudFor makes a cloud that knows the devices of a scenario.
func cloudFor(t testing.TB, s *scenario.Scenario, keys *fleet.Keys) *standin.Cloud {
	t.Helper()
	rsaKey, err := x509.ParsePKCS1PrivateKey(fixtures.ByName("v3.1.0-tcp-session").ServerKey)
	if err != nil {
		t.Fatal(err)
	}
	c := standin.New(keys, rsaKey)
	list := members(t, s)
	for i := range s.Devices() {
		m := list(i)
		c.Know(keys.Public(m.ID), m.ID)
	}
	return c
}

var virtualCloud = netip.MustParseAddr("192.0.2.1")

// inVirtualTime makes the options of a run in virtual time.
func inVirtualTime(t testing.TB, s *scenario.Scenario) (Options, *collected) {
	t.Helper()
	keys := fleet.SeededKeys(1, 2)
	cloud := cloudFor(t, s, keys)
	net := vnet.New(vnet.Config{Seed: 1})
	net.Attach(cloud, virtualCloud).Listen(fleet.PortTCP)
	sink := &collected{}
	return Options{
		Scenario: s, Keys: keys, Member: members(t, s), Sink: sink, Seed: 5, Virtual: net,
		Cloud: Cloud{
			Name: "standin", EC: &standin.EC.PublicKey, RSA: cloud.RSA(),
			UDP: netip.AddrPortFrom(virtualCloud, fleet.PortUDP), TCP: netip.AddrPortFrom(virtualCloud, fleet.PortTCP),
		},
	}, sink
}

func simple(devices int) *scenario.Scenario {
	return &scenario.Scenario{
		Name: "simple",
		Groups: []scenario.Group{{
			Name: "borons", Devices: devices, Profiles: []string{"boron@6.2.0"},
			Publish: []scenario.Publish{{Event: "temp", Every: workload.Spread{Kind: workload.Exponential, A: 10}, Size: workload.Always(32)}},
		}},
		Phases: []scenario.Phase{
			{Name: "arrive", Duration: 20 * time.Second, Arrive: &scenario.Arrive{Rate: 10}},
			{Name: "steady", Duration: time.Minute},
		},
	}
}

func TestVirtualRun(t *testing.T) {
	o, sink := inVirtualTime(t, simple(100))
	r, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	all := r.Sum("", "")
	steady := r.Sum("steady", "borons")
	t.Log(all.Counts, steady.Counts, all.Bytes, all.Errors, r.Notes)
	if all.Counts[record.Connected] != 100 || all.Counts[record.Handshakes] != 100 || r.Levels["borons"][record.Online] != 100 {
		t.Errorf("connected: %v, %v", all.Counts, r.Levels)
	}
	// 100 devices with one event in ten seconds for a minute.
	if n := steady.Counts[record.Publishes]; n < 500 || n > 700 {
		t.Errorf("%d events in the steady phase, want some 600", n)
	}
	if all.Counts[record.Publishes] != all.Counts[record.Published] || steady.Times[record.PublishTime].Count() != int64(steady.Counts[record.Published]) {
		t.Errorf("events: %v", all.Counts)
	}
	if sink.run != r || sink.noted("phase") != 2 {
		t.Errorf("the sink saw %d phases", sink.noted("phase"))
	}
	var sum record.Tally
	for _, s := range sink.samples {
		sum.Add(&s.Tally)
	}
	if sum.Counts[record.Published] != all.Counts[record.Published] || sum.Traffic() != all.Traffic() {
		t.Error("samples do not add up to the run")
	}
}

// A run on sockets does the same.
func TestRealRun(t *testing.T) {
	s := simple(50)
	s.Phases = []scenario.Phase{{Name: "all", Duration: 10 * time.Second, Arrive: &scenario.Arrive{AtOnce: true}}}
	s.Groups[0].Publish[0].Every = workload.Always(2)
	keys := fleet.NewKeys(1)
	cloud := cloudFor(t, s, keys)
	udp, tcp, serve, err := cloud.Open()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	sink := &collected{}
	r, err := Run(ctx, Options{
		Scenario: s, Keys: keys, Member: members(t, s), Sink: sink,
		Cloud: Cloud{Name: "standin", EC: &standin.EC.PublicKey, RSA: cloud.RSA(), UDP: udp, TCP: tcp},
	})
	if err != nil {
		t.Fatal(err)
	}
	all := r.Sum("", "")
	t.Log(all.Counts, all.Bytes, r.Levels, r.Notes)
	if all.Counts[record.Arrivals] < 100 || all.Counts[record.Connected] == 0 || all.Counts[record.Published] == 0 {
		t.Errorf("%v", all.Counts)
	}
}

// A run that is aborted sends nothing more, and tells what it measured.
func TestAbort(t *testing.T) {
	s := simple(20)
	s.Phases = []scenario.Phase{{Name: "all", Duration: time.Hour, Arrive: &scenario.Arrive{AtOnce: true}}}
	keys := fleet.NewKeys(1)
	cloud := cloudFor(t, s, keys)
	udp, tcp, serve, err := cloud.Open()
	if err != nil {
		t.Fatal(err)
	}
	open, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(open) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithCancelCause(context.Background())
	sink := &aborter{cancel: cancel}
	r, err := Run(ctx, Options{
		Scenario: s, Keys: keys, Member: members(t, s), Sink: sink,
		Cloud: Cloud{Name: "standin", EC: &standin.EC.PublicKey, RSA: cloud.RSA(), UDP: udp, TCP: tcp},
	})
	if err != nil || !r.Interrupted || r.Sum("", "").Counts[record.Connected] == 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// An aborter aborts a run as soon as a device is online.
type aborter struct {
	collected
	cancel context.CancelCauseFunc
}

func (a *aborter) Sample(s *record.Sample) {
	a.collected.Sample(s)
	if s.Counts[record.Connected] > 0 {
		a.cancel(fmt.Errorf("somebody else has the devices: %w", ErrAbort))
	}
}

// What to look at is said for what says nothing by itself.
func TestHints(t *testing.T) {
	for _, e := range []device.Error{device.HandshakeFailed, device.KeyTimeout, device.StreamFailed} {
		if hint(e.String()) == "" {
			t.Errorf("%v: no hint", e)
		}
	}
	if hint(device.PingTimeout.String()) != "" {
		t.Error("a hint where nothing is known")
	}
}

// A cloud that nobody can reach is told once for each reason, with counts.
func TestUnreachable(t *testing.T) {
	s := simple(200)
	o, sink := inVirtualTime(t, s)
	o.Cloud.UDP = netip.MustParseAddrPort("192.0.2.99:5684") // nobody
	s.Phases = []scenario.Phase{{Name: "all", Duration: 10 * time.Minute, Arrive: &scenario.Arrive{AtOnce: true}}}
	r, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	all := r.Sum("", "")
	if all.Counts[record.Connected] != 0 || len(all.Errors) == 0 || all.Counts[record.Offline] < 400 {
		t.Errorf("%v %v", all.Counts, all.Errors)
	}
	// Once when it is seen, once with the count in the end, and that nothing comes back.
	if n := sink.noted("cloud"); n != 2*len(all.Errors)+1 {
		t.Errorf("%d notes about %d reasons: %v", n, len(all.Errors), sink.notes)
	}
	for _, n := range sink.notes[len(sink.notes)-len(all.Errors):] {
		if n.Count < 400 {
			t.Errorf("%+v", n)
		}
	}
}
