package lease

import (
	"bytes"
	"fmt"
	"os"
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
