package browser

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cloudref"
	"github.com/muster/muster/sim/command"
)

// patience bounds everything that is waited for.
const patience = 5 * time.Minute

// A party is the reference cloud and a fleet, run by their commands as a user does.
type party struct {
	t     *testing.T
	dir   string // of the cloud's data
	url   string
	token string
	udp   string
}

// A console is what a command has printed so far.
type console struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // closed when something was added
}

func newConsole() *console { return &console{more: make(chan struct{})} }

// Write implements io.Writer.
func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.more)
	c.more = make(chan struct{})
	return c.text.Write(b)
}

// await returns the first group of the first match, as soon as there is one.
func (c *console) await(t *testing.T, pattern string) string {
	t.Helper()
	wanted := regexp.MustCompile(pattern)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		c.mu.Lock()
		text, more := c.text.String(), c.more
		c.mu.Unlock()
		if m := wanted.FindStringSubmatch(text); m != nil {
			return m[len(m)-1]
		}
		select {
		case <-more:
		case <-ctx.Done():
			t.Fatalf("nothing fits %s in:\n%s", pattern, text)
		}
	}
}

// run runs a command until the test ends.
func run(t *testing.T, cmd *cobra.Command, args ...string) (stdout, stderr *console) {
	t.Helper()
	stdout, stderr = newConsole(), newConsole()
	ctx, cancel := context.WithCancel(context.Background())
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.ExecuteContext(ctx) // what it says is on the console
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		if t.Failed() {
			t.Logf("muster %s:\n%s", cmd.Name(), tail(stderr.text.String()))
		}
	})
	return stdout, stderr
}

func tail(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// newParty starts a cloud, and devices that are owned by its user.
func newParty(t *testing.T, devices string, profiles ...string) *party {
	t.Helper()
	p := &party{t: t, dir: t.TempDir()}
	_, log := run(t, cloudref.Command(), "--data", p.dir,
		"--udp", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--host", "127.0.0.1")
	p.url = "http://" + log.await(t, `the cloud is up.* http=(\S+)`)
	p.udp = log.await(t, `the cloud is up.* udp=(\S+)`)
	tcp := log.await(t, `the cloud is up.* tcp=\S+:(\d+)`)
	login, err := os.ReadFile(filepath.Join(p.dir, "login.txt"))
	if err != nil {
		t.Fatal(err)
	}
	token := regexp.MustCompile(`\b[0-9a-f]{40}\b`).Find(login)
	if token == nil {
		t.Fatal("login.txt holds no token")
	}
	p.token = string(token)
	keys := filepath.Join(t.TempDir(), "keys")
	args := []string{"--devices", devices, "--keys-out", keys, "--register", filepath.Join(p.dir, "devices"), "--quiet"}
	for _, name := range profiles {
		args = append(args, "--profile", name)
	}
	maker := command.Command()
	maker.SetArgs(args)
	maker.SetOut(newConsole())
	if err := maker.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, command.Command(), "--keys", keys, "--cloud", p.udp, "--tcp-port", tcp, "--cloud-key", p.dir,
		"--publish", "5s", "--duration", "0", "--rate", "0", "--quiet")
	return p
}
