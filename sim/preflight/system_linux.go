package preflight

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// system gathers what the kernel says.
func (f *Facts) system() {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		f.FilesMax = limit.Max // Go raises the soft limit by itself
	}
	f.FilesMost = number("/proc/sys/fs/nr_open")
	f.ReceiveBuffer = tryBuffer()
	if ports := strings.Fields(read("/proc/sys/net/ipv4/ip_local_port_range")); len(ports) == 2 {
		f.PortLow, _ = strconv.Atoi(ports[0])
		f.PortHigh, _ = strconv.Atoi(ports[1])
	}
	f.Tracked = number("/proc/sys/net/netfilter/nf_conntrack_count")
	f.TrackedMax = number("/proc/sys/net/netfilter/nf_conntrack_max")
	f.ClockSource = read("/sys/devices/system/clocksource/clocksource0/current_clocksource")
	if load := strings.Fields(read("/proc/loadavg")); len(load) > 0 {
		f.Load, _ = strconv.ParseFloat(load[0], 64)
	}
	f.memory()
}

// memory takes the smaller of the machine's and the container's.
func (f *Facts) memory() {
	for _, line := range strings.Split(read("/proc/meminfo"), "\n") {
		part := strings.Fields(line)
		if len(part) < 2 {
			continue
		}
		n, _ := strconv.ParseUint(part[1], 10, 64)
		switch part[0] {
		case "MemTotal:":
			f.Memory = n << 10
		case "MemAvailable:":
			f.Available = n << 10
		}
	}
	if most := number("/sys/fs/cgroup/memory.max"); most > 0 && most < f.Memory { // 0: "max"
		f.Memory = most
		f.Available = min(f.Available, most-min(most, number("/sys/fs/cgroup/memory.current")))
	}
}

// tryBuffer returns how large a receive buffer a socket gets.
func tryBuffer() int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer func() { _ = unix.Close(fd) }()
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, ReceiveBufferWanted) != nil { // for the privileged only
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, ReceiveBufferWanted)
	}
	got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil {
		return 0
	}
	return got / 2 // the kernel doubles what was asked for, for its own books
}

func read(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func number(path string) uint64 {
	n, err := strconv.ParseUint(read(path), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
