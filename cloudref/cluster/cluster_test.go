package cluster

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/fixtures/natstest"
)

// A fake is a node that does what the test says.
type fake struct {
	mu      sync.Mutex
	mine    []Presence
	arrived []Presence
	told    []string
	missed  int
	stopped chan struct{}
	place   Place
}

func (f *fake) Arrived(p Presence) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.arrived = append(f.arrived, p)
	return !slices.ContainsFunc(f.mine, func(m Presence) bool { return m.Device == p.Device && m.At.After(p.At) })
}

func (f *fake) Told(message []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told = append(f.told, string(message))
}

func (f *fake) Missed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.missed++
}

func (f *fake) heard() (told, missed int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.told), f.missed
}

func (f *fake) Answer(stop <-chan struct{}, question []byte, progress func([]byte)) []byte {
	if string(question) == "wait" {
		<-stop
		close(f.stopped)
		return nil
	}
	progress([]byte("half"))
	return append([]byte("answer to "), question...)
}

func (f *fake) Place() Place {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.place
}

func (f *fake) Mine() []Presence {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mine
}

func startServer(t *testing.T) string {
	t.Helper()
	return natstest.StartWith(t, server.Options{}).ClientURL()
}

// patience is for what must come in the end, on a machine that is busy.
const patience = 2 * time.Minute

