//go:build linux

package fake

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.bug.st/serial"

	"github.com/muster/muster/rigs/inventory"
)

// patience is how long a test waits for what must come, on a machine that may be
// busy with other things.
const patience = 2 * time.Minute

func newTestBench(t *testing.T) *Bench {
	t.Helper()
	b, err := NewBench(t.TempDir())
	if err != nil {
		t.Skipf("no bench here: %v", err)
	}
	t.Cleanup(func() {
		for _, board := range b.Boards() {
			if err := board.Err(); err != nil {
				t.Error(err)
			}
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func add(t *testing.T, b *Bench, s Spec) *Board {
	t.Helper()
	if s.Serial == "" {
		s.Serial = fmt.Sprintf("e00fce68%016x", len(b.Boards())+1)
	}
	if s.Path == "" {
		s.Path = fmt.Sprintf("1-1.%d", len(b.Boards())+1)
	}
	board, err := b.Add(s)
	if err != nil {
		t.Fatal(err)
	}
	await(t, board, "to boot", func() bool { return board.Present() })
	return board
}

func await(t *testing.T, b *Board, what string, ok func() bool) {
	t.Helper()
	for late := time.After(patience); ; {
		changed := b.Changed()
		if ok() {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("%s does not come %s: mode %s, present %v, boots %d", b, what, b.Mode(), b.Present(), b.Boots())
		}
	}
}

func open(t *testing.T, path string, speed int) serial.Port {
	t.Helper()
	p, err := serial.Open(path, &serial.Mode{BaudRate: speed})
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	t.Cleanup(func() { _ = p.Close() })
	if err := p.SetReadTimeout(10 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	return p
}

// until reads until the text is there, and returns all that came.
func until(t *testing.T, p serial.Port, text string) string {
	t.Helper()
	got := ""
	b := make([]byte, 1000)
	for late := time.Now().Add(patience); !strings.Contains(got, text); {
		n, err := p.Read(b)
		got += string(b[:n])
		if err != nil || time.Now().After(late) {
			t.Fatalf("waiting for %q: %v; got %q", text, err, got)
		}
	}
	return got
}

func say(t *testing.T, p serial.Port, text string) {
	t.Helper()
	if _, err := p.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func TestInventorySeesTheBoard(t *testing.T) {
	bench := newTestBench(t)
	one := add(t, bench, Spec{Platform: Boron, Consoles: 2})
	two := add(t, bench, Spec{Platform: P2, Path: "2-3"})
	tree := inventory.Tree{Sys: bench.Sys(), Dev: bench.Dev()}
	find := func() []inventory.Board {
		ports, err := tree.Ports()
		if err != nil {
			t.Fatal(err)
		}
		return inventory.Find(ports).Boards
	}
	found := find()
	if len(found) != 2 || found[0].Platform != "Boron" || found[0].DeviceID != one.Serial() || len(found[0].Consoles) != 2 ||
		found[0].Consoles[0].Port != one.Port(0) || found[1].Platform != "P2" || found[1].Path != "2-3" {
		t.Fatalf("%+v", found)
	}
	two.Enter(DFU)
	await(t, two, "in DFU mode", func() bool { return two.Mode() == DFU && two.Present() })
	one.Unplug()
	found = find()
	if len(found) != 1 || found[0].Mode != inventory.DFU || len(found[0].Consoles) != 0 {
		t.Errorf("%+v", found)
	}
}

func TestListeningDialogue(t *testing.T) {
	const code = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"
	bench := newTestBench(t)
	for _, c := range []struct {
		spec       Spec
		send, want string
		nothing    bool // only the marker behind it comes
	}{
		{spec: Spec{Platform: Boron, DeviceOS: "6.2.0", Secret: "S3CR3T"}, send: "i", want: "Device Secret: S3CR3T\r\n"},
		{spec: Spec{Platform: Photon, DeviceOS: "0.5.3"}, send: "i", want: "Your device id is e00f"},
		{spec: Spec{Platform: Photon, DeviceOS: "0.5.3"}, send: "v", want: "system firmware version: 0.5.3\n\r\n"},
		{spec: Spec{Platform: Photon, DeviceOS: "0.5.3"}, send: "c", nothing: true},
		{spec: Spec{Platform: Photon, DeviceOS: "0.6.4"}, send: "c", want: "Device claimed: no\r\n"},
		{spec: Spec{Platform: Photon, DeviceOS: "0.7.0"}, send: "d", nothing: true},
		{spec: Spec{Platform: Photon, DeviceOS: "0.8.0"}, send: "d", want: `{"sys":`},
		{spec: Spec{Platform: Boron, DeviceOS: "3.1.0"}, send: "w", nothing: true},
		{spec: Spec{Platform: Boron, DeviceOS: "3.1.0"}, send: "l", nothing: true},
		{spec: Spec{Platform: Boron, DeviceOS: "3.1.0"}, send: "C" + code + "\r", want: "Claim code set to: " + code},
		{spec: Spec{Platform: Boron, DeviceOS: "3.1.0"}, send: "Cshort\r", want: "Invalid claim code: 5"},
		{spec: Spec{Platform: P2, DeviceOS: "6.2.0"}, send: "f", want: "\x18\x18\x18\x18Flashing over serial is no longer"},
		{spec: Spec{Platform: P2, DeviceOS: "6.2.0", Protected: true}, send: "i", nothing: true},
	} {
		b := add(t, bench, c.spec)
		b.Enter(Listening)
		p := open(t, b.Port(0), 9600)
		say(t, p, c.send)
		if c.nothing && !c.spec.Protected {
			say(t, p, "m")
			if got := until(t, p, "94:"); !strings.HasPrefix(got, "Your device MAC") {
				t.Errorf("%s %q: %q", c.spec.DeviceOS, c.send, got)
			}
			continue
		}
		if c.nothing {
			await(t, b, "to see the host", func() bool { return b.Attached(0) })
			b.StopListening()
			b.Say("marker")
			if got := until(t, p, "marker"); !strings.Contains(got, "[app]") || strings.Count(got, "\n") > 1 {
				t.Errorf("%s %q: %q", c.spec.DeviceOS, c.send, got)
			}
			continue
		}
		until(t, p, c.want)
	}
}

func TestWiFiDialogue(t *testing.T) {
	bench := newTestBench(t)
	b := add(t, bench, Spec{Platform: P2, Networks: map[string]int{"near": 3, "open": 0}})
	for _, talk := range [][]string{
		{"w", "SSID: ", "near\n", "Password: ", "passx\x7fword\r", "Particle <3 you!"},
		{"w", "SSID: ", "open\n", "Particle <3 you!"},
		{"w", "SSID: ", "far\r", "WPA2: ", "3\r", "AES+TKIP: ", "1\r", "Password: ", "secret\r", "Particle <3 you!"},
	} {
		b.Enter(Listening)
		p := open(t, b.Port(0), 9600)
		for i := 0; i < len(talk); i += 2 {
			say(t, p, talk[i])
			until(t, p, talk[i+1])
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	networks, password := b.Credentials("near")
	if len(networks) != 3 || password != "password" || b.Mode() != Normal {
		t.Errorf("%v, %q, %s", networks, password, b.Mode())
	}
}

// TestTouches opens and closes at once: the speed alone must be enough.
func TestTouches(t *testing.T) {
	bench := newTestBench(t)
	b := add(t, bench, Spec{Platform: Photon, DeviceOS: "2.3.1"})
	for range 50 {
		if err := open(t, b.Port(0), 14400).Close(); err != nil {
			t.Fatal(err)
		}
		await(t, b, "in DFU mode", func() bool { return b.Mode() == DFU && b.Present() })
		b.Reset()
		await(t, b, "back", func() bool { return b.Mode() == Normal && b.Present() })
	}
	if err := open(t, b.Port(0), 28800).Close(); err != nil {
		t.Fatal(err)
	}
	await(t, b, "into listening mode", func() bool { return b.Mode() == Listening })
	later := add(t, bench, Spec{Platform: P2, DeviceOS: "6.2.0"})
	p := open(t, later.Port(0), 28800)
	await(t, later, "to see the host", func() bool { return later.Attached(0) })
	later.Say("still here")
	until(t, p, "still here")
	if later.Mode() != Normal {
		t.Errorf("6.2.0 after 28800: %s", later.Mode())
	}
}

func TestUnplugAndComeBackUnderAnotherNumber(t *testing.T) {
	bench := newTestBench(t)
	b := add(t, bench, Spec{Platform: Boron})
	before := b.Port(0)
	p := open(t, before, 9600)
	b.Unplug()
	late := time.Now().Add(patience)
	for {
		_, err := p.Read(make([]byte, 10))
		var gone *serial.PortError
		if errors.As(err, &gone) && gone.Code() == serial.PortClosed {
			break
		}
		if time.Now().After(late) {
			t.Fatalf("read after unplugging: %v", err)
		}
	}
	if _, err := p.Write([]byte("x")); err == nil {
		t.Error("wrote to an unplugged board")
	}
	if _, err := os.Lstat(before); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", before, err)
	}
	b.Plug()
	await(t, b, "back", b.Present)
	if after := b.Port(0); after == before || after == "" {
		t.Errorf("came back as %q after %q", after, before)
	}
	b.Enter(Listening)
	p = open(t, b.Port(0), 9600)
	say(t, p, "v")
	until(t, p, "version: 6.2.0")
}

func TestOutputBeforeOpenIsLost(t *testing.T) {
	bench := newTestBench(t)
	early := add(t, bench, Spec{Platform: Boron, BootLines: []string{"early"}})
	p := open(t, early.Port(0), 9600)
	await(t, early, "to see the host", func() bool { return early.Attached(0) })
	early.Say("late")
	if got := until(t, p, "late"); strings.Contains(got, "early") {
		t.Errorf("a line of before: %q", got)
	}
	patient := add(t, bench, Spec{Platform: Boron, BootLines: []string{"first", "second"}, WaitForHost: true})
	got := until(t, open(t, patient.Port(0), 9600), "second")
	if !strings.Contains(got, "first") {
		t.Errorf("%q", got)
	}
}

func TestHubPortsAndHangs(t *testing.T) {
	for _, c := range []struct {
		kind       PortKind
		battery    bool
		vanishes   bool
		boots      int
		stillHangs bool
	}{
		{Switched, false, true, 2, false},
		{DataOnly, false, true, 1, true},
		{Deaf, false, false, 1, true},
		{Switched, true, true, 1, true},
	} {
		bench := newTestBench(t)
		b := add(t, bench, Spec{Platform: Boron, Path: "1-1.4", Port: c.kind, Battery: c.battery})
		b.Hang(OnlyPower)
		b.Pin(true)
		b.Pin(false)
		await(t, b, "back", b.Present)
		if !b.Hung() || b.Boots() != 2 {
			t.Fatalf("the pin cured it, or did nothing: %d boots", b.Boots())
		}
		disable := filepath.Join(bench.Sys(), "bus/usb/devices/1-1:1.0/1-1-port4/disable")
		if err := os.WriteFile(disable, []byte("1"), 0o644); err != nil {
			t.Fatal(err)
		}
		if c.vanishes {
			await(t, b, "off the bus", func() bool { return !b.Present() })
		}
		if err := os.WriteFile(disable, []byte("0"), 0o644); err != nil {
			t.Fatal(err)
		}
		await(t, b, "back", b.Present)
		if b.Boots() != 1+c.boots || b.Hung() != c.stillHangs {
			t.Errorf("%+v: %d boots, hung %v", c, b.Boots(), b.Hung())
		}
	}
}

func TestSupplyCutsWhatTheHubDoesNot(t *testing.T) {
	bench := newTestBench(t)
	b := add(t, bench, Spec{Platform: Boron, Port: Deaf})
	b.Hang(OnlyPower)
	for _, v := range []string{"0", "1"} {
		if err := os.WriteFile(b.SupplyFile(), []byte(v), 0o644); err != nil {
			t.Fatal(err)
		}
		await(t, b, "to "+v, func() bool { return b.Present() == (v == "1") })
	}
	if b.Hung() {
		t.Error("it hangs still")
	}
}

// TestDeafHost holds that a host that does not read blocks nothing for good.
func TestDeafHost(t *testing.T) {
	bench := newTestBench(t)
	b := add(t, bench, Spec{Platform: Boron, Stuck: 20 * time.Millisecond})
	p := open(t, b.Port(0), 9600)
	await(t, b, "to see the host", func() bool { return b.Attached(0) })
	for range 100 {
		b.Print(strings.Repeat("x", 1000))
	}
	await(t, b, "to give up on the host", func() bool { return !b.Attached(0) })
	if b.Lost() == 0 {
		t.Error("a hundred kilobytes went somewhere")
	}
	b.Enter(Listening)
	say(t, p, "v")
	until(t, p, "version")
}

func TestYmodem(t *testing.T) {
	bench := newTestBench(t)
	installed := make(chan string, 1)
	b := add(t, bench, Spec{Platform: Photon, DeviceOS: "2.3.1", Install: func(_ *Board, name string, image []byte) error {
		if strings.HasPrefix(string(image), "bad") {
			return errors.New("bad")
		}
		installed <- name + ":" + string(image)
		return nil
	}})
	block := func(number byte, data string) string {
		return string([]byte{soh, number, ^number}) + data + strings.Repeat("\x00", 128-len(data)) + "\x00\x00"
	}
	b.Enter(Listening)
	p := open(t, b.Port(0), 9600)
	for _, c := range []struct{ send, want string }{
		{"f", "abort)\r\n"},
		{"a", "\x18\x18"},
		{"f", "abort)\r\n"},
		{" ", "\x06"},
		{block(0, "fw.bin\x0010 "), "\x06C"},
		{block(3, "x"), "\x15"},
		{block(1, "bad4567890"), "\x06"},
		{"\x04", "Validation failed: 2"},
		{"f", "abort)\r\n"},
		{block(0, "fw.bin\x0010 "), "\x06C"},
		{block(1, "good567890"), "\x06"},
		{block(1, "good567890"), "\x06"}, // again: its ACK was lost
		{"\x04", "Restarting"},
	} {
		say(t, p, c.send)
		until(t, p, c.want)
	}
	if got := <-installed; got != "fw.bin:good567890" {
		t.Errorf("installed %q", got)
	}
	await(t, b, "back", func() bool { return b.Boots() == 2 && b.Present() })
}

// TestFromLrzsz takes an image from a sender that is not ours: sb of lrzsz.
func TestFromLrzsz(t *testing.T) {
	sb, err := exec.LookPath("sb")
	if err != nil {
		t.Skip("no sb: install lrzsz")
	}
	image := strings.Repeat("firmware", 1000) + "."
	file := filepath.Join(t.TempDir(), "app.bin")
	if err := os.WriteFile(file, []byte(image), 0o600); err != nil {
		t.Fatal(err)
	}
	bench := newTestBench(t)
	installed := make(chan string, 1)
	b := add(t, bench, Spec{Platform: Photon, DeviceOS: "2.3.1", Install: func(_ *Board, name string, image []byte) error {
		installed <- name + ":" + string(image)
		return nil
	}})
	b.Enter(Listening)
	p := open(t, b.Port(0), 9600)
	say(t, p, "f")
	until(t, p, "abort)\r\n")
	tty, err := os.OpenFile(b.Port(0), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close() //nolint:errcheck // the test ends
	cmd := exec.CommandContext(t.Context(), sb, "--ymodem", "--quiet", file)
	cmd.Stdin, cmd.Stdout = tty, tty
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if got := <-installed; got != "app.bin:"+image {
		t.Errorf("%d bytes came", len(got))
	}
	await(t, b, "back", func() bool { return b.Boots() == 2 && b.Present() })
	_ = cmd.Process.Kill() // it would like to send another file, as before a real board
	_ = cmd.Wait()
}

func TestYmodemTimesOut(t *testing.T) {
	bench := newTestBench(t)
	b := add(t, bench, Spec{Platform: Photon, DeviceOS: "2.3.1", Quiet: time.Millisecond})
	b.Enter(Listening)
	p := open(t, b.Port(0), 9600)
	say(t, p, "f")
	until(t, p, "CCC") // it asks until somebody begins
	say(t, p, string([]byte{soh, 0, 255})+"fw\x0099 "+strings.Repeat("\x00", 122)+"\x00\x00")
	until(t, p, "\x18\x18")
	say(t, p, "v")
	until(t, p, "version")
}

type echo struct{ seen []Setup }

func (e *echo) Control(b *Board, s Setup, data []byte) ([]byte, error) {
	e.seen = append(e.seen, s)
	if s.Request == 40 {
		b.Reset()
	}
	return []byte("0123456789"), nil
}

func TestControl(t *testing.T) {
	bench := newTestBench(t)
	e := &echo{}
	b := add(t, bench, Spec{Platform: Boron, Functions: Functions{Running: e}})
	buffer := make([]byte, 20)
	if n, err := b.Control(Setup{RequestType: 0xc0, Length: 4}, buffer); n != 4 || err != nil || string(buffer[:n]) != "0123" {
		t.Errorf("%d, %v, %q", n, err, buffer)
	}
	if _, err := b.Control(Setup{RequestType: 0x40, Request: 40}, nil); err != nil {
		t.Error(err)
	}
	await(t, b, "back", func() bool { return b.Boots() == 2 && b.Present() })
	b.Hang(OnlyPower)
	if _, err := b.Control(Setup{RequestType: 0xc0, Length: 4}, buffer); !errors.Is(err, ErrTimeout) {
		t.Errorf("of a hung board: %v", err)
	}
	b.Unplug()
	if _, err := b.Control(Setup{RequestType: 0xc0, Length: 4}, buffer); !errors.Is(err, ErrGone) {
		t.Errorf("of no board: %v", err)
	}
	b.Plug()
	await(t, b, "back", b.Present)
	b.Enter(DFU)
	await(t, b, "in DFU mode", func() bool { return b.Mode() == DFU && b.Present() })
	if _, err := b.Control(Setup{RequestType: 0xa1, Length: 4}, buffer); !errors.Is(err, ErrStall) {
		t.Errorf("of a mode without functions: %v", err)
	}
}

func TestMemory(t *testing.T) {
	m, o := newMemory(), newMemory()
	m.Write(DCT, 4090, []byte("across a page"))
	if got := m.Read(DCT, 4089, 15); string(got) != "\xffacross a page\xff" {
		t.Errorf("%q", got)
	}
	if got := m.Read(InternalFlash, 4090, 2); string(got) != "\xff\xff" || m.Equal(o) {
		t.Errorf("%q, or equal", got)
	}
	o.Write(DCT, 4090, []byte("across a page"))
	o.Write(InternalFlash, 0, []byte{0xff})
	if !m.Equal(o) {
		t.Error("not equal")
	}
}
