package lease

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// startOf tells when a process began, as text; empty if there is none. Numbers of
// processes come again, the pair does not.
func startOf(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The name in parentheses may hold anything. Behind it: state is field 3, the
	// start field 22 (proc(5)).
	at := bytes.LastIndexByte(b, ')')
	fields := bytes.Fields(b[at+1:])
	const start = 22 - 3
	if at < 0 || len(fields) <= start || string(fields[0]) == "Z" {
		return ""
	}
	return string(fields[start])
}

// having names the processes that have a file open, as far as this user may know.
func having(path string) (all []string) {
	want, err := os.Stat(path)
	if err != nil {
		return nil
	}
	files, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is right
	for _, file := range files {
		process := filepath.Dir(filepath.Dir(file))
		pid, _ := strconv.Atoi(filepath.Base(process))
		info, err := os.Stat(file)
		if err != nil || !os.SameFile(info, want) || pid == os.Getpid() {
			continue
		}
		text, _ := os.ReadFile(filepath.Join(process, "comm"))
		all = append(all, fmt.Sprintf("%s (process %d)", strings.TrimSpace(string(text)), pid))
	}
	return all
}
