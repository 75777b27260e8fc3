package command

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/sim/fleet"
)

// All forms of public halves that follow from a number name the same devices and
// keys, in every run.
func TestKeysFromASeed(t *testing.T) {
	dir := t.TempDir()
	make3 := func(path string) {
		t.Helper()
		_, said, err := muster(t, "--keys", "seed:7", "--devices", "3", "--profile", "boron@6.2.0", "--register", path)
		if err != nil || !strings.Contains(said, path) {
			t.Fatal(err, said)
		}
	}
	jsonl, csv, folder := filepath.Join(dir, "a.jsonl"), filepath.Join(dir, "a.csv"), filepath.Join(dir, "folder")
	make3(jsonl)
	make3(csv)
	make3(folder)

	b, err := os.ReadFile(jsonl)
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile(csv)
	if err != nil {
		t.Fatal(err)
	}
	keys := fleet.SeededKeys(7, 0)
	lines := bufio.NewScanner(bytes.NewReader(b))
	n := 0
	for ; lines.Scan(); n++ {
		var got struct {
			ID  string `json:"id"`
			Key []byte `json:"key"`
		}
		if err := json.Unmarshal(lines.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		id := fleet.ID(fleet.SeededMark(7), n)
		if _, ok := dtls.ParseSPKI(got.Key); !ok || got.ID != id.String() || !bytes.Equal(got.Key, keys.Public(id)) {
			t.Errorf("line %d is not device %d: %s", n+1, n, lines.Bytes())
		}
		if want := id.String() + "," + base64.StdEncoding.EncodeToString(got.Key) + "\n"; !strings.Contains(string(table), want) {
			t.Errorf("%s has no %s", csv, want)
		}
		if _, err := os.Stat(filepath.Join(folder, id.String()+publicEnd)); err != nil {
			t.Error(err)
		}
	}
	if n != 3 || !strings.HasPrefix(string(table), "id,key\n") {
		t.Errorf("%d lines of JSON; with commas:\n%s", n, table)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, _, err := muster(t, "--keys", "seed:x", "--register", jsonl); err == nil || !strings.Contains(err.Error(), "seed:7") {
		t.Errorf("seed:x: %v", err)
	}
}
