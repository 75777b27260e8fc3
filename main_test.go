package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster/muster/harness/report"
)

func TestExitCodes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	for _, test := range []struct {
		args string
		code int
		says string
	}{
		{"--help", report.ExitClean, "conform"},
		{"conform --list", report.ExitClean, "handshake/"},
		{"juggle", report.ExitUsage, "unknown command"},
		{"conform --jugglers 3", report.ExitUsage, "muster conform --help"},
		{"conform --devices -1", report.ExitUsage, "from 1 to"},
		{"cloud --log paper", report.ExitUsage, "want text or json"},
		{"cloud device add", report.ExitUsage, "--help"},
		{"cloud --data " + file + "\x00 --udp 127.0.0.1:0 --tcp 127.0.0.1:0", report.ExitFailures, "muster:"},
		{"fleet", report.ExitUsage, "--cloud"},
		{"rig scan", report.ExitClean, "board"},
		{"fleet --keys " + file, report.ExitUsage, "--help"},
	} {
		var out, err bytes.Buffer
		code := run(context.Background(), strings.Fields(test.args), &out, &err)
		if all := out.String() + err.String(); code != test.code || !strings.Contains(all, test.says) {
			t.Errorf("muster %s: exit code %d, want %d; says %q, want %q in it", test.args, code, test.code, all, test.says)
		}
	}
}
