package serial

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRuns(t *testing.T) {
	proc := t.TempDir()
	for pid, comm := range map[string]string{"1": "systemd\n", "417": "ModemManager\n", "self": "x\n"} {
		if err := os.Mkdir(filepath.Join(proc, pid), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(proc, pid, "comm"), []byte(comm), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !runs(proc, "ModemManager") || runs(proc, "Modem") || runs(proc, "x") || runs(filepath.Join(proc, "none"), "systemd") {
		t.Error("what runs is not what runs")
	}
}
