package command

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/record"
)

// lookUntil reads a page until it has a text, or the test ends.
func lookUntil(t *testing.T, url, want string) string {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := http.Get(url)
		if err != nil {
			return err.Error()
		}
		b, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil || strings.Contains(string(b), want) {
			return string(b)
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			return string(b)
		}
	}
}

// Everybody watches one run: Prometheus while it goes on, programs that read lines, and
// people afterwards.
func TestWatched(t *testing.T) {
	t.Parallel() // it waits most of the time
	dir := t.TempDir()
	keys, list := filepath.Join(dir, "keys"), filepath.Join(dir, "devices")
	if _, said, err := muster(t, "--keys-out", keys, "--register", list, "--devices", "3", "--profile", "boron@6.2.0"); err != nil {
		t.Fatal(err, said)
	}
	k, members, err := fleet.LoadKeys(keys, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	args := append(serve(t, k, members), "--keys", keys, "--rate", "0", "--duration", "10s", "--publish", "1s",
		"--metrics", "127.0.0.1:0", "--jsonl", "-", "--out", out)
	said, saying := io.Pipe()
	var lines bytes.Buffer
	cmd := Command()
	cmd.SetOut(&lines)
	cmd.SetErr(saying)
	cmd.SetArgs(args)
	done := make(chan error, 1)
	go func() {
		err := cmd.ExecuteContext(t.Context())
		_ = saying.Close()
		done <- err
	}()
	scraped := make(chan string, 1)
	var all strings.Builder
	for text := bufio.NewScanner(said); text.Scan(); {
		all.WriteString(text.Text() + "\n")
		if _, url, found := strings.Cut(text.Text(), "Metrics are at "); found {
			go func() { scraped <- lookUntil(t, strings.TrimSuffix(url, "."), `state="all"} 3`) }()
		}
	}
	if err := <-done; err != nil && !busy(err) {
		t.Errorf("%v\n%s", err, all.String())
	}
	if !strings.Contains(all.String(), "Metrics are at") {
		t.Fatalf("no metrics:\n%s", all.String())
	}
	if got := <-scraped; !strings.Contains(got, `state="all"} 3`) {
		t.Errorf("scraped:\n%s", got)
	}
	for _, want := range []string{"3 of 3", "The report is ", "report.html"} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("standard error lacks %q:\n%s", want, all.String())
		}
	}
	events := map[string]int{}
	for d := json.NewDecoder(&lines); d.More(); {
		var line struct{ Event string }
		if err := d.Decode(&line); err != nil {
			t.Fatal(err)
		}
		events[line.Event]++
	}
	if events["begin"] != 1 || events["end"] != 1 || events["sample"] < 4 {
		t.Errorf("lines: %v", events)
	}
	run, samples, err := record.Load(out)
	if err != nil {
		t.Fatal(err)
	}
	selves := 0
	for _, s := range samples {
		if s.Self != nil && s.Self.Cores > 0 && s.Self.Resident > 0 {
			selves++
		}
	}
	if sum := run.Sum("", ""); sum.Counts[record.Connected] != 3 || selves == 0 {
		t.Errorf("%d connected, %d samples of the generator", sum.Counts[record.Connected], selves)
	}
	page, err := os.ReadFile(filepath.Join(out, "report.html"))
	if err != nil || !bytes.Contains(page, []byte(`id="devices"`)) || !bytes.Contains(page, []byte("boron@6.2.0")) {
		t.Errorf("the report: %v", err)
	}
	if got, _, err := muster(t, "compare", out, out); err != nil && !busy(err) || !strings.Contains(got, "handshakes") {
		t.Errorf("compared with itself: %v\n%s", err, got)
	}
	if got, _, err := muster(t, "report", out, "--out", "-"); err != nil || !strings.HasPrefix(got, "<!doctype html>") {
		t.Errorf("reported again: %v\n%.80s", err, got)
	}
}

func TestWatchRefuses(t *testing.T) {
	for want, args := range map[string][]string{
		"screen, lines, none or auto": {"--view", "3d"},
		"another address":             {"--metrics", "127.0.0.1:1000000"},
		"--jsonl":                     {"--jsonl", filepath.Join(t.TempDir(), "none", "x.jsonl")},
	} {
		keys := filepath.Join(t.TempDir(), "keys")
		if _, said, err := muster(t, "--keys-out", keys, "--register", t.TempDir(), "--devices", "1", "--profile", "boron@6.2.0"); err != nil {
			t.Fatal(err, said)
		}
		k, members, err := fleet.LoadKeys(keys, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = muster(t, append(append(serve(t, k, members), "--keys", keys, "--duration", "1s"), args...)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %q", args, err, want)
		}
	}
}

func TestRepeating(t *testing.T) {
	for want, args := range map[string][]string{
		"muster fleet run x.yaml --seed 7": {"/usr/bin/muster", "fleet", "run", "x.yaml"},
		"muster fleet --seed=9":            {"muster", "fleet", "--seed=9"},
		"muster fleet --seed 9 --rate 1":   {"muster", "fleet", "--seed", "9", "--rate", "1"},
	} {
		if got := strings.Join(repeating(args, 7), " "); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestOutOf(t *testing.T) {
	at := time.Date(2026, 5, 4, 9, 30, 1, 0, time.UTC)
	if got := filepath.ToSlash(outOf("Storm after/../outage", at)); got != "out/storm-after----outage-20260504-093001" {
		t.Error(got)
	}
}
