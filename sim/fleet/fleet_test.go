package fleet

import (
	"context"
	"crypto/rsa"
	"sync"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/profile"
)

// patience bounds every wait of a test. Nothing waits this long unless it fails.
const patience = 2 * time.Minute

func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// specs returns n devices, the profiles in turn, and their keys to the cloud.
func specs(t testing.TB, c *scripted, seeded bool, n int, profiles ...string) []Spec {
	t.Helper()
	tpl := Template{
		Keys: c.keys, EC: &cloudEC.PublicKey, RSA: c.RSA(), Seed: 7, Seeded: seeded, Server: "cloud.test",
		Edit: func(c *device.Config) { c.Faults = &device.Faults{UnlimitedRate: true} },
		App:  &device.App{Functions: []device.Function{{Name: "len", Call: func(_ device.ID, arg []byte) int32 { return int32(len(arg)) }}}},
	}
	var list []Spec
	var tcp []device.ID
	for i := range n {
		p, err := profile.Lookup(profiles[i%len(profiles)])
		if err != nil {
			t.Fatal(err)
		}
		s := Spec{Config: tpl.Config(p), ID: ID(1, i)}
		if !p.Board.UDP {
			tcp = append(tcp, s.ID)
		}
		list = append(list, s)
	}
	if err := c.keys.MakeRSA(context.Background(), tcp, nil); err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		if s.Config.Profile.Board.UDP {
			c.Know(c.keys.Public(s.ID), s.ID)
		}
	}
	return list
}

// startReal runs a fleet of n devices against a scripted cloud.
func startReal(t testing.TB, n int, o Options, profiles ...string) (*Real, *scripted) {
	t.Helper()
	c := newScripted(NewKeys(2))
	list := specs(t, c, false, n, profiles...)
	o.UDP, o.TCP = c.serve(t)
	f, err := NewReal(o)
	if err != nil {
		t.Fatal(err)
	}
	run(t, f.Run)
	if _, err := f.Add(list...); err != nil {
		t.Fatal(err)
	}
	return f, c
}

func online(t testing.TB, f *Real) {
	t.Helper()
	f.Start(Ramp{Rate: 2000})
	if err := f.WaitOnline(patient(t)); err != nil {
		t.Fatalf("%v; %+v", err, f.Metrics())
	}
}

// Devices of both transports connect over loopback, publish, change their
// network, are switched off and resume.
func TestRealFleet(t *testing.T) {
	n := 300
	if testing.Short() {
		n = 60
	}
	f, c := startReal(t, n, Options{}, "boron@6.2.0", "photon@3.1.0", "electron@1.4.4")
	online(t, f)
	m := f.Metrics()
	if m.Online != n || m.Handshakes < uint64(n) || m.Connecting != 0 || m.Queued != 0 || m.ConnectTime.Count < int64(n) {
		t.Errorf("after connecting: %+v", m)
	}

	published := f.Watch(func(i int, e *device.Event) bool { return i == 1 && e.Kind == device.Published && e.Tag == 9 })
	f.Publish(1, device.Publication{Name: "x", Data: []byte("1"), WithAck: true, Tag: 9}, func(err error) { t.Error(err) })
	if _, err := published.Wait(patient(t)); err != nil {
		t.Fatal(err)
	}

	resumed := f.Watch(func(i int, e *device.Event) bool { return i == 0 && e.Kind == device.Online && e.Resumed })
	f.Suspend(0)
	if err := f.WaitOffline(patient(t), 0); err != nil {
		t.Fatal(err)
	}
	f.PowerOn(0)
	if _, err := resumed.Wait(patient(t)); err != nil {
		t.Fatal(err)
	}
	if got := f.Metrics().Resumes; got == 0 {
		t.Error("no resume was counted")
	}
	if c.count(pdc.KindPublish) == 0 {
		t.Error("the cloud saw no event")
	}
}

// A device that changes its network sends from another address, and its session
// goes on.
func TestNetworkChange(t *testing.T) {
	f, _ := startReal(t, 2, Options{Shards: 1}, "boron@6.2.0", "photon@3.1.0")
	online(t, f)
	for i := range 2 {
		before, err := f.Addr(patient(t), i)
		if err != nil {
			t.Fatal(err)
		}
		done := f.Watch(func(index int, e *device.Event) bool {
			return index == i && (e.Kind == device.Published || e.Kind == device.Online)
		})
		f.NetworkChange(i)
		if i == 0 {
			f.Publish(i, device.Publication{Name: "x", WithAck: true}, func(err error) { t.Error(err) })
		}
		if _, err := done.Wait(patient(t)); err != nil {
			t.Fatal(err)
		}
		after, err := f.Addr(patient(t), i)
		if err != nil || after == before {
			t.Errorf("device %d: from %v to %v, %v", i, before, after, err)
		}
	}
}

// No more devices than allowed are on their way at a time, and all arrive.
func TestTurns(t *testing.T) {
	const n, limit = 100, 3
	most := 0
	connecting := 0
	f, _ := startReal(t, n, Options{Shards: 1, Connecting: limit, Observe: func(_ int, _ clock.Instant, e device.Event) {
		switch e.Kind {
		case device.Connecting:
			connecting++
			most = max(most, connecting)
		case device.Online, device.Offline:
			connecting--
		default: // no turn begins or ends
		}
	}}, "boron@6.2.0")
	online(t, f)
	if err := f.Call(patient(t), 0, func(clock.Instant, *device.Device, *device.Out) {
		if most > limit || most == 0 {
			t.Errorf("%d devices connected at a time, want at most %d", most, limit)
		}
	}); err != nil {
		t.Fatal(err)
	}
}

