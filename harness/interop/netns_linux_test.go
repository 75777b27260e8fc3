package interop

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// namespaced marks the process that runs inside.
const namespaced = "MUSTER_IN_NAMESPACE"

// inNamespace runs the calling test in a process of its own, in a network
// namespace that has nothing but loopback. It returns true inside, and false
// outside when the process has ended and its verdict is taken over.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(namespaced) != "" {
		up(t)
		return true
	}
	if _, err := exec.LookPath("gnutls-serv"); err != nil {
		missing(t, "gnutls-serv is not installed: see the package comment")
	}
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	inside := exec.CommandContext(t.Context(), executable, "-test.run=^"+t.Name()+"$", "-test.v")
	inside.Env = append(os.Environ(), namespaced+"=1")
	inside.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if uid := os.Getuid(); uid != 0 {
		inside.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		inside.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		inside.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	said := newOutput()
	inside.Stdout, inside.Stderr = said, said
	if err := inside.Start(); err != nil {
		missing(t, "no network namespace for gnutls-serv, which binds every address: "+err.Error())
	}
	switch err := inside.Wait(); {
	case err != nil:
		t.Errorf("in the namespace: %v\n%s", err, said)
	case strings.Contains(said.String(), "--- SKIP"):
		t.Skipf("in the namespace:\n%s", said)
	case !strings.Contains(said.String(), "--- PASS: "+t.Name()):
		t.Errorf("in the namespace the test did not run:\n%s", said)
	default:
		t.Logf("in the namespace:\n%s", said)
	}
	return false
}

// up brings loopback up, which a new namespace does not have.
func up(t *testing.T) {
	t.Helper()
	ip, err := exec.LookPath("ip")
	if err != nil {
		missing(t, "ip is not installed: see the package comment")
	}
	if said, err := exec.CommandContext(t.Context(), ip, "link", "set", "lo", "up").CombinedOutput(); err != nil {
		missing(t, "loopback does not come up: "+err.Error()+": "+string(said))
	}
}
