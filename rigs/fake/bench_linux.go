package fake

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// A Bench is a host with its USB bus and the boards on it. Its methods are safe
// for concurrent use.
type Bench struct {
	dir     string
	watcher *watcher

	mu      sync.Mutex
	boards  []*Board
	hubs    map[string]bool
	numbers map[int]bool // of ttyACM that are taken
	devnum  int
}

// NewBench makes a bench in a folder, which must exist and which it fills.
func NewBench(dir string) (*Bench, error) {
	b := &Bench{dir: dir, hubs: make(map[string]bool), numbers: make(map[int]bool)}
	for _, d := range []string{b.devices(), b.Dev(), b.staging(), b.trash()} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("fake: making a bench: %w", err)
		}
	}
	var err error
	b.watcher, err = newWatcher()
	return b, err
}

// Sys is the folder that stands for /sys.
func (b *Bench) Sys() string { return filepath.Join(b.dir, "sys") }

// Dev is the folder that stands for /dev.
func (b *Bench) Dev() string { return filepath.Join(b.dir, "dev") }

func (b *Bench) devices() string { return filepath.Join(b.Sys(), "bus", "usb", "devices") }
func (b *Bench) staging() string { return filepath.Join(b.dir, "staging") }
func (b *Bench) trash() string   { return filepath.Join(b.dir, "trash") }

// Add plugs a board in, which then boots.
func (b *Bench) Add(s Spec) (*Board, error) {
	if err := s.complete(); err != nil {
		return nil, err
	}
	board := newBoard(b, s)
	if s.Device != nil {
		d, err := s.Device(board)
		if err != nil {
			return nil, err
		}
		board.device = d
	}
	if err := b.wire(board); err != nil {
		return nil, err
	}
	b.mu.Lock()
	b.boards = append(b.boards, board)
	b.mu.Unlock()
	board.do(func() { board.cable = true })
	return board, nil
}

// Boards returns the boards that were added.
func (b *Bench) Boards() []*Board {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.boards)
}

// Close unplugs everything.
func (b *Bench) Close() error {
	for _, board := range b.Boards() {
		board.Unplug()
		board.do(func() { board.spec.Battery = false })
	}
	return b.watcher.close()
}

// wire makes the hub that a board hangs on, and the switches of its power.
func (b *Bench) wire(board *Board) error {
	path := board.spec.Path
	port, err := b.hubPort(path)
	if err != nil {
		return err
	}
	for _, s := range []struct {
		file string
		hear func(value string)
	}{
		{filepath.Join(port, "disable"), func(v string) { board.do(func() { board.disabled = v == "1" }) }},
		{board.SupplyFile(), func(v string) { board.do(func() { board.supply = v != "0" }) }},
	} {
		if err := os.MkdirAll(filepath.Dir(s.file), 0o755); err != nil {
			return fmt.Errorf("fake: %w", err)
		}
		start := "0\n"
		if s.file == board.SupplyFile() {
			start = "1\n"
		}
		if err := os.WriteFile(s.file, []byte(start), 0o644); err != nil {
			return fmt.Errorf("fake: %w", err)
		}
		hear := func(uint32) {
			if content, err := os.ReadFile(s.file); err == nil {
				if v := strings.TrimSpace(string(content)); v != "" {
					s.hear(v)
				}
			}
		}
		if _, err := b.watcher.add(s.file, unix.IN_CLOSE_WRITE, hear); err != nil {
			return err
		}
	}
	return nil
}

// hubPort returns the folder of the port that a USB path ends with, and makes
// the hubs on the way: /sys/bus/usb/devices/1-1/1-1:1.0/1-1-port4 for 1-1.4,
// and usb1/1-0:1.0/usb1-port1 for 1-1.
func (b *Bench) hubPort(path string) (string, error) {
	bus, ports, _ := strings.Cut(path, "-")
	hub, interfaces, port := "usb"+bus, bus+"-0:1.0", ports
	if at := strings.LastIndexByte(ports, '.'); at >= 0 {
		parent := bus + "-" + ports[:at]
		if _, err := b.hubPort(parent); err != nil {
			return "", err
		}
		hub, interfaces, port = parent, parent+":1.0", ports[at+1:]
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.hubs[hub] {
		b.devnum++
		err := b.appear(hub, map[string]string{
			"idVendor": "1d6b", "idProduct": "0002", "bDeviceClass": "09", "product": "Hub",
			"busnum": bus, "devnum": fmt.Sprint(b.devnum), interfaces + "/bInterfaceNumber": "00",
		})
		if err == nil {
			err = os.Symlink(filepath.Join(hub, interfaces), filepath.Join(b.devices(), interfaces))
		}
		if err != nil {
			return "", fmt.Errorf("fake: making a hub: %w", err)
		}
		b.hubs[hub] = true
	}
	return filepath.Join(b.devices(), hub, interfaces, hub+"-port"+port), nil
}

// appear puts a device into the tree, all of it at once.
func (b *Bench) appear(name string, files map[string]string) error {
	dir := filepath.Join(b.staging(), name)
	for file, content := range files {
		file = filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(content+"\n"), 0o644); err != nil {
			return err
		}
	}
	return os.Rename(dir, filepath.Join(b.devices(), name))
}

// vanish takes a device out of the tree, all of it at once.
func (b *Bench) vanish(name string) error {
	dir, err := os.MkdirTemp(b.trash(), "")
	if err != nil {
		return err
	}
	return errors.Join(os.Rename(filepath.Join(b.devices(), name), filepath.Join(dir, name)), os.RemoveAll(dir))
}

// enter shows a board on the bus: nodes under Dev and the tree under Sys. not is
// a number that it must not get, because the host may hold it still.
func (b *Bench) enter(s *Spec, m Mode, not int, terminals []string) (numbers []int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.devnum++
	bus, ports, _ := strings.Cut(s.Path, "-")
	vendor, product := s.ids(m)
	files := map[string]string{
		"idVendor": vendor, "idProduct": product, "serial": strings.ToUpper(s.Serial), "manufacturer": "Particle",
		"product": "a board of " + s.DeviceOS, "busnum": bus, "devnum": fmt.Sprint(b.devnum), "devpath": ports,
		s.Path + ":1.0/bInterfaceNumber": "00",
	}
	for i, terminal := range terminals {
		n := 0
		for b.numbers[n] || n == not {
			n++
		}
		b.numbers[n] = true
		numbers = append(numbers, n)
		name := fmt.Sprintf("ttyACM%d", n)
		if err := os.Symlink(terminal, filepath.Join(b.Dev(), name)); err != nil {
			return numbers, err
		}
		at := fmt.Sprintf("%s:1.%d/", s.Path, 2*i)
		files[at+"bInterfaceNumber"] = fmt.Sprintf("%02x", 2*i)
		files[at+"tty/"+name+"/dev"] = fmt.Sprintf("166:%d", n)
	}
	return numbers, b.appear(s.Path, files)
}

// leave undoes enter.
func (b *Bench) leave(s *Spec, numbers []int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.vanish(s.Path)
	for _, n := range numbers {
		err = errors.Join(err, os.Remove(filepath.Join(b.Dev(), fmt.Sprintf("ttyACM%d", n))))
		delete(b.numbers, n)
	}
	return err
}
