package rigs

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

// TestUdev: each line that is none of comment is a rule whose parts udev would take, for
// all boards in all modes.
func TestUdev(t *testing.T) {
	out, err := run(nil, nil, "udev", "--group", "bench")
	if err != nil {
		t.Fatal(err)
	}
	part := regexp.MustCompile(`^[A-Z]+(\{[A-Za-z_]+\})?(==|=|\+=)"[^"]*"$`)
	products := ""
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		for _, p := range strings.Split(line, ", ") {
			if !part.MatchString(p) {
				t.Errorf("%q is no part of a rule", p)
			}
		}
		if !strings.Contains(line, `ENV{ID_MM_DEVICE_IGNORE}="1"`) || !strings.Contains(line, `GROUP="bench"`) {
			t.Errorf("%q lets ModemManager in, or the group not", line)
		}
		products += line
	}
	for _, want := range []string{`"2b04"`, `"[cd]0[0-9a-f][0-9a-f]"`, `"1d50"`, `"607[df]"`} {
		if !strings.Contains(products, want) {
			t.Errorf("no rule for %s", want)
		}
	}
	_, err = run(nil, nil, "udev", "--group", `x", RUN+="sh`)
	var usage interface{ Usage() }
	if !errors.As(err, &usage) {
		t.Errorf("an odd group: %v", err)
	}
	if !isWSL("Linux version 5.15.90.1-microsoft-standard-WSL2") || isWSL("Linux version 6.1.0-18-amd64") {
		t.Error("WSL is not told apart")
	}
}
