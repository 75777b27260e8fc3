package rigs

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/muster/muster/rigs/fake"
)

// enroll writes the boards that are plugged in into rigs.yaml, and more behind
// the last of them.
func (d *desktop) enroll(t *testing.T, more string) {
	t.Helper()
	out, err := d.run("scan", "--write")
	if err != nil {
		t.Fatal(err)
	}
	has(t, out, "boron-1: new", "is written")
	f, err := os.OpenFile(os.Getenv("MUSTER_RIGS"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(more); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, out string, err error) string {
	t.Helper()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return out
}

func mustFail(t *testing.T, says, out string, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error()+out, says) {
		t.Errorf("%v, want %q\n%s", err, says, out)
	}
}

func TestScanValidateListShow(t *testing.T) {
	d := newDesktop(t)
	out, err := d.run("scan")
	has(t, must(t, out, err), "boron-1: new", "scan --write")
	out, err = d.run("list")
	mustFail(t, "scan --write", out, err)
	d.enroll(t, "    notes: by the window\n")
	out, err = d.run("scan")
	has(t, must(t, out, err), "has them all")
	out, err = d.run("validate")
	has(t, must(t, out, err), "is right: 1 board.")
	out, err = d.run("list")
	has(t, must(t, out, err), "boron-1", "present", "ttyACM0", "well")
	out, err = d.run("show", "boron-1")
	has(t, must(t, out, err), "by the window", "nobody", "control (USB control request), hub (hub port of 1-1), person")
	d.board.Unplug()
	for {
		out, err = d.run("list", "--json")
		if must(t, out, err); strings.Contains(out, `"state": "absent"`) {
			break
		}
	}
	var views []view
	if err := json.Unmarshal([]byte(out), &views); err != nil || len(views) != 1 || views[0].Entry.Name != "boron-1" {
		t.Errorf("%v\n%s", err, out)
	}
	d.enrollRaw(t, "version: 1\nboards:\n  a:\n    colour: red\n")
	out, err = d.run("validate")
	mustFail(t, "line 4: boards.a", out, err)
	var usage interface{ Usage() }
	if !errors.As(err, &usage) {
		t.Errorf("%v is no error of usage", err)
	}
	out, err = d.run("schema")
	if must(t, out, err); !json.Valid([]byte(out)) {
		t.Error("the schema is no JSON")
	}
}

func (d *desktop) enrollRaw(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(os.Getenv("MUSTER_RIGS"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestAway: a board that is known and away is looked for, and what may be the matter
// is said; a name that nobody knows is refused at once.
func TestAway(t *testing.T) {
	d := newDesktop(t)
	d.enroll(t, "")
	d.board.Unplug()
	for _, name := range []string{"boron-1", id} {
		out, err := d.run("control", name, "info")
		mustFail(t, "muster rig power reset "+name, out, err)
		has(t, out, name+" is not plugged in: waiting")
	}
	out, err := d.run("control", "boron-2", "info")
	mustFail(t, "no such board", out, err)
	if strings.Contains(out, "waiting") {
		t.Error(out)
	}
	for _, args := range [][]string{
		{"control", "boron-2", "info"}, {"power", "reset", "boron-2"}, {"show", "boron-2"}, {"restore", "boron-2"}, {"lease", "pool=xenon"},
	} {
		_, err := d.run(args...)
		var usage interface{ Usage() }
		if !errors.As(err, &usage) {
			t.Errorf("%q: %v is no error of usage", args, err)
		}
	}
	if out, err = d.run("restore", "boron-1"); err != nil || !strings.Contains(out, "owed nothing") {
		t.Errorf("a board that is away and owed nothing: %v\n%s", err, out)
	}
}

// TestPipeForFile: a pipe as rigs.yaml is refused, and not waited for.
func TestPipeForFile(t *testing.T) {
	d := newDesktop(t)
	if err := unix.Mkfifo(os.Getenv("MUSTER_RIGS"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"validate"}, {"list"}, {"scan", "--write"}, {"control", id, "info"}} {
		out, err := d.run(args...)
		mustFail(t, "it is a pipe or a device", out, err)
	}
}

// TestWrongFile: what needs names tells that the file of names is wrong, and what
// restores keys works all the same.
func TestWrongFile(t *testing.T) {
	d := newDesktop(t)
	d.enrollRaw(t, "version: 1\nboards:\n  boron-1: {serail: "+id+"}\n")
	for _, args := range [][]string{
		{"control", "boron-1", "info"},
		{"control", id, "info"},
		{"flash", id, "app.bin"},
		{"provision", id, "--cloud", "127.0.0.1"},
		{"list"},
		{"console", id},
		{"lease", id},
		{"power", "reset", id},
		{"health"},
		{"show", id},
		{"validate"},
		{"scan"},
	} {
		out, err := d.run(args...)
		mustFail(t, `line 3: boards.boron-1: there is no "serail"`, out, err)
	}
	out, err := d.run("restore")
	has(t, must(t, out, err), "No board is owed anything")
}

func TestLeaseAndRelease(t *testing.T) {
	d := newDesktop(t)
	d.enroll(t, "")
	t.Setenv("MUSTER_OWNER", "ann@here")
	out, err := d.run("lease", "boron-1", "--for", "10m", "--reason", "hunting", "--keep")
	has(t, must(t, out, err), "boron-1 is yours until")
	out, err = d.run("list")
	has(t, must(t, out, err), "ann@here (kept)")
	out, err = d.run("control", "boron-1", "info") // hers, under the lease and by name
	must(t, out, err)
	t.Setenv("MUSTER_OWNER", "bob@there")
	for _, args := range [][]string{{"control", "boron-1", "info"}, {"power", "reset", id}, {"lease", "pool=boron"}} {
		out, err = d.run(args...)
		mustFail(t, "ann@here (hunting)", out, err)
	}
	out, err = d.run("release", "boron-1")
	mustFail(t, "--force", out, err)
	out, err = d.run("release", "boron-1", "--force")
	has(t, must(t, out, err), "boron-1 is free")
	names := filepath.Join(t.TempDir(), "names")
	out, err = d.run("lease", "pool=boron", "--", "sh", "-c", "echo $MUSTER_RIG_BOARDS > "+names+"; exit 7")
	var exit interface{ ExitCode() int }
	if !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("%v\n%s", err, out)
	}
	if b, err := os.ReadFile(names); err != nil || string(b) != "boron-1\n" {
		t.Errorf("%q, %v", b, err)
	}
	for _, args := range [][]string{
		{"lease", "boron-1", "--", "no-such-program"},
		{"provision", "boron-1", "--cloud", "127.0.0.1", "--", "no-such-program"},
	} {
		out, err = d.run(args...)
		var usage interface{ Usage() }
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), "no-such-program") || strings.Contains(out, "taken") {
			t.Errorf("%q: %v, before anything is done\n%s", args, err, out)
		}
	}
	out, err = d.run("show", "boron-1")
	has(t, must(t, out, err), "nobody")
}

func TestPowerTouchHealth(t *testing.T) {
	d := newDesktop(t)
	d.enroll(t, "    power: {person: false}\n")
	out, err := d.run("power", "reset", "boron-1")
	has(t, must(t, out, err), "control (USB control request): gone after")
	health := filepath.Join(filepath.Dir(os.Getenv("MUSTER_RIGS")), "rigs.state", "health")
	if err := errors.Join(os.RemoveAll(health), os.WriteFile(health, nil, 0o600)); err != nil { // as a disk on which nothing can be written
		t.Fatal(err)
	}
	out, err = d.run("power", "reset", "boron-1")
	mustFail(t, "boron-1 was restarted and is well, but that cannot be remembered", out, err)
	if err := os.Remove(health); err != nil {
		t.Fatal(err)
	}
	d.board.Hang(fake.OnlyPower)
	out, err = d.run("power", "cycle", "boron-1")
	has(t, must(t, out, err), "hub (hub port of 1-1): gone after")
	if d.board.Hung() {
		t.Error("it hangs still")
	}
	out, err = d.run("power", "off", "boron-1")
	must(t, out, err)
	if d.board.Present() {
		t.Error("it is not off")
	}
	out, err = d.run("power", "on", "boron-1")
	must(t, out, err)
	out, err = d.run("power", "reset", "boron-1", "--with", "pdu")
	mustFail(t, "pdu: there is no means", out, err)
	out, err = d.run("power", "reset", "boron-1", "--with", "hammer")
	mustFail(t, "hammer", out, err)
	out, err = d.run("touch", "listen", "boron-1")
	mustFail(t, "6.0 and later ignores", out, err)
	out, err = d.run("touch", "dfu", "boron-1")
	has(t, must(t, out, err), "is in DFU mode")
	ctx, cancel := context.WithCancel(t.Context())
	text, ended := newLocked(), make(chan error, 1)
	go func() { ended <- d.runTo(ctx, nil, text, "console", "boron-1") }()
	text.await("board boron-1 is in DFU mode, where it has no console", 1)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	out, err = d.run("power", "reset", "boron-1", "--with", "hub")
	must(t, out, err)
	d.board.Say("hello")
	out, err = d.run("ask", "boron-1", "leave")
	mustFail(t, "its application runs", out, err)
	out, err = d.run("control", "boron-1", "listen")
	must(t, out, err)
	out, err = d.run("ask", "boron-1", "version")
	has(t, must(t, out, err), "6.2.0")
	out, err = d.run("ask", "boron-1", "leave")
	must(t, out, err)
	d.board.Hang(fake.Nothing)
	out, err = d.run("power", "reset", "boron-1", "--from", "hub")
	mustFail(t, "--return", out, err)
	out, err = d.run("health")
	has(t, must(t, out, err), "quarantine", "nothing brought it back", "hub: tried 2 times")
	out, err = d.run("health", "boron-1", "--return")
	has(t, must(t, out, err), "well")
	out, err = d.run("health", "boron-1", "--isolate", "its LED is red")
	has(t, must(t, out, err), "its LED is red")
	out, err = d.run("lease", "boron-1")
	mustFail(t, "its LED is red", out, err)
}

func TestAskAndConsole(t *testing.T) {
	d := newDesktop(t)
	p2, err := d.Plug(fake.Spec{Serial: "0a10aced202194944a000001", Platform: fake.P2, Path: "1-2", Secret: "TOPSECRET", Networks: map[string]int{"lab": 3}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p2.Enter(fake.Listening)
	out, err := d.run("ask", "1-2", "identity") // no rigs.yaml needed
	has(t, must(t, out, err), p2.Serial(), "[redacted]")
	out, err = d.run("ask", "1-2", "version")
	has(t, must(t, out, err), "6.2.0")
	out, err = d.runIn(t.Context(), strings.NewReader("pass word\n"), "ask", "1-2", "wifi", "--ssid", "lab")
	must(t, out, err)
	if _, password := p2.Credentials("lab"); password != "pass word" {
		t.Errorf("the board has the password %q", password)
	}
	out, err = d.run("ask", "1-2", "nonsense")
	mustFail(t, "identity, version", out, err)
	log, err := os.ReadFile(filepath.Join(filepath.Dir(os.Getenv("MUSTER_RIGS")), "rigs.state", "console", "1-2.log"))
	if err != nil || strings.Contains(string(log), "TOPSECRET") || strings.Contains(string(log), "pass word") {
		t.Errorf("%v\n%s", err, log)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	text := newLocked()
	go func() { ended <- d.runTo(ctx, nil, text, "console", "1-2") }()
	for n := range 2 { // over a restart
		for attached := false; !attached; {
			changed := p2.Changed()
			if attached = p2.Attached(0); !attached {
				<-changed
			}
		}
		p2.Say("hello there")
		text.await("hello there", n+1) // what is not read before the restart is lost, as on real boards
		boots := p2.Boots()
		p2.Reset()
		for back := false; !back; {
			changed := p2.Changed()
			if back = p2.Boots() > boots && p2.Attached(0); !back {
				<-changed
			}
		}
	}
	text.await("open again at", 2)
	cancel()
	if err := <-ended; err != nil || strings.Count(text.String(), "hello there") != 2 {
		t.Errorf("%v\n%s", err, text)
	}
}
