package lease

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/muster/muster/fixtures/natstest"
)

func request(owner string) Request {
	return Request{Key: "e00fce68", Board: "boron-1", Owner: owner, Reason: "a test"}
}

func mustAcquire(t *testing.T, d *Desk, r Request) *Lease {
	t.Helper()
	l, err := d.Acquire(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Release() })
	return l
}

func mustRefuse(t *testing.T, d *Desk, r Request, says string) {
	t.Helper()
	_, err := d.Acquire(t.Context(), r)
	var held *HeldError
	if !errors.As(err, &held) || !strings.Contains(err.Error(), says) {
		t.Errorf("%v, want %q", err, says)
	}
}

func TestOneAtATime(t *testing.T) {
	d := &Desk{Dir: t.TempDir()}
	l := mustAcquire(t, d, request("ann@here"))
	mustRefuse(t, d, request("bob@here"), "ann@here (a test)")
	mustRefuse(t, d, request("ann@here"), "ann@here (a test)") // her other run
	h, held, err := d.Holder(t.Context(), "e00fce68")
	if err != nil || !held || h.Owner != "ann@here" || h.PID != os.Getpid() {
		t.Errorf("%v, %v, %v", h, held, err)
	}
	if err := d.Release(t.Context(), request("ann@here"), true); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Error(err)
	}
	if err := errors.Join(l.Release(), l.Release()); err != nil {
		t.Fatal(err)
	}
	if _, held, err := d.Holder(t.Context(), "e00fce68"); held || err != nil {
		t.Error(held, err)
	}
	mustAcquire(t, d, request("bob@here"))
}

// TestRace lets many want one board at the same time, while others look.
func TestRace(t *testing.T) {
	d := &Desk{Dir: t.TempDir()}
	var mu sync.Mutex
	has := 0
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for times := 0; times < 5; {
				if _, _, err := d.Holder(t.Context(), "e00fce68"); err != nil {
					t.Error(err)
					return
				}
				l, err := d.Acquire(t.Context(), request(fmt.Sprint("owner", i)))
				if err != nil {
					if held := (*HeldError)(nil); !errors.As(err, &held) {
						t.Error(err)
						return
					}
					continue
				}
				times++
				mu.Lock()
				if has++; has > 1 {
					t.Error("two have it")
				}
				mu.Unlock()
				mu.Lock()
				has--
				mu.Unlock()
				if err := l.Release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
}

// holdVariable makes this test binary a process that holds a board.
const holdVariable = "MUSTER_TEST_HOLD"

func TestMain(m *testing.M) {
	dir := os.Getenv(holdVariable)
	if dir == "" {
		os.Exit(m.Run())
	}
	r := request("killed@here")
	if strings.HasSuffix(dir, "-kept") {
		r.Keep, r.Bound, r.TTL = true, os.Getpid(), time.Hour
	}
	isLeft := strings.HasSuffix(dir, "-left")
	l, err := (&Desk{Dir: strings.TrimSuffix(strings.TrimSuffix(dir, "-kept"), "-left")}).Acquire(context.Background(), r)
	if err == nil && isLeft {
		cat := exec.Command("cat")
		cat.Stdin, cat.ExtraFiles = os.Stdin, []*os.File{l.File()}
		err = cat.Start()
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("held")
	select {} // until it is killed
}

// TestKilled holds that a job that is killed frees its board by itself.
func TestKilled(t *testing.T) {
	for _, suffix := range []string{"", "-kept"} {
		d := &Desk{Dir: t.TempDir()}
		heldByAnother(t, d, suffix)
		l := mustAcquire(t, d, request("next@here"))
		if err := l.Release(); err != nil {
			t.Error(err)
		}
	}
}

// heldByAnother has another process take the board, and kills it. What is returned
// is the standard input of what it was.
func heldByAnother(t *testing.T, d *Desk, suffix string) io.Closer {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holdVariable+"="+d.Dir+suffix)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	// Not cmd.StdinPipe, which Wait closes.
	theirs, ours, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ours.Close() })
	cmd.Stdin = theirs
	if err := errors.Join(cmd.Start(), theirs.Close()); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("%q, %v", line, err)
	}
	mustRefuse(t, d, request("next@here"), "killed@here")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it says that it was killed
	return ours
}

