package target

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/muster/muster/sim/profile"
)

func TestMain(m *testing.M) {
	MainIfAsked()
	os.Exit(m.Run())
}

// aProgram runs a command of the shell as a device, and returns what it says on its
// console.
func aProgram(t *testing.T, command string, pty bool) (*program, <-chan string) {
	t.Helper()
	p, err := profile.Lookup("gcc-udp@6.2.0")
	if err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 1000)
	log := func(source, line string) {
		if _, text, ok := strings.Cut(line, " "); ok && source == "console" {
			said <- text
		}
	}
	list, err := openPrograms(&ProcessSpec{Command: command, Pipe: !pty, Commands: true, Dir: t.TempDir()}, p, log)
	if err != nil {
		t.Fatal(err)
	}
	prog := list[0]
	t.Cleanup(func() {
		if err := prog.Close(); err != nil {
			t.Error(err)
		}
	})
	keys := virtualKeys()
	if _, err := prog.Attach(t.Context(), Address{UDP: netip.MustParseAddrPort("127.9.8.7:5684"), EC: mustSPKI(&keys.cloudEC.PublicKey)}); err != nil {
		t.Fatal(err)
	}
	return prog, said
}

func hear(t *testing.T, said <-chan string) string {
	t.Helper()
	select {
	case line := <-said:
		return line
	case <-time.After(patient):
		t.Fatal("the program says nothing")
		return ""
	}
}

// TestProgramIsKilledWithWhatItStarted leaves a process behind, as a program that
// forks does.
func TestProgramIsKilledWithWhatItStarted(t *testing.T) {
	for _, pty := range []bool{false, true} {
		prog, said := aProgram(t, "sleep 1000 & echo $!; wait", pty)
		if err := prog.PowerOn(t.Context()); err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(hear(t, said))
		if err != nil {
			t.Fatal(err)
		}
		if err := prog.PowerOff(t.Context()); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(patient); syscall.Kill(pid, 0) == nil && !zombie(pid); {
			if time.Now().After(deadline) {
				t.Fatalf("pty %v: process %d lives on", pty, pid)
			}
		}
	}
}

// zombie reports whether a process is dead and nobody has asked for it yet.
func zombie(pid int) bool {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err == nil && strings.Contains(string(b), ") Z ")
}

func TestProgramKnowsWhoItIs(t *testing.T) {
	prog, said := aProgram(t, `cat vdev.conf; echo {host}:{port} {protocol} $MUSTER_ID; wc -c < server_key.der; while read line; do echo "got $line"; done`, false)
	if err := prog.PowerOn(t.Context()); err != nil {
		t.Fatal(err)
	}
	id := prog.id.String()
	for _, want := range []string{
		"device_id=" + id, "device_key=device_key.der", "server_key=server_key.der", "protocol=udp",
		"127.9.8.7:5684 udp " + id, "320",
	} {
		if got := strings.TrimSpace(hear(t, said)); got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
	}
	if err := prog.Command(t.Context(), "publish name data"); err != nil {
		t.Error(err)
	}
	if got := hear(t, said); got != "got publish name data" {
		t.Errorf("it says %q", got)
	}
	info, err := os.Stat(filepath.Join(prog.dir, fileDeviceKey))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v: its private key is for nobody else", info.Mode(), err)
	}
}

func TestProgramKeepsItsKey(t *testing.T) {
	p, err := profile.Lookup("gcc-udp@6.2.0")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	open := func(one ProgramSpec, p *profile.Profile) (*program, error) {
		list, err := openPrograms(&ProcessSpec{Command: "true", Dir: dir, Devices: []ProgramSpec{one}}, p, func(string, string) {})
		if err != nil {
			return nil, err
		}
		return list[0], nil
	}
	first, err := open(ProgramSpec{}, p)
	if err != nil {
		t.Fatal(err)
	}
	again, err := open(ProgramSpec{ID: first.id.String()}, p)
	if err != nil {
		t.Fatal(err)
	}
	if string(first.identity.Key) != string(again.identity.Key) {
		t.Error("a program in the same folder has another key")
	}
	tcp, err := profile.Lookup("gcc@3.1.0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(ProgramSpec{}, tcp); err == nil || !strings.Contains(err.Error(), "RSA-1024") {
		t.Errorf("a key for the other transport: %v", err)
	}
	if _, err := open(ProgramSpec{ID: "123"}, p); err == nil || !strings.Contains(err.Error(), "24") {
		t.Errorf("a wrong id: %v", err)
	}
	if err := first.Command(t.Context(), "publish"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v", err)
	}
}

// TestProgramsThatCannotRun are told before anything is started.
func TestProgramsThatCannotRun(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, mode := range map[string]os.FileMode{"plain": 0o644, "program": 0o755} {
		if err := os.WriteFile(name, []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for command, says := range map[string]string{
		"":                       "names no program",
		"./missing -v 70":        "there is no ./missing",
		"/nowhere/vdev":          "there is no /nowhere/vdev",
		"no-such-program-at-all": "process:./no-such-program-at-all",
		"./plain {id}":           "chmod +x ./plain",
		".//":                    "folder",
		"program":                "process:./program",
		"./program":              "",
		"exec ./program":         "",
		"sh -c true":             "",
		"A=b ./missing":          "", // the shell will tell
		"'./my program' -v":      "",
	} {
		err := runnable(command)
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", command, err, says)
		}
	}
}

// TestProgramThatEndsAtOnce is given up after a few times, and tells what it said.
func TestProgramThatEndsAtOnce(t *testing.T) {
	p, _ := aProgram(t, "echo no key; exit 3", false)
	if err := p.PowerOn(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Hopeless():
	case <-time.After(patient):
		t.Fatal("it is started for ever")
	}
	if text := p.Trouble(); !strings.Contains(text, "ended 5 times (exit status 3)") || !strings.Contains(text, `"no key"`) {
		t.Error(text)
	}
}