// An observer may give commands.
func TestObserverCommands(t *testing.T) {
	var f *Real
	ready := make(chan struct{})
	f, _ = startReal(t, 1, Options{Observe: func(i int, _ clock.Instant, e device.Event) {
		if e.Kind == device.Online {
			<-ready
			f.Publish(i, device.Publication{Name: "x", WithAck: true, Tag: 5}, func(err error) { t.Error(err) })
		}
	}}, "argon@6.2.0")
	close(ready)
	published := f.Watch(func(_ int, e *device.Event) bool { return e.Kind == device.Published && e.Tag == 5 })
	f.PowerOn(0)
	if _, err := published.Wait(patient(t)); err != nil {
		t.Fatal(err)
	}
}

// Memory moves a session from one fleet to another; Replace forgets it.
func TestMemory(t *testing.T) {
	f, c := startReal(t, 2, Options{}, "boron@6.2.0")
	online(t, f)
	b, err := f.Memory(patient(t), 0)
	if err != nil {
		t.Fatal(err)
	}
	nv, err := device.ParseNVRAM(b)
	if err != nil || nv.Session == nil {
		t.Fatalf("%v, session %v", err, nv)
	}
	other, err := NewReal(f.options)
	if err != nil {
		t.Fatal(err)
	}
	run(t, other.Run)
	list := specs(t, newScripted(c.keys), false, 1, "boron@6.2.0")
	list[0].NVRAM = nv
	if _, err := other.Add(list[0]); err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		up := other.Watch(func(_ int, e *device.Event) bool { return e.Kind == device.Online })
		other.PowerOn(0)
		got, err := up.Wait(patient(t))
		if err != nil {
			t.Fatal(err)
		}
		if got.Event.Resumed != want {
			t.Errorf("resumed %v, want %v", got.Event.Resumed, want)
		}
		other.Replace(0, list[0].Config, nil)
	}
}

// Secrets are passed on only when asked for.
func TestSecrets(t *testing.T) {
	for _, want := range []bool{false, true} {
		seen := make(chan struct{}, 10)
		f, _ := startReal(t, 0, Options{Secrets: want, Observe: func(_ int, _ clock.Instant, e device.Event) {
			if e.Kind == device.Secrets {
				seen <- struct{}{}
			}
		}}, "boron@6.2.0")
		c := newScripted(NewKeys(1))
		s := specs(t, c, false, 1, "boron@6.2.0")
		config := *s[0].Config
		config.Secrets = true
		s[0].Config = &config
		s[0].Cloud, _ = c.serve(t)
		if _, err := f.Add(s...); err != nil {
			t.Fatal(err)
		}
		online(t, f)
		if got := len(seen) > 0; got != want {
			t.Errorf("secrets seen: %v, want %v", got, want)
		}
	}
}

func TestAddRefuses(t *testing.T) {
	c := newScripted(NewKeys(1))
	list := specs(t, c, false, 2, "boron@6.2.0")
	f, err := NewReal(Options{Capacity: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Add(list[0]); err == nil {
		t.Error("a device without a cloud was taken")
	}
	list[0].Cloud.UnmarshalText([]byte("192.0.2.1:5684"))
	if _, err := f.Add(list[0]); err == nil {
		t.Error("a device with a cloud elsewhere was taken")
	}
	list[0].Cloud.UnmarshalText([]byte("127.0.0.1:5684"))
	list[1].Cloud = list[0].Cloud
	if _, err := f.Add(list...); err == nil {
		t.Error("more devices than the capacity were taken")
	}
}

func TestKeys(t *testing.T) {
	ids := []device.ID{ID(1, 0), ID(1, 1), ID(1, 2)}
	random := NewKeys(2)
	if err := random.MakeRSA(context.Background(), ids, nil); err != nil {
		t.Fatal(err)
	}
	if keys, shared := random.RSA(); keys != 2 || shared != 1 {
		t.Errorf("%d keys, %d shared", keys, shared)
	}
	if random.Get(ids[0]).(*rsa.PrivateKey).Equal(random.Get(ids[1])) {
		t.Error("two devices share a key though there was room for more")
	}
	udp := ID(1, 9)
	if len(random.Public(udp)) != dtls.SPKISize || string(random.Public(udp)) == string(NewKeys(1).Public(udp)) {
		t.Error("random keys repeat")
	}
	if once, again := SeededKeys(3, 1), SeededKeys(3, 1); string(once.Public(udp)) != string(again.Public(udp)) {
		t.Error("seeded keys do not repeat")
	}
	clash := udp
	clash[9] ^= 1 // the same place in the cache
	first := string(random.Public(udp))
	if string(random.Public(clash)) == first || string(random.Public(udp)) != first {
		t.Error("the cache mixes keys up")
	}
}

// nop does nothing; when it is done, so is everything before it.
func nop(clock.Instant, *device.Device, *device.Out) {}

// TestKeysMadeAtOnce makes RSA keys from many goroutines: none may get the key
// of another, which a cloud would refuse.
func TestKeysMadeAtOnce(t *testing.T) {
	keys := NewKeys(0)
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			if err := keys.MakeRSA(context.Background(), []device.ID{ID(1, i)}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	seen := make(map[string]bool)
	for i := range 8 {
		seen[string(keys.Public(ID(1, i)))] = true
	}
	if len(seen) != 8 {
		t.Errorf("8 devices have %d different keys", len(seen))
	}
}
