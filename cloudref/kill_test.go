package cloudref

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

const (
	killEnv     = "MUSTER_CLOUD_KILL_DIR" // set in the child, with its UDP address behind it
	killDevices = 12
	killRounds  = 10
)

// TestKill kills a cloud at random points while devices publish, subscribe and
// receive, ten times, and counts what it had promised.
func TestKill(t *testing.T) {
	if dir := os.Getenv(killEnv); dir != "" {
		killChild(t, dir)
		return
	}
	rounds := killRounds
	if testing.Short() {
		rounds = 3
	}
	dir := t.TempDir()
	o := Options{Dir: dir}
	if err := o.loadKeys(); err != nil {
		t.Fatal(err)
	}
	var all []*killPuppet
	for n := range killDevices {
		p := newPuppet(n+1, &o.ECKey.PublicKey)
		p.tape = new(tape)
		all = append(all, &killPuppet{puppet: p, confirmed: map[string]bool{}})
	}
	rng := rand.New(rand.NewPCG(1, 0))
	addr := freeAddress(t) // devices come back to the address that they know
	// A slow machine gets more rounds, and longer ones, until enough was promised.
	for round := 0; round < rounds || !killEnough(all) && round < rounds+20; round++ {
		child, up := startChild(t, dir, addr)
		replay(t, up, all)
		var stop atomic.Bool
		var wg sync.WaitGroup
		for _, p := range all {
			wg.Go(func() { p.live(t, up, round, &stop) })
		}
		time.Sleep(time.Duration(150+rng.IntN(500)+100*max(0, round-rounds+1)) * time.Millisecond)
		if err := child.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		stop.Store(true)
		wg.Wait()
		if err := child.Wait(); err == nil {
			t.Fatal("the child ended by itself")
		}
		for _, p := range all {
			hearOut(t, addr, p.puppet)
		}
	}
	judgeKill(t, dir, all)
}

// replay plays what the devices sent before the kill, from elsewhere. What the cloud
// had taken it must not answer. A device whose last message it had not taken is
// there for it, with that; then only the events, at the end, show whether one was
// taken twice.
func replay(t *testing.T, addr netip.AddrPort, all []*killPuppet) {
	t.Helper()
	for _, p := range all {
		answers, err := p.tape.play(addr)
		if err != nil {
			t.Fatal(err)
		}
		if len(answers) > 0 && !p.open {
			t.Errorf("device %s: records of before the kill brought %d datagrams", p.id, len(answers))
		}
	}
}

func judgeKill(t *testing.T, dir string, all []*killPuppet) {
	t.Helper()
	c, err := Start(t.Context(), Options{Dir: dir, UDP: anyPort})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	stored := storedEvents(t, c)
	confirmed, missing, twice, again, back, received := 0, 0, 0, 0, 0, 0
	for _, p := range all {
		for name := range p.confirmed {
			confirmed++
			switch stored[p.id.String()+" "+name] {
			case 0:
				missing++
			case 1:
			default:
				twice++
			}
		}
		again += p.shakes - 1
		back += p.back
		received += len(p.heard)
	}
	t.Logf("%d events acknowledged, %d missing, %d stored twice; %d sessions made anew; %d sequences that went back; %d deliveries",
		confirmed, missing, twice, again, back, received)
	if missing+twice+again+back > 0 {
		t.Error("the cloud broke a promise")
	}
	if !killEnough(all) {
		t.Error("too little happened: the test tests nothing")
	}
}

// killEnough reports whether enough happened to say something.
func killEnough(all []*killPuppet) bool {
	confirmed, received := 0, 0
	for _, p := range all {
		confirmed += len(p.confirmed)
		received += len(p.heard)
	}
	return confirmed >= 100 && received > 0
}

