//go:build !linux

package selfwatch

import "runtime/metrics"

// usage is what the system says of the process and the machine. What it does not
// say is 0.
type usage struct {
	process, machine float64 // seconds of processor time since the start
	resident         uint64  // bytes
}

// readUsage knows only what the runtime estimates: its share without idle time, as
// of the latest garbage collection, and the memory that it holds.
func readUsage() usage {
	s := []metrics.Sample{
		{Name: "/cpu/classes/total:cpu-seconds"}, {Name: "/cpu/classes/idle:cpu-seconds"}, {Name: "/memory/classes/total:bytes"},
	}
	metrics.Read(s)
	return usage{process: s[0].Value.Float64() - s[1].Value.Float64(), resident: s[2].Value.Uint64()}
}
