// Package inventory finds the Particle boards that are plugged in, and says
// which is which.
//
// A board is its serial number, USB path and interface, never its name under
// /dev: that changes when a board restarts.
//
// What this package is not: a lease. It opens nothing, and a board that it lists
// may be in use by another program.
package inventory

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A Port is one thing on USB that may be a board or one of a board's consoles,
// as the operating system describes it.
type Port struct {
	Name            string // path to open, as /dev/ttyACM0; empty if it has no console
	Vendor, Product uint16 // USB ids
	Serial          string // USB serial number; empty if unknown
	Description     string // USB product string
	Path            string // USB path, as 1-1.4; empty if the system does not tell
	Interface       int    // USB interface number; negative if unknown
	Bus, Number     int    // of the device on the bus, as in /dev/bus/usb/001/005; 0 if unknown
}

// A Console is one serial port of a board. An application may add a second one.
type Console struct {
	Port      string `json:"port"`
	Interface int    `json:"interface"` // -1 if unknown
}

// A Board is one Particle board that is plugged in.
type Board struct {
	Platform    string    `json:"platform"`
	Mode        Mode      `json:"mode"`
	DeviceID    string    `json:"device_id,omitempty"` // 24 hex digits, if the serial number is one
	Serial      string    `json:"serial,omitempty"`
	Path        string    `json:"usb_path,omitempty"`
	Description string    `json:"description,omitempty"`
	Bus         int       `json:"bus,omitempty"`    // number of the USB bus; 0 if unknown
	Number      int       `json:"number,omitempty"` // on the bus; another one each time it comes
	Consoles    []Console `json:"consoles"`         // by interface; empty in DFU mode
	Remark      string    `json:"remark,omitempty"` // a sentence, if something is odd
}

// Boards are what is plugged in.
type Boards struct {
	Boards []Board `json:"boards"` // by USB path, then serial number
	Others int     `json:"others"` // USB serial ports that are not Particle's
}

var deviceID = regexp.MustCompile(`^[0-9a-f]{24}$`)

// Find returns the boards among the ports. Ports with one serial number on one
// USB path are consoles of one board.
func Find(ports []Port) Boards {
	found := Boards{Boards: []Board{}}
	for _, p := range ports {
		platform, mode, ours := identify(p.Vendor, p.Product)
		if !ours {
			found.Others++
			continue
		}
		same := func(b Board) bool { return p.Path != "" && b.Path == p.Path && b.Serial == p.Serial }
		at := slices.IndexFunc(found.Boards, same)
		if at < 0 {
			at = len(found.Boards)
			b := Board{Platform: platform, Mode: mode, Serial: p.Serial, Path: p.Path, Description: p.Description, Bus: p.Bus, Number: p.Number, Consoles: []Console{}}
			if id := strings.ToLower(p.Serial); deviceID.MatchString(id) {
				b.DeviceID = id
			}
			found.Boards = append(found.Boards, b)
		}
		if p.Name != "" {
			b := &found.Boards[at]
			b.Consoles = append(b.Consoles, Console{p.Name, max(p.Interface, -1)})
		}
	}
	found.sort()
	found.remark()
	return found
}

func (f Boards) sort() {
	for _, b := range f.Boards {
		slices.SortFunc(b.Consoles, func(a, b Console) int {
			return cmp.Or(cmp.Compare(a.Interface, b.Interface), cmp.Compare(a.Port, b.Port))
		})
	}
	slices.SortStableFunc(f.Boards, func(a, b Board) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Serial, b.Serial))
	})
}

// remark flags boards that a serial number alone does not tell apart.
func (f Boards) remark() {
	bySerial := map[string]int{}
	for _, b := range f.Boards {
		bySerial[b.Serial]++
	}
	for i := range f.Boards {
		b := &f.Boards[i]
		switch {
		case b.Serial == "":
			b.Remark = "It tells no serial number: name it by its USB path."
		case bySerial[b.Serial] == 1:
		case b.Path == "":
			b.Remark = fmt.Sprintf("%d ports have this serial number and this system tells no USB path: two boards, or two consoles of one.", bySerial[b.Serial])
		default:
			b.Remark = fmt.Sprintf("%d boards have this serial number: name them by USB path.", bySerial[b.Serial])
		}
	}
}

// Console returns the port of the first console of the board that name stands
// for: a serial number or device id in either case, or a USB path. The error
// says what to do.
func (f Boards) Console(name string) (string, error) {
	var hits []Board
	for _, b := range f.Boards {
		if name != "" && (strings.EqualFold(b.Serial, name) || b.Path == name) {
			hits = append(hits, b)
		}
	}
	switch {
	case len(hits) == 0:
		return "", fmt.Errorf("no board %q is plugged in: \"muster rig scan\" lists what is", name)
	case len(hits) > 1 && hits[0].Path == "":
		return "", fmt.Errorf("%d ports have the serial number %s: name one of the ports", len(hits), name)
	case len(hits) > 1:
		return "", fmt.Errorf("%d boards have the serial number %s: name one by USB path, as %s", len(hits), name, hits[0].Path)
	case hits[0].Mode == DFU:
		return "", fmt.Errorf("board %s is in DFU mode, where it has no console: reset it", name)
	case len(hits[0].Consoles) == 0:
		return "", fmt.Errorf("board %s shows no serial port: its application may have switched USB off, or the cdc_acm driver is missing", name)
	}
	return hits[0].Consoles[0].Port, nil
}
