package inventory

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A Tree is where Linux shows its devices.
type Tree struct {
	Sys string // /sys
	Dev string // /dev
}

// RootVariable names the variable of the environment with the folder of a bench
// that takes the place of this machine's: its sys and dev stand for /sys and /dev
// ("muster rig fake" makes one).
const RootVariable = "MUSTER_RIG_ROOT"

// Root is that folder, empty for this machine's own bench.
func Root() string { return os.Getenv(RootVariable) }

// System is the Tree of this machine.
var System = Tree{Sys: filepath.Join(rootOr("/"), "sys"), Dev: filepath.Join(rootOr("/"), "dev")}

func rootOr(other string) string {
	if root := Root(); root != "" {
		return root
	}
	return other
}

// Devices is the folder of USB devices and interfaces.
func (t Tree) Devices() string { return filepath.Join(t.Sys, "bus", "usb", "devices") }

// FromSysfs returns the ports of a Tree whose Sys is root and whose Dev is /dev.
func FromSysfs(root string) ([]Port, error) { return Tree{root, System.Dev}.Ports() }

// Ports returns what Linux lists under bus/usb/devices: every USB serial port,
// and Particle boards without one (in DFU mode). A device that vanishes while it
// is read is left out. No USB at all is no error.
//
// It reads sysfs and not the serial library's enumerator because that knows no
// USB path, misses DFU, opens the computer's own ports, and fails as a whole if
// one device vanishes.
func (t Tree) Ports() ([]Port, error) {
	devices := t.Devices()
	entries, err := os.ReadDir(devices)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var ports []Port
	for _, e := range entries {
		if strings.Contains(e.Name(), ":") {
			continue // an interface: read with its device
		}
		ports = append(ports, devicePorts(devices, t.Dev, e.Name())...)
	}
	return ports, nil
}

// devicePorts returns the serial ports of the device at a USB path, or the
// device itself if it is a Particle board without one.
func devicePorts(devices, dev, path string) []Port {
	dir := filepath.Join(devices, path)
	vendor, err := hex16(dir, "idVendor")
	if err != nil {
		return nil // vanished
	}
	product, err := hex16(dir, "idProduct")
	if err != nil {
		return nil
	}
	device := Port{
		Vendor: vendor, Product: product, Path: path, Interface: -1,
		Serial: attribute(dir, "serial"), Description: attribute(dir, "product"),
		Bus: number(dir, "busnum"), Number: number(dir, "devnum"),
	}
	var ports []Port
	interfaces, _ := filepath.Glob(filepath.Join(dir, path+":*")) // the pattern is well-formed
	for _, i := range interfaces {
		for _, name := range ttys(i) {
			p := device
			p.Name = filepath.Join(dev, name)
			if n, err := strconv.ParseUint(attribute(i, "bInterfaceNumber"), 16, 8); err == nil {
				p.Interface = int(n)
			}
			ports = append(ports, p)
		}
	}
	if _, _, ours := identify(vendor, product); ours && len(ports) == 0 {
		return []Port{device}
	}
	return ports
}

// ttys returns the names of an interface's ports: tty/ttyACM0 of cdc_acm,
// ttyUSB0/tty/ttyUSB0 of the drivers of serial adapters.
func ttys(dir string) []string {
	var names []string
	for _, pattern := range []string{"tty/*", "tty*/tty/*"} {
		found, _ := filepath.Glob(filepath.Join(dir, pattern)) // the pattern is well-formed
		for _, f := range found {
			names = append(names, filepath.Base(f))
		}
	}
	return names
}

func attribute(dir, name string) string {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return "" // optional, or vanished
	}
	return strings.TrimSpace(string(b))
}

func hex16(dir, name string) (uint16, error) {
	n, err := strconv.ParseUint(attribute(dir, name), 16, 16)
	return uint16(n), err
}

func number(dir, name string) int {
	n, err := strconv.Atoi(attribute(dir, name))
	if err != nil {
		return 0
	}
	return n
}
