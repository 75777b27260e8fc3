package fakedfu

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestAsTheRealOne holds the fake to what the real dfu-util printed.
func TestAsTheRealOne(t *testing.T) {
	var recorded struct {
		Runs []struct {
			Args     []string
			Out, Err string
			Code     int
		}
	}
	b, err := os.ReadFile("testdata/recorded.json")
	if err == nil {
		err = json.Unmarshal(b, &recorded)
	}
	if err != nil || len(recorded.Runs) == 0 {
		t.Fatal(err)
	}
	memory := make([]byte, 1<<16)
	server, err := Serve(t.TempDir(), func() []Board {
		return []Board{{
			Vendor: 0x2b04, Product: 0xd00d, Path: "1-1", Serial: "e00fce68aabbccddeeff0011", Alts: DefaultAlts(),
			Read:  func(_ int, address uint32, n int) ([]byte, error) { return memory[address : int(address)+n], nil },
			Write: func(_ int, address uint32, data []byte) error { copy(memory[address:], data); return nil },
		}}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close() //nolint:errcheck // the test ends
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), make([]byte, 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	number := regexp.MustCompile(`devnum=\d+`)
	for _, r := range recorded.Runs {
		var args []string
		for _, a := range r.Args {
			args = append(args, strings.ReplaceAll(a, "DIR", dir))
		}
		var out, errors bytes.Buffer
		code := Main(filepath.Join(server.dir, "usb"), args, &out, &errors)
		gotOut := number.ReplaceAllString(out.String(), "devnum=N")
		gotErr := strings.ReplaceAll(errors.String(), dir, "DIR")
		if code != r.Code || gotOut != r.Out || gotErr != r.Err {
			t.Errorf("%v: exit code %d, want %d\n%s\n%s\nwant\n%s\n%s", r.Args, code, r.Code, gotOut, gotErr, r.Out, r.Err)
		}
	}
}
