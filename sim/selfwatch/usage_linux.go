package selfwatch

import (
	"github.com/prometheus/procfs"
)

// usage is what the system says of the process and the machine. What it does not
// say is 0.
type usage struct {
	process, machine float64 // seconds of processor time since the start
	resident         uint64  // bytes
}

func readUsage() (u usage) {
	fs, err := procfs.NewFS("/proc")
	if err != nil {
		return u
	}
	if self, err := fs.Self(); err == nil {
		if s, err := self.Stat(); err == nil {
			u.process, u.resident = s.CPUTime(), uint64(max(0, s.ResidentMemory()))
		}
	}
	if s, err := fs.Stat(); err == nil {
		c := s.CPUTotal
		u.machine = c.User + c.Nice + c.System + c.IRQ + c.SoftIRQ + c.Steal // guests are in User
	}
	return u
}