// TestLeftAtWork holds that what a killed job has left at work on a board is
// waited for, by who is next.
func TestLeftAtWork(t *testing.T) {
	d := &Desk{Dir: t.TempDir()}
	input := heldByAnother(t, d, "-left")
	if h, held, err := d.Holder(t.Context(), "e00fce68"); err != nil || !held || h.Owner != "killed@here" || h.Left == "" {
		t.Fatalf("%+v, %v, %v", h, held, err)
	}
	mustRefuse(t, d, request("next@here"), "was killed and left")
	kept := request("killed@here")
	kept.Keep, kept.TTL = true, time.Hour
	mustRefuse(t, d, kept, "was killed and left")
	var told []string
	d.Tell = func(text string) {
		told = append(told, text)
		_ = input.Close() // now it ends
	}
	leases, err := d.AcquireAny(t.Context(), 1, 0, []Request{request("next@here")})
	if err != nil {
		t.Fatal(err)
	}
	if len(told) != 1 || !strings.Contains(told[0], "boron-1: a run that was killed has left ") || runtime.GOOS == "linux" && !strings.Contains(told[0], "left cat (process") {
		t.Errorf("%q", told)
	}
	if err := ReleaseAll(leases); err != nil {
		t.Error(err)
	}
	mustAcquire(t, d, request("third@here"))
}

func TestKept(t *testing.T) {
	now := time.Now()
	d := &Desk{Dir: t.TempDir(), Now: func() time.Time { return now }}
	kept := request("ann@here")
	kept.Keep, kept.TTL = true, time.Hour
	mustAcquire(t, d, kept)
	mustRefuse(t, d, request("bob@here"), "muster rig release boron-1")
	l := mustAcquire(t, d, request("ann@here")) // under what she keeps
	mustRefuse(t, d, request("bob@here"), "ann@here")
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, d, request("bob@here"), "kept until")
	if err := d.Release(t.Context(), request("bob@here"), false); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Error(err)
	}
	if err := d.Release(t.Context(), request("bob@here"), true); err != nil {
		t.Error(err)
	}
	if err := d.Release(t.Context(), request("bob@here"), true); err == nil || !strings.Contains(err.Error(), "free") {
		t.Error(err)
	}
	mustAcquire(t, d, kept)
	now = now.Add(61 * time.Minute)
	mustAcquire(t, d, request("bob@here")) // its time is over
}

func TestPools(t *testing.T) {
	d := &Desk{Dir: t.TempDir()}
	var pool []Request
	for i := range 3 {
		r := request("ann@here")
		r.Key, r.Board = fmt.Sprint("key", i), fmt.Sprint("boron-", i)
		pool = append(pool, r)
	}
	two, err := d.AcquireAny(t.Context(), 2, 0, pool)
	if err != nil || len(two) != 2 || two[0].Board() == two[1].Board() {
		t.Fatal(two, err)
	}
	if _, err := d.AcquireAny(t.Context(), 2, 0, pool); err == nil || !strings.Contains(err.Error(), "taken by ann@here") {
		t.Error(err)
	}
	one, err := d.AcquireAny(t.Context(), 1, 0, pool) // the failure above took none
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error)
	go func() {
		l, err := d.AcquireAny(t.Context(), 1, time.Minute, pool)
		got <- errors.Join(err, ReleaseAll(l))
	}()
	if err := ReleaseAll(append(one, two...)); err != nil {
		t.Error(err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
	if _, err := d.AcquireAny(t.Context(), 4, 0, pool); err == nil || !strings.Contains(err.Error(), "there are 3") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	all, err := d.AcquireAny(t.Context(), 3, 0, pool)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.AcquireAny(ctx, 1, time.Hour, pool); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := ReleaseAll(all); err != nil {
		t.Error(err)
	}
}

func TestTrouble(t *testing.T) {
	d := &Desk{Dir: t.TempDir()}
	r := request("ann@here")
	r.TTL = time.Second
	l := mustAcquire(t, d, r)
	if err := os.RemoveAll(d.Dir); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := l.Context(t.Context())
	defer cancel()
	<-ctx.Done()
	if err := context.Cause(ctx); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "was removed") {
		t.Error(err)
	}
	if err := l.Release(); err != nil {
		t.Error(err)
	}
	if err := os.MkdirAll(d.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.Dir, "e00fce68.lock"), []byte("{half"), 0o644); err != nil {
		t.Fatal(err)
	}
	mustAcquire(t, d, request("bob@here")) // what a crash left half written
	r.TTL = time.Millisecond
	if _, err := d.Acquire(t.Context(), r); err == nil || !strings.Contains(err.Error(), "one second") {
		t.Error(err)
	}
}

