package serial

import (
	"os"
	"path/filepath"
	"strings"
)

// ModemManagerRuns reports whether ModemManager runs on this machine (Linux): it takes
// new serial ports for modems until udev tells it otherwise.
func ModemManagerRuns() bool { return runs("/proc", "ModemManager") }

// runs reports whether a program of that name runs, as a proc file system tells it.
func runs(proc, name string) bool {
	all, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "comm"))
	if err != nil {
		return false
	}
	for _, file := range all {
		if b, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(b)) == name {
			return true
		}
	}
	return false
}

// probed is what to add where a port is busy and ModemManager may be why.
func probed() string {
	if !ModemManagerRuns() {
		return ""
	}
	return " (ModemManager runs here, and tries for some seconds whether new ports are modems: \"muster rig udev\" keeps it away)"
}
