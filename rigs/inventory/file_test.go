package inventory

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const bench = `# my bench
version: 1
boards:

    # the old one
    left:
        serial: "E00FCE68AABBCCDDEEFF0011"   # on the lid
        usb: 1-1.4 # blue cable

        platform: Boron
        pool: boron
        power:
            off: 1500ms
            pdu: {off: [pdu, "off", "3"], on: [pdu, "on", "3"]}
            lines: {adapter: FT1, line: rts, hold: 50ms}
    right:
        usb: '2-3'
        interface: 2

# the end
`

func parse(t *testing.T, text string) *File {
	t.Helper()
	f, err := Parse("rigs.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestParse(t *testing.T) {
	f := parse(t, bench)
	if len(f.Boards) != 2 || f.Boards[0].Name != "left" || f.Boards[1].Name != "right" || *f.Boards[1].Interface != 2 {
		t.Fatalf("%+v", f.Boards)
	}
	p := f.Boards[0].Power
	if time.Duration(p.Off) != 1500*time.Millisecond || p.PDU.On[2] != "3" || p.Lines.Line != "rts" || time.Duration(p.Lines.Hold) != 50*time.Millisecond {
		t.Errorf("%+v", p)
	}
	if _, err := f.Entry("middle"); err == nil || !strings.Contains(err.Error(), "left, right") {
		t.Error(err)
	}
	if list, err := f.Pool("boron"); err != nil || len(list) != 1 {
		t.Error(list, err)
	}
	if _, err := f.Pool("p2"); err == nil || !strings.Contains(err.Error(), "boron") {
		t.Error(err)
	}
}

func TestWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ text, says string }{
		{"", "empty"},
		{"version: 1\nboards: {a: {serial: x}, a: {serial: y}}", "line 2"},
		{"version: 2\nboards: {}", "line 1: version"},
		{"version: 1\nboards:\n  a:\n    serial: x\n    colour: red\n", "line 5: boards.a"},
		{"version: 1\nboards:\n  a:\n    notes: nothing else\n", "serial"},
		{"version: 1\nboards:\n  a:\n    usb: ttyACM0\n", "line 4: boards.a.usb"},
		{"version: 1\nboards:\n  a:\n    serial: x\n    power: {off: 3}\n", "line 5: boards.a.power.off"},
		{"version: 1\nboards:\n  a b:\n    serial: x\n", `line 3: boards: "a b" is no name: a name has letters`},
		{"version: 1\nboards:\n  a:\n    serail: x\n    usb: 1-1\n", `line 4: boards.a: there is no "serail" here: there is console, device_os, `},
		{"version: 1\nboards:\n  a:\n    usb: /dev/ttyACM0\n", "want a USB path, as 1-1.4"},
		{"version: 1\nboards:\n  a:\n    serial: 12\n", "line 4: boards.a.serial: want text: put the number in quotes"},
		{"version: 1\nboards:\n  a:\n    usb: 1-1\n    power:\n      off: 3\n      pdu: {off: pdu off, on: [pdu]}", "line 6: boards.a.power.off: want a time, as 200ms or 3s\nrigs.yaml: line 7: boards.a.power.pdu.off: want a program and its arguments"},
		{"version: 1\nboards:\n  a:\n", `line 3: boards.a: it needs a "serial", a "usb" path, or both`},
		{"boards: {}\n", `line 1: the file must begin with "version: 1"`},
		{"version: 1\nboards:\n  a:\n    serial: x\n  b:\n    serial: X\n", "line 5: b has the serial number of a"},
		{"version: 1\nboards:\n  a:\n    usb: 1-1\n  b:\n    usb: 1-1\n", "line 5: b is at the USB path of a"},
		{"version: 1\nboards:\n  a:\n   serial: [", "line"},
		{"just text", "object"},
	} {
		_, err := Parse("rigs.yaml", []byte(c.text))
		var wrong *FileError
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "schema.json") {
			t.Errorf("%q: %v, want %q", c.text, err, c.says)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "rigs.yaml")); !errors.Is(err, ErrNoFile) {
		t.Error(err)
	}
}

