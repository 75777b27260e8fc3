package fleets

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"testing"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cloudref"
	"github.com/muster/muster/sim/command"
)

// beMuster makes this program "muster" instead of its tests.
const beMuster = "MUSTER_TEST_BE_MUSTER"

func TestMain(m *testing.M) {
	if os.Getenv(beMuster) != "" {
		os.Exit(muster())
	}
	os.Exit(m.Run())
}

// muster is the part of the program that is needed here.
func muster() int {
	root := &cobra.Command{Use: "muster", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(cloudref.Command(), command.Command())
	root.SetArgs(os.Args[1:])
	err := root.ExecuteContext(context.Background())
	var exit interface{ ExitCode() int }
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	fmt.Fprintln(os.Stderr, "muster:", err)
	return 1
}

// A process is "muster" as a process of its own.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	mu   sync.Mutex
	log  bytes.Buffer
}

// Write takes what it says.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

// said returns what it said so far.
func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// start starts one; it ends with the test.
func start(t *testing.T, also io.Writer, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(self, args...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), beMuster+"=1")
	p.cmd.Stdout, p.cmd.Stderr = p, io.MultiWriter(p, also)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // how it ended is in ProcessState
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		<-p.done
		if t.Failed() {
			t.Logf("%v:\n%s", args, p.said())
		}
	})
	return p
}

// kill kills it at once.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// ended reports whether it has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// A cloudProcess is "muster cloud".
type cloudProcess struct{ udp, tcp, api, data string }

var up = regexp.MustCompile(`the cloud is up" udp=(\S+) tcp=(\S+) http=(\S+)`)

func startCloud(t *testing.T, data string) cloudProcess {
	t.Helper()
	read, write := io.Pipe()
	start(t, write, "cloud", "--data", data, "--host", "127.0.0.1",
		"--udp", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--http", "127.0.0.1:0")
	lines := bufio.NewScanner(read)
	for lines.Scan() {
		if at := up.FindStringSubmatch(lines.Text()); at != nil {
			go func() { _, _ = io.Copy(io.Discard, read) }()
			return cloudProcess{udp: at[1], tcp: at[2], api: "http://" + at[3], data: data}
		}
	}
	t.Fatal("the cloud did not come up")
	return cloudProcess{}
}

// run runs a command to its end.
func run(t *testing.T, args ...string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), beMuster+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("muster %v: %v\n%s", args, err, out)
	}
}
