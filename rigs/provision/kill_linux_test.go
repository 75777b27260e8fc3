package provision

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/muster/muster/protocol/keyblob"
	"github.com/muster/muster/rigs/control"
	"github.com/muster/muster/rigs/dfu"
	"github.com/muster/muster/rigs/fake"
	"github.com/muster/muster/rigs/handle"
	"github.com/muster/muster/rigs/inventory"
	"github.com/muster/muster/rigs/restapi"
	"github.com/muster/muster/rigs/rigtest"
)

// The child process that is killed: what it is told, by environment variables.
const (
	envSys, envDev, envDFU        = "TEST_PROVISION_SYS", "TEST_PROVISION_DEV", "TEST_PROVISION_DFU"
	envDir, envCloud, envSPKI     = "TEST_PROVISION_DIR", "TEST_PROVISION_CLOUD", "TEST_PROVISION_SPKI"
	envRestore                    = "TEST_PROVISION_RESTORE"
	childDone, childFailed    int = 0, 9
)

// childIfAsked provisions, or restores, and never returns.
func childIfAsked() {
	dir := os.Getenv(envDir)
	if dir == "" {
		return
	}
	if err := child(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(childFailed)
	}
	os.Exit(childDone)
}

func child(dir string) error {
	tree := inventory.Tree{Sys: os.Getenv(envSys), Dev: os.Getenv(envDev)}
	host := &handle.Host{
		Look: tree.Ports,
		DFU:  dfu.Tool{Program: os.Getenv(envDFU)},
		// The endpoints are in the other process: DFU mode by the touch.
		Control: func(inventory.Board) (control.Transport, error) { return nil, control.ErrStall },
	}
	journal, err := OpenJournal(dir)
	if err != nil {
		return err
	}
	p := &Provisioner{Journal: journal}
	tell := func(string) {}
	if os.Getenv(envRestore) != "" {
		all, err := journal.Owed()
		if err != nil || len(all) != 1 {
			return fmt.Errorf("owed: %v, %w", all, err)
		}
		return p.Restore(context.Background(), host, all[0], tell)
	}
	spki, err := hex.DecodeString(os.Getenv(envSPKI))
	if err != nil {
		return err
	}
	api, err := restapi.New(os.Getenv(envCloud), "token", nil)
	if err != nil {
		return err
	}
	b, err := host.Find(id)
	if err != nil {
		return err
	}
	return p.Provision(context.Background(), b, Plan{Transport: keyblob.UDP, ServerKey: spki, Address: keyblob.Address{Domain: "cloud.test"}, API: api}, tell)
}

// start starts the child.
func (s *setup) start(t *testing.T, restore bool) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), envSys+"="+s.Sys(), envDev+"="+s.Dev(), envDFU+"="+s.Host.DFU.Program,
		envDir+"="+s.provisioner.Journal.dir, envCloud+"="+s.cloud.url, envSPKI+"="+hex.EncodeToString(s.serverKeySPKI))
	if restore {
		cmd.Env = append(cmd.Env, envRestore+"=1")
	}
	var out strings.Builder
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the child said: %s", out.String())
		}
	})
	return cmd
}

// killAt makes the board kill the child at its n-th access by dfu-util, before or
// after the access is done.
func (s *setup) killAt(cmd *atomic.Pointer[exec.Cmd], started <-chan struct{}, n int) {
	accesses := 0
	s.board.Fail(rigtest.Faults{DFU: func(bool, int, uint32) error {
		if accesses++; accesses == n {
			<-started
			_ = cmd.Load().Process.Kill()
		}
		return nil
	}})
}

// TestKilled with SIGKILL at each access to the board's memory, and at the
// cloud's door; then the next run pays what is owed.
func TestKilled(t *testing.T) {
	const accesses = 4 // two reads, a write, a read
	for n := range accesses + 2 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			s := newSetup(t, fake.Boron, keyblob.UDP)
			var cmd atomic.Pointer[exec.Cmd]
			started := make(chan struct{})
			if n < accesses {
				s.killAt(&cmd, started, n+1)
			} else {
				seen := 0
				s.cloud.before(func(q *http.Request) {
					<-started
					if q.Method == http.MethodGet {
						seen++
					}
					if n == accesses && q.Method == http.MethodPost || n > accesses && seen == 3 { // as it waits for the board
						_ = cmd.Load().Process.Kill()
					}
				})
			}
			c := s.start(t, false)
			cmd.Store(c)
			close(started)
			err := c.Wait()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != -1 {
				t.Fatalf("the child was not killed: %v", err)
			}
			s.board.Fail(rigtest.Faults{})
			s.cloud.before(nil)
			if err := s.restore(t); err != nil {
				t.Fatal(err)
			}
			s.asBefore(t, "restored")
		})
	}
}

// TestKilledAgain: a restore that is killed is owed still.
func TestKilledAgain(t *testing.T) {
	for n := 1; n <= 3; n++ { // a read, a write, a read
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			s := newSetup(t, fake.Boron, keyblob.UDP)
			if err := s.provision(t, context.Background(), s.plan()); err != nil {
				t.Fatal(err)
			}
			var cmd atomic.Pointer[exec.Cmd]
			started := make(chan struct{})
			s.killAt(&cmd, started, n)
			c := s.start(t, true)
			cmd.Store(c)
			close(started)
			if err := c.Wait(); err == nil || c.ProcessState.ExitCode() != -1 {
				t.Fatalf("the child was not killed: %v", err)
			}
			s.board.Fail(rigtest.Faults{})
			if err := s.restore(t); err != nil {
				t.Fatal(err)
			}
			s.asBefore(t, "restored")
		})
	}
}
