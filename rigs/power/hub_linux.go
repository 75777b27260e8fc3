package power

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/muster/muster/rigs/inventory"
	"github.com/muster/muster/rigs/usbfs"
)

// The class requests of a hub that switch a port (USB 2.0, section 11.24.2).
const (
	hubToPort    = 0x23
	clearFeature = 1
	setFeature   = 3
	portPower    = 8
)

// hubPatience is how long a hub may take. It answers within microseconds, or is stuck.
const hubPatience = 5 * time.Second

// usbHub returns how to switch a port by asking its hub.
func usbHub(tree inventory.Tree, port string) (func(on bool) error, error) {
	name := filepath.Base(port) // 1-1-port4, or usb1-port1
	hub, number, ok := cutLast(name, "-port")
	n, err := strconv.ParseUint(number, 10, 8)
	if !ok || err != nil {
		return nil, fmt.Errorf("%s is no hub port", name)
	}
	node, err := usbfs.Node(tree, hub)
	if err != nil {
		return nil, fmt.Errorf("there is no hub %s: %w", hub, err)
	}
	return func(on bool) error {
		request := uint8(clearFeature)
		if on {
			request = setFeature
		}
		return askHub(node, request, uint16(n))
	}, nil
}

func askHub(node string, request uint8, port uint16) error {
	file, err := os.OpenFile(node, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("you may not ask the hub: run as root, or make %s writable by a udev rule: %w", node, err)
	}
	if err != nil {
		return fmt.Errorf("asking the hub: %w", err)
	}
	_, asked := usbfs.Control(file, usbfs.Setup{Type: hubToPort, Request: request, Value: portPower, Index: port}, nil, hubPatience)
	err = file.Close()
	if asked != nil {
		return fmt.Errorf("the hub refuses to switch port %d: %w", port, asked)
	}
	return err
}

func cutLast(s, sep string) (before, after string, ok bool) {
	at := strings.LastIndex(s, sep)
	if at < 0 {
		return s, "", false
	}
	return s[:at], s[at+len(sep):], true
}
