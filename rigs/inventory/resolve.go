package inventory

import (
	"fmt"
	"strings"
)

// A State is where a board of the file is. Not being there is a state like any
// other.
type State string

// The states.
const (
	Present   State = "present"   // it runs, and has its console
	InDFU     State = "DFU"       // the bootloader runs
	Silent    State = "silent"    // it runs, and shows no console
	Absent    State = "absent"    // not plugged in, without power, asleep or restarting
	Ambiguous State = "ambiguous" // several boards fit
)

// A Sighting is what is seen of a board of the file.
type Sighting struct {
	Entry  Entry  `json:"entry"`
	State  State  `json:"state"`
	Board  *Board `json:"board,omitempty"`  // nil if absent or ambiguous
	Port   string `json:"port,omitempty"`   // of the console; empty unless present
	Remark string `json:"remark,omitempty"` // a sentence, if something is odd
}

// twins reports whether another board of the file has the serial number.
func (f *File) twins(e Entry) bool {
	for _, o := range f.Boards {
		if o.Name != e.Name && e.Serial != "" && strings.EqualFold(o.Serial, e.Serial) {
			return true
		}
	}
	return false
}

// Locate finds a board of the file among what is plugged in. The serial number
// decides, wherever it is plugged in; the USB path does when several boards have
// that number, or the file gives none.
func (f *File) Locate(e Entry, found Boards) Sighting {
	s := Sighting{Entry: e, State: Absent}
	var hits []int
	for i, b := range found.Boards {
		if fits(e, b) {
			hits = append(hits, i)
		}
	}
	if len(hits) > 1 || f.twins(e) {
		all := len(hits)
		hits = onPath(e.USB, found, hits)
		if len(hits) == 0 && all > 0 {
			if f.twins(e) {
				s.Remark = fmt.Sprintf("a board with its serial number is plugged in, but not at %s, and %s has two such boards: move it there, or mend its \"usb\" path", e.USB, f.Path)
				return s
			}
			s.State = Ambiguous
			s.Remark = fmt.Sprintf("%d boards with the serial number %s are plugged in: say which by its \"usb\" path, as %s", all, e.Serial, found.Boards[0].Path)
			return s
		}
		if len(hits) > 1 {
			s.State, s.Remark = Ambiguous, fmt.Sprintf("%d boards have the serial number %s, and this system tells no USB path: unplug one", len(hits), e.Serial)
			return s
		}
	}
	if len(hits) == 0 {
		if hits = inBootloader(e, found); len(hits) != 1 {
			return s
		}
	}
	b := found.Boards[hits[0]]
	s.Board = &b
	switch {
	case e.Platform != "" && !strings.EqualFold(e.Platform, b.Platform):
		s.Remark = fmt.Sprintf("it is a %s, and %s says %s: was it swapped?", b.Platform, f.Path, e.Platform)
	case e.USB != "" && b.Path != "" && e.USB != b.Path:
		s.Remark = fmt.Sprintf("it has moved from %s to %s", e.USB, b.Path)
	}
	if b.Mode == DFU {
		s.State = InDFU
		return s
	}
	s.State = Silent
	for _, c := range b.Consoles {
		if e.Interface == nil || *e.Interface == c.Interface {
			s.State, s.Port = Present, c.Port
			break
		}
	}
	if s.State == Silent && len(b.Consoles) > 0 {
		s.Remark = fmt.Sprintf("it has no console at interface %d", *e.Interface)
	}
	return s
}

// fits reports whether a board may be that of the entry.
func fits(e Entry, b Board) bool {
	if e.Serial != "" {
		return strings.EqualFold(e.Serial, b.Serial)
	}
	return e.USB == b.Path
}

// inBootloader returns the board in DFU mode at the entry's USB path: some
// bootloaders tell a serial number of their own.
func inBootloader(e Entry, found Boards) []int {
	var list []int
	for i, b := range found.Boards {
		if e.USB != "" && b.Path == e.USB && b.Mode == DFU && b.DeviceID == "" && (e.Platform == "" || strings.EqualFold(e.Platform, b.Platform)) {
			list = append(list, i)
		}
	}
	return list
}

func onPath(path string, found Boards, hits []int) []int {
	var list []int
	for _, i := range hits {
		if path != "" && found.Boards[i].Path == path {
			list = append(list, i)
		}
	}
	return list
}

// Key names a board for locks: the same on every host and in every file, while
// the board is the same.
func (s Sighting) Key() string {
	switch {
	case s.Board != nil:
		return s.Board.Key()
	case s.Entry.Serial != "":
		return strings.ToLower(s.Entry.Serial)
	}
	return "usb-" + s.Entry.USB
}

// Key names a board for locks: by its serial number, by its USB path where it
// tells none, by both where another has the same.
func (b Board) Key() string {
	switch {
	case b.Serial == "":
		return "usb-" + b.Path
	case b.Remark != "":
		return strings.ToLower(b.Serial) + "@" + b.Path
	}
	return strings.ToLower(b.Serial)
}

// Reason says why a board cannot be used now, as a sentence that says what to
// do; empty if it can.
func (s Sighting) Reason() string {
	name := s.Entry.Name
	switch s.State {
	case Present:
		return ""
	case InDFU:
		return fmt.Sprintf("board %s is in DFU mode, where it has no console: \"muster rig power reset %s\" ends it", name, name)
	case Silent:
		return fmt.Sprintf("board %s shows no serial port: %s", name, orElse(s.Remark, "its application may have switched USB off, or the cdc_acm driver is missing"))
	case Ambiguous:
		return fmt.Sprintf("board %s: %s", name, s.Remark)
	default:
		return fmt.Sprintf("board %s is not there: %s", name, orElse(s.Remark, "is it plugged in, and does it have power? \"muster rig scan\" shows what is"))
	}
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
