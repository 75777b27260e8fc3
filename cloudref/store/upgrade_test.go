package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// anOlder makes a data directory of an older format, by writing its numbers: what
// lies in it is read as it is.
func anOlder(t *testing.T, version int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s := mustOpen(t, Config{Dir: dir})
	for _, op := range []Op{PutDevice(device(1)), PutSession(session(1))} {
		if err := s.Do(t.Context(), op); err != nil {
			t.Fatal(err)
		}
	}
	setFormat(t, s, version)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	setVersionFile(t, dir, version)
	return dir
}

func setFormat(t *testing.T, s *Store, version int) {
	t.Helper()
	f := format{Version: version, KeyID: s.sealer.keyID()}
	if _, err := s.put(t.Context(), write{bucket: bucketMeta, key: formatKey, value: f.encode()}); err != nil {
		t.Fatal(err)
	}
}

func setVersionFile(t *testing.T, dir string, version int) {
	t.Helper()
	write1(t, filepath.Join(dir, versionFile), versionText+strconv.Itoa(version)+"\n", 0o600)
}

func wantVersionFile(t *testing.T, dir string, version int) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, versionFile))
	if err != nil || string(b) != versionText+strconv.Itoa(version)+"\n" {
		t.Errorf("VERSION holds %q, %v, want version %d", b, err, version)
	}
}

// An older directory is upgraded once, and says so.
func TestUpgrade(t *testing.T) {
	dir := anOlder(t, 1)
	var said []string
	c := Config{Dir: dir, Warn: func(s string) { said = append(said, s) }}
	for range 2 {
		s := mustOpen(t, c)
		if _, err := s.Session(t.Context(), deviceID(1)); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		wantVersionFile(t, dir, formatVersion)
	}
	if len(said) != 1 || !strings.Contains(said[0], "from format 1 to "+strconv.Itoa(formatVersion)) {
		t.Errorf("it said %q", said)
	}
}

// An upgrade that fails, or is killed, loses nothing and is made again.
func TestUpgradeCutShort(t *testing.T) {
	dir := anOlder(t, 1)
	steps, broken := 0, errors.New("the disk is broken")
	upgrades[1] = func(context.Context, *jet) error {
		steps++
		if steps == 1 {
			return broken
		}
		return nil
	}
	defer delete(upgrades, 1)
	if why := openFails(t, Config{Dir: dir}, broken); !strings.Contains(why, "upgrading from format 1 to 2") || !strings.Contains(why, "start again") {
		t.Error("it does not say what happened and what to do")
	}
	wantVersionFile(t, dir, 1)
	mustOpen(t, Config{Dir: dir}).Close()
	wantVersionFile(t, dir, formatVersion)
	// Killed before the file was written: the state says that it is done.
	setVersionFile(t, dir, 1)
	s := mustOpen(t, Config{Dir: dir})
	defer s.Close()
	wantVersionFile(t, dir, formatVersion)
	if _, err := s.Session(t.Context(), deviceID(1)); err != nil || steps != 2 {
		t.Errorf("%v after %d steps, want 2", err, steps)
	}
}

// State of a newer format, or of none, is refused, also where no file says so: in a
// NATS cluster there is none.
func TestStateOfAnotherFormat(t *testing.T) {
	for version, want := range map[int]error{formatVersion + 1: ErrNewer, 0: ErrForeign} {
		dir := t.TempDir()
		s := mustOpen(t, Config{Dir: dir})
		setFormat(t, s, version)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		openFails(t, Config{Dir: dir}, want)
	}
}