// hosts returns desks that have nothing in common but a server.
func hosts(t *testing.T, n int) []*Desk {
	t.Helper()
	s := natstest.StartWith(t, server.Options{DontListen: true, JetStream: true})
	var desks []*Desk
	for range n {
		conn, err := nats.Connect("", nats.InProcessServer(s), nats.Timeout(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		r, err := NewRemote(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		desks = append(desks, &Desk{Dir: t.TempDir(), Remote: r})
	}
	return desks
}

func TestTwoHosts(t *testing.T) {
	h := hosts(t, 2)
	l := mustAcquire(t, h[0], request("ann@one"))
	mustRefuse(t, h[1], request("bob@two"), "ann@one (a test)")
	if who, held, err := h[1].Holder(t.Context(), "e00fce68"); err != nil || !held || who.Owner != "ann@one" {
		t.Error(who, held, err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	second := mustAcquire(t, h[1], request("bob@two"))
	mustRefuse(t, h[0], request("ann@one"), "bob@two")
	if err := second.Release(); err != nil {
		t.Fatal(err)
	}
	kept := request("ann@one")
	kept.Keep, kept.TTL = true, time.Hour
	mustAcquire(t, h[0], kept)
	mustRefuse(t, h[1], request("bob@two"), "kept until")
	if err := mustAcquire(t, h[0], request("ann@one")).Release(); err != nil { // under it
		t.Error(err)
	}
	mustRefuse(t, h[1], request("bob@two"), "kept until")
	if err := h[1].Release(t.Context(), request("bob@two"), true); err != nil {
		t.Error(err)
	}
	mustAcquire(t, h[1], request("bob@two"))
}

// TestHostThatDied holds that a board is free again when a host gives no sign of
// life, and that the host notices when it comes back.
func TestHostThatDied(t *testing.T) {
	h := hosts(t, 2)
	r := request("ann@one")
	r.TTL = time.Second
	l := mustAcquire(t, h[0], r)
	close(l.stop) // it freezes
	l.beat.Wait()
	got, err := h[1].AcquireAny(t.Context(), 1, time.Minute, []Request{request("bob@two")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ReleaseAll(got) }()
	l.stop = make(chan struct{}) // it thaws
	l.beat.Go(l.heartbeat)
	<-l.Done()
	if err := l.Err(); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "bob@two") {
		t.Error(err)
	}
	if err := l.Release(); err != nil {
		t.Error(err)
	}
	mustRefuse(t, h[0], request("ann@one"), "bob@two") // her release did not end his
}

// TestKeptByAProcessThatDied: what a process keeps for a command that it runs is
// free on the other hosts too when it gives no sign of life.
func TestKeptByAProcessThatDied(t *testing.T) {
	h := hosts(t, 2)
	r := request("ann@one")
	r.Keep, r.TTL, r.Bound, r.Beat = true, MaxTTL, os.Getpid(), time.Second
	l := mustAcquire(t, h[0], r)
	if who := l.Holder().String(); !strings.Contains(who, "while process") {
		t.Error(who)
	}
	for first := l.remote; ; time.Sleep(time.Millisecond) { // until it has given one
		e, err := h[1].Remote.kv.Get(t.Context(), entryKey("e00fce68"))
		if err != nil {
			t.Fatal(err)
		}
		if e.Revision() > first {
			break
		}
	}
	close(l.stop) // it dies
	l.beat.Wait()
	l.stop = make(chan struct{}) // for Release
	got, err := h[1].AcquireAny(t.Context(), 1, time.Minute, []Request{request("bob@two")})
	if err != nil {
		t.Fatal(err)
	}
	if err := ReleaseAll(got); err != nil {
		t.Error(err)
	}
}

func TestHeartbeatKeepsIt(t *testing.T) {
	t.Parallel() // it waits
	h := hosts(t, 2)
	r := request("ann@one")
	r.TTL = 10 * time.Second // a machine stands still for a second or two
	l := mustAcquire(t, h[0], r)
	first := l.remote
	if _, err := h[1].AcquireAny(t.Context(), 1, r.TTL+2*time.Second, []Request{request("bob@two")}); err == nil {
		t.Error("taken from one who lives")
	}
	if err := l.Release(); err != nil || l.remote == first {
		t.Errorf("%v, revision %d", err, l.remote)
	}
}
