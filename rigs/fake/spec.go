//go:build linux

package fake

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Platforms that differ in what a board does.
const (
	Core    = 0
	Photon  = 6
	P1      = 8
	Argon   = 12
	Boron   = 13
	P2      = 32
	MSoM    = 35
	Tachyon = 42
)

// A Spec is a board to add to a bench. Zero fields mean what is stated.
type Spec struct {
	// Serial is the USB serial number, which is the device id: 24 hexadecimal
	// digits. Required.
	Serial string
	// Platform id. Required, though 0 is the Core.
	Platform uint8
	// DeviceOS is the release that runs. "6.2.0".
	DeviceOS string
	// Path is the USB path: bus, then ports, as 1-1.4 for port 4 of the hub at
	// port 1 of bus 1. Required.
	Path string
	// Consoles is how many serial ports the application has, from 1 to 3. 1.
	Consoles int

	// Protected switches the listening console off (Device OS 6.0 and later).
	Protected bool
	// Secret is the device secret that i prints. None.
	Secret string
	// Networks are the Wi-Fi networks in reach and their security numbers, 0 to 4.
	Networks map[string]int
	// DFUSpeed and ListenSpeed are the speeds of the touches; an application can
	// change them. 14,400 and 28,800; negative: off.
	DFUSpeed, ListenSpeed int

	// BootLines are what the application prints when it starts.
	BootLines []string
	// WaitForHost makes the application wait for a host to open the console
	// before it prints, as a firmware team's build does. Else lines that come
	// before are lost, as on every real USB board.
	WaitForHost bool
	// Heartbeat is how often the application logs a line. Never.
	Heartbeat time.Duration

	// ResetText restarts the board when it arrives on the console, as some
	// applications do. None.
	ResetText string

	// OnLine takes lines that arrive on the console while the application runs, if
	// not nil. It must return at once, and not call the board.
	OnLine func(line string)

	// Port says what happens when the hub port is switched.
	Port PortKind
	// Battery keeps the board alive without USB power.
	Battery bool

	// Restart is how long a restart takes. 5 ms; real boards take 0.5 to 5 s.
	Restart time.Duration
	// Linger is how long the board stays after it said that it restarts with a
	// new image, so that the host hears it. 200 ms.
	Linger time.Duration
	// Stuck is how long output waits for a host that does not read. 2.5 s.
	Stuck time.Duration
	// Quiet is how long the YMODEM receiver waits for a block. 5 s.
	Quiet time.Duration

	// Install takes an image that came by YMODEM; the error is why it is refused.
	// Nil takes everything.
	Install func(b *Board, name string, image []byte) error
	// Modules is what s tells in listening mode, JSON on one line. A board with an
	// application of version 5.
	Modules func() string
	// Functions answer control transfers.
	Functions Functions
	// Device makes what runs inside. None.
	Device func(b *Board) (Device, error)
}

// A PortKind is what a hub port is worth.
type PortKind uint8

// The kinds of ports.
const (
	Switched PortKind = iota // cuts the power
	DataOnly                 // lies: takes the board off the bus and leaves its power on
	Deaf                     // lies: takes the command and does nothing
)

// complete checks a Spec and puts the defaults in.
func (s *Spec) complete() error {
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{{&s.Restart, 5 * time.Millisecond}, {&s.Linger, 200 * time.Millisecond}, {&s.Stuck, 2500 * time.Millisecond}, {&s.Quiet, 5 * time.Second}} {
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
	if s.DeviceOS == "" {
		s.DeviceOS = "6.2.0"
	}
	if s.Consoles == 0 {
		s.Consoles = 1
	}
	if s.DFUSpeed == 0 {
		s.DFUSpeed = 14400
	}
	if s.ListenSpeed == 0 {
		s.ListenSpeed = 28800
	}
	if _, err := parseVersion(s.DeviceOS); err != nil {
		return err
	}
	bus, ports, ok := strings.Cut(s.Path, "-")
	if n, err := strconv.Atoi(bus); !ok || err != nil || n < 1 || ports == "" {
		return fmt.Errorf("fake: %q is no USB path such as 1-1.4", s.Path)
	}
	if s.Serial == "" || s.Consoles > 3 {
		return fmt.Errorf("fake: a board needs a serial number and at most 3 consoles")
	}
	return nil
}

// ids returns the USB ids: vendor 2b04, product c0xx running and d0xx in DFU
// mode; the Core has others.
func (s *Spec) ids(m Mode) (vendor, product string) {
	switch {
	case s.Platform == Core && m == DFU:
		return "1d50", "607f"
	case s.Platform == Core:
		return "1d50", "607d"
	case m == DFU:
		return "2b04", fmt.Sprintf("d0%02x", s.Platform)
	}
	return "2b04", fmt.Sprintf("c0%02x", s.Platform)
}

func (s *Spec) wifi() bool {
	switch s.Platform {
	case Core, Photon, P1, Argon, P2, MSoM, Tachyon, 22, 26: // A SoM and Tracker have Wi-Fi too
		return true
	}
	return false
}

func (s *Spec) cellular() bool {
	switch s.Platform {
	case 10, Boron, 15, 23, 25, 26, 28, MSoM, 37: // Electron to Electron 2
		return true
	}
	return false
}

// A version is a Device OS release: major, minor, patch.
type version [3]int

func parseVersion(s string) (v version, err error) {
	plain, _, _ := strings.Cut(s, "-")
	parts := strings.Split(plain, ".")
	if len(parts) != len(v) {
		return v, fmt.Errorf("fake: Device OS %q is not of the form 6.2.0", s)
	}
	for i, p := range parts {
		if v[i], err = strconv.Atoi(p); err != nil {
			return v, fmt.Errorf("fake: Device OS %q is not of the form 6.2.0", s)
		}
	}
	return v, nil
}

func (v version) atLeast(major, minor, patch int) bool {
	for i, n := range [3]int{major, minor, patch} {
		if v[i] != n {
			return v[i] > n
		}
	}
	return true
}
