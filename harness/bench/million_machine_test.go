package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// What a run must leave to others, and what a device may take, both ends.
const (
	memoryFree      = 3 * gib / 2
	memoryPerDevice = 10 * kib
	diskPerDevice   = 16 * kib
)

// look refuses what cannot fit.
func (m *million) look(context.Context) error {
	if have, need := memoryAvailable(), uint64(m.n)*memoryPerDevice+memoryFree; m.n > 5000 && have < need {
		return fmt.Errorf("%s of memory is available, and %d devices may need %s: free some, or take fewer devices", bytesText(have), m.n, bytesText(need))
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(m.dir, &disk); err != nil {
		return err
	}
	if have, need := disk.Bavail*uint64(disk.Bsize), uint64(m.n)*diskPerDevice; have < need {
		return fmt.Errorf("%s is free on the disk of %s, and %d devices may need %s: name another folder with -data", bytesText(have), m.dir, m.n, bytesText(need))
	}
	return nil
}

// watchMemory ends the run before the machine runs out of memory.
func (m *million) watchMemory(ctx context.Context) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if have := memoryAvailable(); have < memoryFree {
				m.tooLittle(fmt.Errorf("stopped: %s of memory is available on this machine, and %s must stay", bytesText(have), bytesText(memoryFree)))
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// memoryAvailable returns MemAvailable, in bytes.
func memoryAvailable() uint64 { return kibField("/proc/meminfo", "MemAvailable:") }

// resident returns what a process has in memory, in bytes; 0 is this one.
func resident(pid int) uint64 {
	if pid == 0 {
		pid = os.Getpid()
	}
	return kibField(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:")
}

// kibField reads a line such as "VmRSS: 12 kB"; 0 where there is none.
func kibField(path, name string) uint64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, _ := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n * kib
		}
	}
	return 0
}

// processTime returns the CPU time of another process so far.
func processTime(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// Behind the name, which is in parentheses, utime and stime are 12 and 13.
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every architecture of Go
	return time.Duration(user+system) * tick
}

// socketDrops returns how many datagrams the kernel dropped on the UDP sockets of a
// process, because their buffers were full.
func socketDrops(pid int) (uint64, error) {
	if pid == 0 {
		pid = os.Getpid()
	}
	ours := map[string]bool{}
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return 0, err
	}
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, "socket:[") {
			ours[strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")] = true
		}
	}
	f, err := os.Open("/proc/net/udp")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var drops uint64
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// sl local remote st queues tr:tm retrnsmt uid timeout inode ref pointer drops
		fields := strings.Fields(lines.Text())
		if len(fields) >= 13 && ours[fields[9]] {
			n, _ := strconv.ParseUint(fields[12], 10, 64)
			drops += n
		}
	}
	return drops, lines.Err()
}

// keepDrops adds what the cloud's sockets lost, which its end forgets, and notes
// what the fleet's did.
func (m *million) keepDrops() error {
	cloud, err := socketDrops(m.cloud.pid())
	if err != nil {
		return err
	}
	m.got.CloudDrops += cloud
	m.got.FleetDrops, err = socketDrops(0)
	return err
}

// diskUsed returns what a folder takes, in bytes.
func diskUsed(dir string) (sum uint64) {
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // a file that was just removed
			}
			return err
		}
		if info, err := d.Info(); err == nil {
			if s, ok := info.Sys().(*syscall.Stat_t); ok {
				sum += uint64(s.Blocks) * 512
			}
		}
		return nil
	})
	if err != nil {
		return 0
	}
	return sum
}

// loadAverage is that of the last minute: it tells of neighbours.
func loadAverage() float64 {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), " ")
	n, _ := strconv.ParseFloat(first, 64)
	return n
}

// stolen is how busy others keep the cores: the CPU time of the machine so far.
func machineTime() (busy, all time.Duration) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	const tick = 10 * time.Millisecond
	for i, text := range strings.Fields(line)[1:9] {
		n, _ := strconv.ParseInt(text, 10, 64)
		all += time.Duration(n) * tick
		if i != 3 && i != 4 { // idle, iowait
			busy += time.Duration(n) * tick
		}
	}
	return busy, all
}