func join(t *testing.T, url string, f *fake) *Cluster {
	t.Helper()
	conn, err := nats.Connect(url, nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	f.stopped = make(chan struct{})
	c, err := Join(conn, NewID(), f)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !is(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// Who joins learns where devices are, and hears when they move; who leaves is
// forgotten with its devices.
func TestPresence(t *testing.T) {
	url := startServer(t)
	early := time.Unix(1_700_000_000, 0)
	one, two := &fake{}, &fake{}
	for n := range syncChunk + 10 {
		one.mine = append(one.mine, Presence{Device: store.DeviceID{1, 10: byte(n >> 8), 11: byte(n)}, Online: true, Transport: "udp", At: early})
	}
	a := join(t, url, one)
	b := join(t, url, two)
	device := one.mine[syncChunk+5].Device
	at := func(c *Cluster, d store.DeviceID) store.NodeID { p, _ := c.Find(d); return p.Node }
	eventually(t, "the second knows the devices of the first", func() bool { return at(b, device) == a.id })
	eventually(t, "both know two nodes", func() bool { return a.Nodes() == 2 && b.Nodes() == 2 })
	if _, known := a.Find(device); known {
		t.Error("a node finds its own devices elsewhere")
	}
	one.mu.Lock()
	one.mine = one.mine[:syncChunk]
	one.mu.Unlock()
	// It moves, and late news of the node that it left change nothing.
	two.mu.Lock()
	two.mine = []Presence{{Device: device, Online: true, Transport: "udp", At: early.Add(time.Minute)}}
	two.mu.Unlock()
	b.Announce(two.mine...)
	eventually(t, "the first knows that it moved", func() bool { return at(a, device) == b.id })
	if _, known := b.Find(device); known {
		t.Error("a node finds its own devices elsewhere")
	}
	late := news{Node: a.id.String(), Devices: []Presence{{Device: device, Online: true, Transport: "udp", At: early}}}
	a.publish(subjectPresence, late)
	a.publish(subjectPresence, news{Node: a.id.String(), Devices: []Presence{{Device: store.DeviceID{8}, Online: true, At: early}}})
	eventually(t, "late news has come", func() bool { return at(b, store.DeviceID{8}) == a.id })
	if _, known := b.Find(device); known {
		t.Error("late news moved the device away")
	}
	c := join(t, url, &fake{})
	b.Announce(Presence{Device: device, Online: true, At: early.Add(time.Minute)})
	eventually(t, "a third knows", func() bool { return at(c, device) == b.id })
	a.Announce(Presence{Device: device, Gone: true, At: early}, Presence{Device: store.DeviceID{9}, At: early})
	eventually(t, "the news are there", func() bool { return at(c, store.DeviceID{9}) == a.id })
	if at(c, device) != b.id {
		t.Error("late news moved the device")
	}
	b.Announce(Presence{Device: device, Gone: true, At: early.Add(2 * time.Minute)})
	eventually(t, "its session is over", func() bool { _, known := c.Find(device); return !known })
	one.mu.Lock()
	arrived := len(one.arrived)
	one.mu.Unlock()
	if arrived == 0 {
		t.Error("the first was not told that its device is elsewhere")
	}

	if err := a.Leave(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first is forgotten", func() bool { return c.Nodes() == 2 && at(c, store.DeviceID{9}) == store.NodeID{} })
	// One that dies is forgotten after some time.
	c.forgetSilent(time.Now().Add(silentAfter + time.Second))
	if c.Nodes() != 1 {
		t.Errorf("%d nodes", c.Nodes())
	}
	eventually(t, "and known again when it turns out to live", func() bool { return c.Nodes() == 2 })
	for _, x := range []*Cluster{b, c} {
		if err := x.Leave(); err != nil {
			t.Error(err)
		}
	}
}

// Whoever loses its connection for a moment knows afterwards where devices are, and
// that it has missed something.
func TestMissed(t *testing.T) {
	server := natstest.StartWith(t, server.Options{})
	wire := natstest.NewWire(t, server.Addr().String())
	one, two := &fake{}, &fake{}
	a, b := join(t, wire.URL(), one), join(t, server.ClientURL(), two)
	eventually(t, "they know each other", func() bool { return a.Nodes() == 2 && b.Nodes() == 2 })
	tell := func(what string) {
		t.Helper()
		if err := b.Tell([]byte(what)); err != nil {
			t.Fatal(err)
		}
		if err := b.conn.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	tell("1")
	eventually(t, "the first is told", func() bool { told, _ := one.heard(); return told == 1 })
	wire.Deafen()
	moved := Presence{Device: store.DeviceID{1}, Online: true, Transport: "udp", At: time.Unix(1_700_000_000, 0)}
	two.mu.Lock()
	two.mine = []Presence{moved}
	two.mu.Unlock()
	b.Announce(moved)
	tell("2")
	wire.Cut()
	eventually(t, "it knows that it has missed something", func() bool { _, missed := one.heard(); return missed > 0 })
	eventually(t, "it knows where the device is", func() bool { p, _ := a.Find(moved.Device); return p.Node == b.id })
	tell("3")
	eventually(t, "it is told again", func() bool { told, _ := one.heard(); return told == 2 })
	if told, missed := one.heard(); told != 2 || missed != 1 {
		t.Errorf("told %d, missed %d", told, missed)
	}
	if _, missed := two.heard(); missed != 0 {
		t.Errorf("the other has missed %d", missed)
	}
	// A number that is left out is noticed with the next.
	b.mu.Lock()
	b.tales++
	b.mu.Unlock()
	tell("5")
	eventually(t, "it knows at once", func() bool { told, missed := one.heard(); return told == 3 && missed == 2 })
	for _, x := range []*Cluster{a, b} {
		if err := x.Leave(); err != nil {
			t.Error(err)
		}
	}
}

// Questions are answered, told on their way, and given up.
func TestAsk(t *testing.T) {
	url := startServer(t)
	one, two := &fake{}, &fake{}
	a, b := join(t, url, one), join(t, url, two)
	eventually(t, "they know each other", func() bool { return a.Nodes() == 2 && b.Nodes() == 2 })
	var parts []string
	answer, err := a.Ask(t.Context(), b.id, []byte("1"), func(p []byte) { parts = append(parts, string(p)) })
	if err != nil || string(answer) != "answer to 1" || len(parts) != 1 || parts[0] != "half" {
		t.Errorf("got %q, %q, %v", answer, parts, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := a.Ask(ctx, b.id, []byte("wait"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	select {
	case <-two.stopped:
	case <-time.After(patience):
		t.Error("the node that was asked was not told to stop")
	}
	if _, err := a.Ask(t.Context(), NewID(), []byte("1"), nil); !errors.Is(err, ErrNoNode) {
		t.Errorf("asking nobody: %v", err)
	}
	if err := a.Tell([]byte("news")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other is told", func() bool { two.mu.Lock(); defer two.mu.Unlock(); return len(two.told) == 1 })
	one.mu.Lock()
	if len(one.told) != 0 {
		t.Error("a node tells itself")
	}
	one.mu.Unlock()
	for _, x := range []*Cluster{a, b} {
		if err := x.Leave(); err != nil {
			t.Error(err)
		}
	}
}

// A node hears that its answer is not wanted also when that was said before it had
// begun.
func TestAskIsGivenUpAtOnce(t *testing.T) {
	url := startServer(t)
	one, two := &fake{}, &fake{}
	a, b := join(t, url, one), join(t, url, two)
	eventually(t, "they know each other", func() bool { return a.Nodes() == 2 && b.Nodes() == 2 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Ask(ctx, b.id, []byte("wait"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	select {
	case <-two.stopped:
	case <-time.After(patience):
		t.Error("the node that was asked was not told to stop")
	}
}

// News that are no news harm nobody.
func TestNonsense(t *testing.T) {
	url := startServer(t)
	f := &fake{}
	c := join(t, url, f)
	conn, err := nats.Connect(url, nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, subject := range []string{subjectAlive, subjectPresence, subjectSync, subjectTold, subjectAsk + c.id.String()} {
		for _, data := range []string{"", "{", "[]", `{"n":"xyz"}`, `{"n":1}`, `{"n":"0102030405060708","devices":[{"d":"zz"}]}`} {
			if err := conn.Publish(subject, []byte(data)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	other := join(t, url, &fake{})
	eventually(t, "it still listens", func() bool { return c.Nodes() >= 2 })
	for _, x := range []*Cluster{c, other} {
		if err := x.Leave(); err != nil {
			t.Error(err)
		}
	}
}
