package inventory

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const id = "e00fce68aabbccddeeff0011"

func TestIdentify(t *testing.T) {
	for _, test := range []struct {
		vendor, product uint16
		platform        string
		mode            Mode
		ok              bool
	}{
		{0x1d50, 0x607d, "Core", Normal, true},
		{0x1d50, 0x607f, "Core", DFU, true},
		{0x2b04, 0xc006, "Photon", Normal, true},
		{0x2b04, 0xd00d, "Boron", DFU, true},
		{0x2b04, 0xc020, "P2", Normal, true},
		{0x2b04, 0xc0fe, "platform 254", Normal, true},
		{0x2b04, 0xa00d, "", "", false},
		{0x0403, 0x6010, "", "", false},
		{0x05c6, 0x9008, "", "", false},
	} {
		platform, mode, ok := identify(test.vendor, test.product)
		if platform != test.platform || mode != test.mode || ok != test.ok {
			t.Errorf("%04x:%04x is %q %q %v", test.vendor, test.product, platform, mode, ok)
		}
	}
}

// device puts a USB device into a fabricated sysfs; each tty is
// "interface/path below it".
func device(t *testing.T, root, path, vendor, product, serial string, ttys ...string) {
	t.Helper()
	dir := filepath.Join(root, "bus", "usb", "devices", path)
	files := map[string]string{"idVendor": vendor, "idProduct": product, "serial": serial, "product": "a board"}
	for _, tty := range ttys {
		number, rest, _ := strings.Cut(tty, "/")
		files[path+":1."+number+"/bInterfaceNumber"] = "0" + number
		files[path+":1."+number+"/"+rest+"/dev"] = "166:0"
	}
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFindInSysfs(t *testing.T) {
	root := t.TempDir()
	device(t, root, "usb1", "1d6b", "0002", "0000:00:14.0")
	device(t, root, "1-1.4", "2b04", "c00d", strings.ToUpper(id), "2/tty/ttyACM1", "0/tty/ttyACM0")
	device(t, root, "1-1.5", "2b04", "c00d", strings.ToUpper(id), "0/tty/ttyACM2")
	device(t, root, "1-2", "2b04", "d020", "0a10aced202194944a000000")
	device(t, root, "1-3", "0403", "6001", "FT1", "0/ttyUSB0/tty/ttyUSB0")
	device(t, root, "1-4", "2b04", "c006", "short", "0/tty/ttyACM3")
	if err := os.MkdirAll(filepath.Join(root, "bus/usb/devices/1-9"), 0o755); err != nil { // vanishing
		t.Fatal(err)
	}
	ports, err := FromSysfs(root)
	if err != nil {
		t.Fatal(err)
	}
	found := Find(ports)
	if len(found.Boards) != 4 || found.Others != 1 {
		t.Fatalf("found %+v", found)
	}
	two, twin, dfu, odd := found.Boards[0], found.Boards[1], found.Boards[2], found.Boards[3]
	if two.DeviceID != id || two.Path != "1-1.4" || len(two.Consoles) != 2 || two.Consoles[0] != (Console{"/dev/ttyACM0", 0}) || two.Consoles[1] != (Console{"/dev/ttyACM1", 2}) {
		t.Errorf("board with two consoles: %+v", two)
	}
	if twin.Path != "1-1.5" || !strings.Contains(two.Remark, "2 boards") || twin.Remark != two.Remark {
		t.Errorf("equal serial numbers: %q, %+v", two.Remark, twin)
	}
	if dfu.Mode != DFU || dfu.Platform != "P2" || len(dfu.Consoles) != 0 || dfu.Remark != "" {
		t.Errorf("in DFU mode: %+v", dfu)
	}
	if odd.DeviceID != "" || odd.Serial != "short" {
		t.Errorf("with a serial number that is no device id: %+v", odd)
	}
	for _, test := range []struct{ name, port, says string }{
		{"1-1.5", "/dev/ttyACM2", ""},
		{"SHORT", "/dev/ttyACM3", ""},
		{id, "", "by USB path, as 1-1.4"},
		{dfu.DeviceID, "", "DFU mode"},
		{"nobody", "", "rig scan"},
		{"", "", "rig scan"},
	} {
		port, err := found.Console(test.name)
		if port != test.port || (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("console of %q: %q, %v", test.name, port, err)
		}
	}
}

func TestNoUSB(t *testing.T) {
	ports, err := FromSysfs(t.TempDir())
	if err != nil || len(ports) != 0 {
		t.Errorf("%v, %v", ports, err)
	}
}

func TestNoPathNeverMerges(t *testing.T) {
	p := Port{Vendor: 0x2b04, Product: 0xc00d, Serial: id, Name: "COM3", Interface: -1}
	q := p
	q.Name = "COM4"
	found := Find([]Port{p, q})
	if len(found.Boards) != 2 || !strings.Contains(found.Boards[0].Remark, "no USB path") {
		t.Errorf("%+v", found)
	}
	if _, err := found.Console(id); err == nil || !strings.Contains(err.Error(), "ports") {
		t.Errorf("an ambiguous name: %v", err)
	}
}