// storedEvents counts the stored events up to one that it appends, by device and name.
func storedEvents(t *testing.T, c *Cloud) map[string]int {
	t.Helper()
	const last = "the last"
	if err := c.Publish(t.Context(), store.AccountID{1}, app.Event{Name: last}); err != nil {
		t.Fatal(err)
	}
	all, over := map[string]int{}, make(chan struct{})
	stop, err := c.Store().Follow(store.Selection{From: 1}, func(s store.Event) {
		e, err := endpoint.ParseEvent(s.Body)
		if err != nil {
			t.Error(err)
			return
		}
		if e.Name == last {
			close(over)
			return
		}
		all[s.Device.String()+" "+e.Name]++
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	select {
	case <-over:
	case <-time.After(patience):
		t.Fatal("the events cannot be read")
	}
	return all
}

// A killPuppet notes which of its events were acknowledged.
type killPuppet struct {
	*puppet
	confirmed map[string]bool
	count     int
	prefix    string // of the names of its events
	open      bool   // its last message was not acknowledged
}

// live is the life of a device until the cloud is gone. In odd rounds it resumes
// as after a reset; in even ones it does not notice that the cloud was away.
func (p *killPuppet) live(t *testing.T, addr netip.AddrPort, round int, stop *atomic.Bool) {
	p.open = p.open || p.link == nil
	switch {
	case p.link == nil:
		if err := p.dial(addr); err != nil {
			t.Error(err)
			return
		}
		if err := p.connectUntil(stop); err != nil {
			if !stop.Load() {
				t.Errorf("round %d, device %s: %v", round, p.id, err)
			}
			p.link = nil // its Hello was not acknowledged: there is nothing to resume
			p.shakes = 0
			return
		}
	case round%2 == 1:
		if err := p.resume(addr); err != nil {
			t.Error(err)
			return
		}
	}
	for !stop.Load() {
		p.count++
		name := fmt.Sprintf("%stemp/%d", p.prefix, p.count)
		id := p.post(p.publish(name, "x"))
		p.run(patience, func() bool { return p.acked[id] || stop.Load() })
		p.open = !p.acked[id]
		if p.acked[id] {
			p.confirmed[name] = true
		} else if !stop.Load() {
			t.Errorf("round %d, device %s: no acknowledgement while the cloud runs: %v", round, p.id, p.ended)
			return
		}
	}
	p.link.ForgetSent() // the connection is over
}

func (p *killPuppet) connectUntil(stop *atomic.Bool) error {
	if err := p.handshakeUntil(stop.Load); err != nil {
		return err
	}
	hello := pdc.Hello{
		ProductID: 13, ProductVersion: 0xffff, Flags: p.dia.HelloFlags(), Platform: pdc.Boron, DeviceID: p.id[:],
		System: 6200, MaxMessage: 1152, ChunkSize: 512,
	}
	for _, m := range []coap.Message{hello.Message(p.dia), pdc.Subscribe{Filter: "news"}.Message(p.dia)} {
		id := p.post(m)
		if p.run(patience, func() bool { return p.acked[id] || stop.Load() }); !p.acked[id] {
			return fmt.Errorf("%v was not acknowledged: %w", m, p.ended)
		}
	}
	return nil
}

func startChild(t *testing.T, dir, addr string) (*exec.Cmd, netip.AddrPort) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestKill$")
	child.Env = append(os.Environ(), killEnv+"="+dir+" "+addr)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	up, parseErr := netip.ParseAddrPort(strings.TrimSpace(line))
	if err != nil || parseErr != nil {
		t.Fatalf("the child said %q: %v", line, err)
	}
	return child, up
}

// killChild is a cloud that publishes news until it is killed.
func killChild(t *testing.T, where string) {
	dir, addr, _ := strings.Cut(where, " ")
	c, err := Start(context.Background(), Options{
		Dir: dir, UDP: netip.MustParseAddrPort(addr),
		Adjust: func(c *endpoint.Config) { c.Reservation = 32 },
	})
	if err != nil {
		panic(err)
	}
	owner, err := c.Account(context.Background(), "alice")
	if err != nil {
		panic(err)
	}
	for n := range killDevices {
		p := newPuppet(n+1, nil)
		if err := c.Register(context.Background(), Registration{ID: p.id, Owner: owner, P256: p.spki()}); err != nil {
			panic(err)
		}
	}
	fmt.Println(c.UDP())
	for n := 0; ; n++ {
		if err := c.Publish(context.Background(), owner, app.Event{Name: "news", Data: []byte(fmt.Sprint(n))}); err != nil {
			panic(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