func TestLocate(t *testing.T) {
	one := Board{Platform: "Boron", Serial: strings.ToUpper(id), Path: "1-1.4", Mode: Normal, Consoles: []Console{{"/dev/ttyACM0", 0}, {"/dev/ttyACM1", 2}}}
	at := func(b Board, path string) Board { b.Path = path; return b }
	dfu := at(one, "1-1.4")
	dfu.Mode, dfu.Consoles, dfu.DeviceID = DFU, nil, id
	boot := dfu
	boot.Serial, boot.DeviceID = "000000010000", ""
	two := `version: 1
boards:
  a: {serial: ` + id + `, usb: 1-1.4}
  b: {serial: ` + id + `, usb: 1-1.5}
`
	for _, c := range []struct {
		what, text string
		found      []Board
		state      State
		port, says string
	}{
		{"there", "version: 1\nboards: {a: {serial: " + id + ", interface: 2}}", []Board{one}, Present, "/dev/ttyACM1", ""},
		{"elsewhere", "version: 1\nboards: {a: {serial: " + id + ", usb: 3-1}}", []Board{one}, Present, "/dev/ttyACM0", "moved"},
		{"swapped", "version: 1\nboards: {a: {serial: " + id + ", platform: P2}}", []Board{one}, Present, "/dev/ttyACM0", "swapped"},
		{"no such console", "version: 1\nboards: {a: {serial: " + id + ", interface: 4}}", []Board{one}, Silent, "", "interface 4"},
		{"in DFU mode", "version: 1\nboards: {a: {serial: " + id + "}}", []Board{dfu}, InDFU, "", ""},
		{"in DFU mode, under another number", "version: 1\nboards: {a: {serial: " + id + ", usb: 1-1.4}}", []Board{boot}, InDFU, "", ""},
		{"another board in DFU mode", "version: 1\nboards: {a: {serial: " + id + ", usb: 1-1.4, platform: P2}}", []Board{boot}, Absent, "", ""},
		{"not there", "version: 1\nboards: {a: {serial: " + id + "}}", nil, Absent, "", ""},
		{"by path alone", "version: 1\nboards: {a: {usb: 1-1.4}}", []Board{one}, Present, "/dev/ttyACM0", ""},
		{"twins, one named", "version: 1\nboards: {a: {serial: " + id + ", usb: 1-1.5}}", []Board{one, at(one, "1-1.5")}, Present, "/dev/ttyACM0", ""},
		{"twins, none named", "version: 1\nboards: {a: {serial: " + id + "}}", []Board{one, at(one, "1-1.5")}, Ambiguous, "", "usb"},
		{"twins in the file, the other is there", two, []Board{at(one, "1-1.5")}, Absent, "", "move it there"},
	} {
		f := parse(t, c.text)
		found := Boards{Boards: c.found}
		found.remark()
		s := f.Locate(f.Boards[0], found)
		if s.State != c.state || s.Port != c.port || !strings.Contains(s.Remark, c.says) || (s.Remark == "") != (c.says == "") {
			t.Errorf("%s: %+v", c.what, s)
		}
		if (s.Reason() == "") != (s.State == Present) {
			t.Errorf("%s: %q", c.what, s.Reason())
		}
	}
}

func TestKeysTellTwinsApart(t *testing.T) {
	b := Board{Serial: id, Path: "1-1"}
	found := Boards{Boards: []Board{b, {Serial: id, Path: "1-2"}}}
	found.remark()
	f := parse(t, "version: 1\nboards: {a: {serial: "+id+", usb: 1-1}, b: {serial: "+id+", usb: 1-2}}")
	if a, b := f.Locate(f.Boards[0], found).Key(), f.Locate(f.Boards[1], found).Key(); a == b || !strings.HasPrefix(a, id) {
		t.Errorf("%q and %q", a, b)
	}
}

func TestMergeKeepsEverythingElse(t *testing.T) {
	f := parse(t, bench)
	found := Boards{Boards: []Board{
		{Platform: "Boron", Serial: id, DeviceID: id, Path: "1-1.7", Mode: Normal, Consoles: []Console{{"/dev/ttyACM0", 0}}},
		{Platform: "E SoM X", Serial: "0123", Path: "1-1.8", Mode: Normal, Consoles: []Console{{"/dev/ttyACM1", 0}, {"/dev/ttyACM2", 2}}},
	}}
	text, changes, err := f.Merge(found)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(bench, "usb: 1-1.4 # blue cable", "usb: 1-1.7 # blue cable", 1) + `    e-som-x-1:
      serial: "0123"
      usb: 1-1.8
      interface: 0 # it has 2 consoles
      platform: E SoM X
      pool: e-som-x
`
	if string(text) != want || len(changes) != 2 {
		t.Errorf("%v:\n%s", changes, text)
	}
	again := parse(t, string(text))
	text, changes, err = again.Merge(found)
	if err != nil || string(text) != want || len(changes) != 0 {
		t.Errorf("again: %v, %v:\n%s", err, changes, text)
	}
}

func TestMergeBeginnings(t *testing.T) {
	found := Boards{Boards: []Board{{Platform: "P2", Serial: id, DeviceID: id, Path: "1-1", Mode: Normal}}}
	for _, start := range []string{"", "version: 1\nboards:\n", "version: 1\nboards: {}\n", "version: 1\nboards: {} # none", "boards: null\nversion: 1\n", "boards:\n# what\n# ever\nversion: 1"} {
		f := &File{Path: "rigs.yaml"}
		if start != "" {
			f = parse(t, start)
		}
		text, changes, err := f.Merge(found)
		if err != nil || len(changes) != 1 || len(parse(t, string(text)).Boards) != 1 {
			t.Errorf("%q: %v, %v:\n%s", start, err, changes, text)
		}
	}
	f := parse(t, "version: 1\nboards: {a: {serial: x}}\n")
	if _, _, err := f.Merge(found); err == nil || !strings.Contains(err.Error(), "braces") {
		t.Error(err)
	}
}

func TestWriteIsWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rigs.yaml")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
	if err := Write(filepath.Join(t.TempDir(), "no/rigs.yaml"), nil); err == nil {
		t.Error("wrote into no folder")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(bench)
	f.Add("version: 1\nboards: {}")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse("rigs.yaml", []byte(text))
		if err != nil {
			return
		}
		found := Boards{Boards: []Board{{Platform: "P2", Serial: "zz", Path: "9-9", Mode: Normal}}}
		merged, _, err := file.Merge(found)
		if err == nil && len(merged) == 0 {
			t.Error("nothing")
		}
	})
}
