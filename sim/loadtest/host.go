package loadtest

import (
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/muster/muster/sim/record"
)

// Host describes this machine.
func Host(worker string) record.Host {
	h := record.Host{Worker: worker, OS: runtime.GOOS, Go: runtime.Version(), Cores: runtime.GOMAXPROCS(0)}
	h.Name, _ = os.Hostname() // "" when there is none
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		h.Kernel = strings.TrimSpace(string(b))
	}
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		h.Memory = memoryOf(string(b))
	}
	return h
}

// memoryOf returns the memory that /proc/meminfo tells of, in bytes; 0: none.
func memoryOf(text string) uint64 {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kib, _ := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10
		}
	}
	return 0
}
