package fakerig

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/rigs/fake"
)

func TestMain(m *testing.M) {
	MainIfAsked()
	beMuster()
	os.Exit(m.Run())
}

// told keeps what a rig says.
type told struct {
	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed when a line was added
}

func (l *told) log(source, line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, source+": "+line)
	close(l.more)
	l.more = make(chan struct{})
}

// has waits until something was said: what a board prints is read behind what it does.
func (l *told) has(text string) bool {
	for late := time.After(time.Minute); ; {
		l.mu.Lock()
		found := slices.ContainsFunc(l.lines, func(s string) bool { return strings.Contains(s, text) })
		more := l.more
		l.mu.Unlock()
		if found {
			return true
		}
		select {
		case <-more:
		case <-late:
			return false
		}
	}
}

// start brings boards to a reference cloud, as "--device rig:WHICH" does.
func start(t *testing.T, which string, profiles ...string) (*Bench, *target.Env, *told) {
	t.Helper()
	return startPrepared(t, which, func(*Bench) {}, profiles...)
}

// startWith is start over a network that takes its time.
func startWith(t *testing.T, delay time.Duration, which string, profiles ...string) (*Bench, *target.Env, *told) {
	t.Helper()
	return startPrepared(t, which, func(b *Bench) { b.SetDelay(delay) }, profiles...)
}

// startPrepared is start on a bench to which something was done before.
func startPrepared(t *testing.T, which string, prepare func(*Bench), profiles ...string) (*Bench, *target.Env, *told) {
	t.Helper()
	b, err := Start(t.TempDir(), profiles...)
	if err != nil {
		t.Skipf("no bench here: %v", err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	prepare(b)
	var before []map[string]string
	for _, board := range b.Boards {
		before = append(before, snapshot(board.Memory()))
	}
	l := &told{more: make(chan struct{})}
	rig, err := b.Rig()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	env, err := target.Start(ctx, target.Options{
		Spec: &target.Spec{Device: &target.DeviceSpec{Rig: which}}, Rig: rig, Log: l.log, Memory: true,
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(l.lines, "\n"))
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
		for i, board := range b.Boards {
			if got := snapshot(board.Memory()); got["server"] != before[i]["server"] || got["device"] != before[i]["device"] {
				t.Errorf("%s does not have back what it had", board)
			}
		}
		if t.Failed() {
			t.Log(strings.Join(l.lines, "\n"))
		}
	})
	return b, env, l
}

// snapshot is what a board has for its cloud.
func snapshot(m fake.Memory) map[string]string {
	return map[string]string{
		"server": string(m.Read(fake.DCT, 3298, 320)) + string(m.Read(fake.DCT, 2082, 512)),
		"device": string(m.Read(fake.DCT, 3106, 192)) + string(m.Read(fake.DCT, 34, 612)),
	}
}

// TestBoardIsJudged brings boards of both transports to the cloud, and does to
// them what suites do.
func TestBoardIsJudged(t *testing.T) {
	t.Parallel() // boards take their time
	for _, name := range []string{"boron@6.2.0", "photon@2.3.1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, env, l := start(t, "board-1", name)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			d := env.Devices()[0]
			d.Bring(ctx)
			if !d.Connected() {
				t.Fatal("it does not connect")
			}
			if v, err := env.Call(ctx, d, target.FunctionSum, "abc"); err != nil || v != target.Sum("abc") {
				t.Errorf("%d, %v", v, err)
			}
			mark := d.Mark()
			if err := d.Publish(ctx, "muster/here", []byte("1")); err != nil {
				t.Error(err)
			}
			d.Suspend() // its hub port
			if b.Boards[0].Present() {
				t.Error("it has power")
			}
			d.PowerOn()
			if _, err := d.AwaitOnline(ctx, mark); err != nil {
				t.Error(err)
			}
			if len(d.Packets(mark)) == 0 {
				t.Error("nothing on the wire")
			}
			for _, text := range []string{"cloud connected", "usb: board-1: console open again", "power: board-1: off by hub", "rig: board-1: ", "application started"} {
				if !l.has(text) {
					t.Errorf("nobody said %q", text)
				}
			}
		})
	}
}

// TestHungBoard: a board that hangs when a run begins is restarted, and one that hangs
// at its end too: it gets its own server key back.
func TestHungBoard(t *testing.T) {
	t.Parallel()
	b, env, l := startPrepared(t, "board-1", func(b *Bench) {
		b.Host.Within = 10 * time.Second // it is waited for twice
		b.Boards[0].Hang(fake.OnlyPower)
	}, "boron@6.2.0")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	d := env.Devices()[0]
	d.Bring(ctx)
	if !d.Connected() || !l.has("it hangs: restarting it") {
		t.Error("it does not connect")
	}
	b.Boards[0].Hang(fake.OnlyPower)
}

// TestPool spreads over a pool.
func TestPool(t *testing.T) {
	t.Parallel() // boards take their time
	_, env, _ := start(t, "pool=fake*3", "boron@6.2.0", "argon@6.2.0", "p2@6.2.0", "boron@3.1.0")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if n := len(env.Devices()); n != 3 {
		t.Fatalf("%d devices", n)
	}
	target.Each(env.Devices(), func(d *target.Device) { d.Bring(ctx) })
	for _, d := range env.Devices() {
		if !d.Connected() {
			t.Errorf("%s is not connected", d)
		}
	}
}
