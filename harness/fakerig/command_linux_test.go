package fakerig

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/rigs"
	"github.com/spf13/cobra"
)

// musterVariable makes the test binary "muster rig" over this machine's bench,
// which the environment names.
const musterVariable = "FAKERIG_BE_MUSTER"

// beMuster is "muster rig ARGS".
func beMuster() {
	if os.Getenv(musterVariable) == "" {
		return
	}
	cmd := rigs.Command()
	cmd.SetArgs(os.Args[1:])
	if err := cmd.Execute(); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

func fakeCommand(t *testing.T, in io.Reader, args ...string) (*cobra.Command, *bytes.Buffer) {
	t.Helper()
	cmd, out := Command(), &bytes.Buffer{}
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	cmd.SetIn(in)
	cmd.SetOut(out)
	cmd.SetErr(out)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	cmd.SetContext(ctx)
	return cmd, out
}

// TestFakeForOthers: another process finds the bench by its environment, makes
// control requests, flashes by them and by dfu-util, and talks on a console.
func TestFakeForOthers(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(musterVariable, "1")
	script := `set -e
"$0" list
"$0" control boron-1 info
"$0" flash boron-1 "$MUSTER_RIG_ROOT/boron-1.bin"
"$0" flash photon-1 "$MUSTER_RIG_ROOT/photon-1.bin" --by dfu
"$0" touch listen photon-1
"$0" touch listen photon-1
"$0" ask photon-1 version
udevadm info -e
"$0" power cycle boron-1 --with hub
exit 7`
	dir := filepath.Join(t.TempDir(), "b")
	cmd, out := fakeCommand(t, nil, "--dir", dir, "boron@6.2.0", "photon@2.3.1", "--", "/bin/sh", "-c", script, self)
	var code exitError
	if err := cmd.Execute(); !errors.As(err, &code) || code != 7 {
		t.Fatalf("%v, want exit code 7\n%s", err, out)
	}
	for _, want := range []string{"boron-1", "photon-1", "Device OS      6.2.0", "flashed by control", "flashed by dfu", "2.3.1", "E: ID_MODEL_ID=c006", "E: DEVNAME=" + dir + "/dev/ttyACM"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder stays: %v", err)
	}
}

// TestFakeForPeople says what can be done, and does what it is told.
func TestFakeForPeople(t *testing.T) {
	in, tell := io.Pipe()
	out, said := io.Pipe()
	cmd, _ := fakeCommand(t, in, "boron", "boron")
	cmd.SetOut(said)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Execute() }()
	await := reader(t, out)
	await("boron-2")
	await("muster conform --device rig:boron-1")
	for _, step := range []struct{ line, want string }{
		{"help", "unplug everything, and end"},
		{"unplug", "which board? boron-1, boron-2"},
		{"unplug boron-9", "there is no board"},
		{"explode", "nothing that can happen"},
		{"unplug boron-2", "not on the bus"},
		{"plug boron-2", "normal, "},
		{"freeze boron-1", "hangs, "},
		{"dfu boron-2", "DFU"},
	} {
		if _, err := io.WriteString(tell, step.line+"\n"); err != nil {
			t.Fatal(err)
		}
		await(step.want)
	}
	if _, err := io.WriteString(tell, "quit\n"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestFakeEndsWithItsInput: a bench whose person or program is gone goes; one that was
// started in the background, with nothing to read from, stays.
func TestFakeEndsWithItsInput(t *testing.T) {
	cmd, out := fakeCommand(t, strings.NewReader("explode\n"), "boron")
	if err := cmd.Execute(); err != nil || !strings.Contains(out.String(), "nothing that can happen") {
		t.Errorf("%v\n%s", err, out)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if !isNothing(null) || isNothing(strings.NewReader("")) {
		t.Error("what is nothing to read from")
	}
}

// reader returns what waits for a text.
func reader(t *testing.T, r io.Reader) func(want string) {
	t.Helper()
	var rest string
	b := make([]byte, 4096)
	return func(want string) {
		t.Helper()
		for !strings.Contains(rest, want) {
			n, err := r.Read(b)
			if rest += string(b[:n]); err != nil {
				t.Fatalf("%v before %q:\n%s", err, want, rest)
			}
		}
		_, rest, _ = strings.Cut(rest, want)
	}
}

// TestFakeRefuses what cannot be.
func TestFakeRefuses(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"fridge", "there is no board"},
		{"boron@0.5.3", "0.5.3"},
		{"gcc-udp", "process:"},
		{"boron --", "no command"},
		{"boron -- no-such-program", "no-such-program"},
		{"--dir /tmp boron", "exists already"},
	} {
		cmd, out := fakeCommand(t, nil, strings.Fields(c.args)...)
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q\n%s", c.args, err, c.want, out)
		}
	}
}
