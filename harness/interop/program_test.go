package interop

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"
)

// patience bounds everything that a test waits for. The peers repeat a lost
// flight after 1 s at the latest, and then after 2 s.
const patience = time.Minute

// required reports whether a missing peer is an error.
func required() bool { return os.Getenv("MUSTER_REQUIRE_PEERS") == "1" }

// missing skips the test, or fails it where the peers are required.
func missing(t *testing.T, reason string) {
	t.Helper()
	if required() {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// A program is a running peer.
type program struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *output
	ended chan error
}

// run starts a program. It is killed at the end of the test at the latest.
func run(t *testing.T, name string, args ...string) *program { return runWith(t, nil, name, args...) }

// runWith is run with additions to the environment.
func runWith(t *testing.T, env []string, name string, args ...string) *program {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, name+" is not installed: see the package comment")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	p := &program{t: t, cmd: exec.CommandContext(ctx, path, args...), out: newOutput(), ended: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.WaitDelay = time.Second
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	t.Cleanup(func() {
		cancel() // kills it
		<-p.ended
		if t.Failed() {
			t.Logf("%s said:\n%s", name, p.out)
		}
	})
	return p
}

// say writes to the program's standard input.
func (p *program) say(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, text); err != nil {
		p.t.Fatal(err)
	}
}

// await returns when the program has written text.
func (p *program) await(text string) {
	p.t.Helper()
	if !p.out.await(text) {
		p.t.Fatalf("%s did not write %q", p.cmd.Path, text)
	}
}

// exit closes the program's standard input and returns its exit status.
func (p *program) exit() int {
	p.t.Helper()
	_ = p.stdin.Close() // it may have ended by itself
	select {
	case err := <-p.ended:
		p.ended <- err
	case <-time.After(patience):
		p.t.Fatalf("%s does not end", p.cmd.Path)
	}
	return p.cmd.ProcessState.ExitCode()
}

// output collects what a program writes.
type output struct {
	mu    sync.Mutex
	b     bytes.Buffer
	wrote chan struct{} // closed and replaced at every write
}

func newOutput() *output { return &output{wrote: make(chan struct{})} }

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.wrote)
	o.wrote = make(chan struct{})
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func (o *output) await(text string) bool {
	deadline := time.After(patience)
	for {
		o.mu.Lock()
		found, wrote := bytes.Contains(o.b.Bytes(), []byte(text)), o.wrote
		o.mu.Unlock()
		if found {
			return true
		}
		select {
		case <-wrote:
		case <-deadline:
			return false
		}
	}
}

// freePort returns a loopback port that was free a moment ago, with the n-1
// ports behind it. Nobody is given one of them before the peer takes it: systems
// give those of 32768 and more.
func freePort(t *testing.T, n int) int {
	t.Helper()
	for range 1000 {
		port := 10000 + rand.IntN(20000)
		free := true
		for i := 0; free && i < n; i++ {
			free = isFree(port + i)
		}
		if free {
			return port
		}
	}
	t.Fatal("no free ports")
	return 0
}

func loopback(port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
}

func text(port int) string { return strconv.Itoa(port) }
