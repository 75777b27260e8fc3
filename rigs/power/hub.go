package power

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/muster/muster/rigs/inventory"
)

// HubPort returns the folder of sysfs of the hub port that a USB path ends with:
// 1-1-port4 of the hub 1-1 for 1-1.4, usb1-port1 of the root hub for 1-1.
func HubPort(tree inventory.Tree, path string) (string, error) {
	bus, ports, ok := strings.Cut(path, "-")
	if !ok || ports == "" {
		return "", fmt.Errorf("%q is no USB path such as 1-1.4", path)
	}
	hub, interfaces, port := "usb"+bus, bus+"-0:1.0", ports
	if at := strings.LastIndexByte(ports, '.'); at >= 0 {
		hub, port = bus+"-"+ports[:at], ports[at+1:]
		interfaces = hub + ":1.0"
	}
	return filepath.Join(tree.Devices(), interfaces, hub+"-port"+port), nil
}

// hubPower is how the power of one hub port is switched.
type hubPower struct {
	dirs []string // the port, and its half of the other speed
	usb  func(on bool) error
}

// SwitchHub returns a means that switches the hub port of a board, wherever it is
// plugged in at that time. Linux from 6.0 on has a file for that; before, the hub
// is asked over usbfs, as uhubctl does.
func SwitchHub(tree inventory.Tree, path func() string) Means {
	set := func(on bool) func(context.Context) error {
		return func(context.Context) error {
			p := path()
			if p == "" {
				return errors.New("the board's USB path is not known: it is not there, and rigs.yaml has none")
			}
			h, err := findHub(tree, p)
			if err != nil {
				return err
			}
			return h.set(on)
		}
	}
	return Means{Rung: Hub, Text: "hub port of " + path(), Off: set(false), On: set(true)}
}

func findHub(tree inventory.Tree, path string) (*hubPower, error) {
	dir, err := HubPort(tree, path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, "disable")); err == nil {
		h := &hubPower{dirs: []string{dir}}
		// Both halves of a USB 3 hub feed the same socket.
		if peer, err := filepath.EvalSymlinks(filepath.Join(dir, "peer")); err == nil {
			h.dirs = append(h.dirs, peer)
		}
		return h, nil
	}
	usb, err := usbHub(tree, dir)
	if err != nil {
		return nil, err
	}
	return &hubPower{usb: usb}, nil
}

func (h *hubPower) set(on bool) error {
	if h.usb != nil {
		return h.usb(on)
	}
	value := "1"
	if on {
		value = "0"
	}
	var errs []error
	for _, dir := range h.dirs {
		file := filepath.Join(dir, "disable")
		err := os.WriteFile(file, []byte(value), 0o644)
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("you may not switch hub ports: run as root, or make %s writable by a udev rule: %w", file, err)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
