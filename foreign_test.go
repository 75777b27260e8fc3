package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/muster/muster/harness/report"
)

// beMuster makes this program "muster" instead of its tests.
const beMuster = "MUSTER_TEST_BE_MUSTER"

func TestMain(m *testing.M) {
	if os.Getenv(beMuster) != "" {
		os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// A cloudProcess is "muster cloud" as a process of its own: foreign to whom judges
// it.
type cloudProcess struct{ udp, tcp, api, data string }

var up = regexp.MustCompile(`the cloud is up" udp=(\S+) tcp=(\S+) http=(\S+)`)

func startCloudProcess(t *testing.T, data string) cloudProcess {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "cloud", "--data", data, "--host", "127.0.0.1",
		"--udp", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--http", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), beMuster+"=1")
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		if at := up.FindStringSubmatch(lines.Text()); at != nil {
			go func() { _, _ = io.Copy(io.Discard, log) }()
			return cloudProcess{udp: at[1], tcp: at[2], api: "http://" + at[3], data: data}
		}
	}
	t.Fatal("the cloud did not come up")
	return cloudProcess{}
}

// muster runs a command in this process and returns what it says.
func muster(t *testing.T, args ...string) (code int, says string) {
	t.Helper()
	var out bytes.Buffer
	code = run(t.Context(), args, &out, &out)
	return code, out.String()
}

// TestForeignCloudInAnotherProcess judges a cloud of which this process knows what
// the README tells a user to give.
func TestForeignCloudInAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	data, keys := filepath.Join(dir, "cloud"), filepath.Join(dir, "fleet")
	if code, says := muster(t, "fleet", "--keys-out", keys, "--register", filepath.Join(data, "devices"),
		"--profile", "boron@6.2.0", "--profile", "photon@3.1.0", "--devices", "2"); code != 0 {
		t.Fatal(says)
	}
	cloud := startCloudProcess(t, data)
	login, err := os.ReadFile(filepath.Join(data, "login.txt"))
	if err != nil {
		t.Fatal(err)
	}
	token := regexp.MustCompile(`token: (\S+)`).FindSubmatch(login)
	if token == nil {
		t.Fatal("the cloud made no token")
	}
	t.Setenv("MUSTER_API_TOKEN", string(token[1]))
	_, tcpPort, _ := strings.Cut(cloud.tcp, ":")
	args := []string{
		"conform", "handshake/connects", "functions/call", "variables/read", "timers/keep-alive", "--cloud", cloud.udp, "--tcp-port", tcpPort,
		"--cloud-key", data, "--keys", keys, "--api", cloud.api, "--out", filepath.Join(dir, "out"),
	}
	code, says := muster(t, args...)
	if code != report.ExitClean {
		t.Errorf("exit code %d\n%s", code, says)
	}
	run, err := os.ReadFile(filepath.Join(dir, "out", "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(says+string(run), string(token[1])) {
		t.Error("the token is in the report")
	}
	for _, says := range []string{`"target": "` + cloud.udp, `virtual-time`, `"unsupported"`} {
		if !strings.Contains(string(run), says) {
			t.Errorf("%s is not in the report", says)
		}
	}
	// Devices whose keys the cloud was given by its API are those of the token's account.
	if code, says = muster(t, "fleet", "--keys", "seed:11", "--devices", "4", "--profile", "boron@6.2.0", "--profile", "photon@0.5.3", "--register", cloud.api); code != 0 {
		t.Fatal(says)
	}
	list, err := http.NewRequestWithContext(t.Context(), http.MethodGet, cloud.api+"/v1/devices", nil)
	if err != nil {
		t.Fatal(err)
	}
	list.Header.Set("Authorization", "Bearer "+string(token[1]))
	answer, err := http.DefaultClient.Do(list)
	if err != nil {
		t.Fatal(err)
	}
	var devices []any
	if err := errors.Join(json.NewDecoder(answer.Body).Decode(&devices), answer.Body.Close()); err != nil || len(devices) != 6 {
		t.Errorf("%v, the account has %d devices", err, len(devices))
	}
	// A run without the API and over TCP alone.
	code, says = muster(t, "conform", "functions/call", "handshake/connects", "--cloud", cloud.tcp, "--transport", "tcp",
		"--cloud-key", filepath.Join(data, "server-tcp.der"), "--keys", keys, "--out", filepath.Join(dir, "tcp"))
	if code != report.ExitClean || !strings.Contains(says, "no API of the cloud was given") || !strings.Contains(says, "no UDP address was given") || !strings.Contains(says, `lacks "udp"`) {
		t.Errorf("exit code %d\n%s", code, says)
	}
}
