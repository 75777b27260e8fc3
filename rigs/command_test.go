package rigs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/muster/muster/rigs/inventory"
)

const id = "e00fce68aabbccddeeff0011"

func run(ports []inventory.Port, err error, args ...string) (string, error) {
	var out bytes.Buffer
	cmd := command(func() ([]inventory.Port, error) { return ports, err })
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err = cmd.ExecuteContext(context.Background())
	return out.String(), err
}

func plugged() []inventory.Port {
	boron := inventory.Port{Name: "/dev/ttyACM0", Vendor: 0x2b04, Product: 0xc00d, Serial: id, Path: "1-1"}
	twin := boron
	twin.Name, twin.Path = "/dev/ttyACM1", "1-2"
	return []inventory.Port{boron, twin, {Name: "/dev/ttyUSB0", Vendor: 0x0403, Product: 0x6001}}
}

func TestScan(t *testing.T) {
	out, err := run(plugged(), nil, "scan")
	for _, want := range []string{"Boron", id, "/dev/ttyACM1", "1-2", "2 boards have this serial number", "1 other USB serial port left out"} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%v; want %q in\n%s", err, want, out)
		}
	}
	if out, err = run(nil, nil, "scan"); err != nil || !strings.Contains(out, "cable") || !strings.Contains(out, "udev") {
		t.Errorf("nothing plugged in: %v, %s", err, out)
	}
	if _, err = run(nil, errors.New("no USB"), "scan"); err == nil {
		t.Error("an unreadable bus went unsaid")
	}
}

func TestScanJSON(t *testing.T) {
	for _, test := range []struct {
		ports          []inventory.Port
		boards, others int
	}{{plugged(), 2, 1}, {nil, 0, 0}} {
		out, err := run(test.ports, nil, "scan", "--json")
		var found inventory.Boards
		if err == nil {
			err = json.Unmarshal([]byte(out), &found)
		}
		if err != nil || len(found.Boards) != test.boards || found.Others != test.others || !strings.Contains(out, `"boards": [`) {
			t.Errorf("%v:\n%s", err, out)
		}
	}
}

func TestConsoleSaysWhatIsWrong(t *testing.T) {
	for name, says := range map[string]string{
		id:                       "by USB path",
		"nobody":                 "rig scan",
		t.TempDir() + "/ttyACM9": "plugged in",
	} {
		if _, err := run(plugged(), nil, "console", name); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("console %s: %v, want %q", name, err, says)
		}
	}
}
