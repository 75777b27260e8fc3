package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// openFails opens a store that must not open, and returns why.
func openFails(t *testing.T, c Config, want error) string {
	t.Helper()
	s, err := Open(t.Context(), c)
	if err == nil {
		s.Close()
		t.Fatalf("opened, want %v", want)
	}
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
	t.Log(err)
	return err.Error()
}

func write1(t *testing.T, name, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}

func TestDirectoryOfOthers(t *testing.T) {
	dir := t.TempDir()
	write1(t, filepath.Join(dir, "thesis.tex"), "years of work", 0o644)
	openFails(t, Config{Dir: dir}, ErrForeign)
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("the directory now holds %v", left)
	}
	write1(t, filepath.Join(dir, versionFile), "PostgreSQL 18\n", 0o600)
	openFails(t, Config{Dir: dir}, ErrForeign)

	file := filepath.Join(t.TempDir(), "file")
	write1(t, file, "", 0o644)
	openFails(t, Config{Dir: file}, syscall.ENOTDIR)
}

func TestDirectoryOfANewerVersion(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, Config{Dir: dir}).Close()
	write1(t, filepath.Join(dir, versionFile), fmt.Sprintf("%s%d\n", versionText, formatVersion+1), 0o600)
	if why := openFails(t, Config{Dir: dir}, ErrNewer); !strings.Contains(why, "use the newer program") {
		t.Error("it does not say what to do")
	}
}

func TestDirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, Config{Dir: dir})
	openFails(t, Config{Dir: dir}, ErrLocked)
	if err := s.Do(t.Context(), PutDevice(device(1))); err != nil {
		t.Errorf("the first user suffers: %v", err)
	}
	s.Close()
	mustOpen(t, Config{Dir: dir}).Close()
}

func TestKeyFile(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, keyFile)
	s := mustOpen(t, Config{Dir: dir})
	if err := s.Do(t.Context(), PutDevice(device(1))); err != nil {
		t.Fatal(err)
	}
	if err := s.Do(t.Context(), PutSession(session(1))); err != nil {
		t.Fatal(err)
	}
	s.Close()
	good, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}

	os.Rename(key, key+".bak")
	openFails(t, Config{Dir: dir}, ErrKeyLost)
	if err := NewKeyFile(key); err != nil {
		t.Fatal(err)
	}
	// The key is there, and says that it is another.
	if why := openFails(t, Config{Dir: dir}, ErrWrongKey); strings.Contains(why, "lost") {
		t.Error(why)
	}
	write1(t, key, "not a key", 0o600)
	if why := openFails(t, Config{Dir: dir}, ErrWrongKey); strings.Contains(why, "lost") || !strings.Contains(why, "64 hexadecimal digits") {
		t.Error(why)
	}
	write1(t, key, string(good), 0o640)
	if why := openFails(t, Config{Dir: dir}, ErrOpenKey); strings.Contains(why, strings.TrimSpace(string(good))) {
		t.Error("the error tells the key")
	}
	os.Chmod(key, 0o600)
	s = mustOpen(t, Config{Dir: dir})
	defer s.Close()
	if _, err := s.Session(t.Context(), deviceID(1)); err != nil {
		t.Errorf("with the right key: %v", err)
	}
	if err := NewKeyFile(key); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a new key over the old one: %v, want fs.ErrExist", err)
	}
}

// TestAStartCutShort leaves what a start leaves that was killed before it wrote
// the version.
func TestAStartCutShort(t *testing.T) {
	dir := t.TempDir()
	write1(t, filepath.Join(dir, lockFile), "1\n", 0o600)
	write1(t, filepath.Join(dir, tempPrefix+"1"), "", 0o600)
	if err := NewKeyFile(filepath.Join(dir, keyFile)); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, Config{Dir: dir}).Close()
}

func TestDirectoryThatCannotBeWritten(t *testing.T) {
	if os.Geteuid() == 0 {
		// Root may write everywhere but where there is nothing to write.
		openFails(t, Config{Dir: "/proc/muster"}, fs.ErrNotExist)
		return
	}
	dir := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	openFails(t, Config{Dir: filepath.Join(dir, "data")}, fs.ErrPermission)
	openFails(t, Config{Dir: dir}, fs.ErrPermission)
}

func TestNothingIsReadableByOthersNorInClear(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	x := openTest(t, Config{Dir: dir})
	s := session(1)
	s.Record = bytes.Repeat([]byte("MASTER SECRET "), 20)
	code := strings.Repeat("C", 63)
	x.want(nil, x.Do(x.ctx, PutDevice(device(1))))
	x.want(nil, x.Do(x.ctx, PutSession(s)))
	x.want(nil, x.PutClaimCode(x.ctx, code, alice, x.backend.now().Add(1e12)))
	_, err := x.claim(code, 1, x.backend.now())
	x.want(nil, err)
	x.want(nil, x.Close())

	files, devices := 0, 0
	x.want(nil, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 && path == dir || !d.IsDir() && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if d.IsDir() {
			return nil
		}
		files++
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte("MASTER SECRET")) || bytes.Contains(b, []byte(code)) {
			t.Errorf("%s holds a secret in clear", path)
		}
		if bytes.Contains(b, []byte("device-1")) {
			devices++
		}
		return err
	}))
	if files < 5 || devices == 0 {
		t.Errorf("%d files, %d with the device: the test tests nothing", files, devices)
	}
}

func TestADiskThatIsNearlyFull(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, Config{Dir: dir}).Close()
	s, err := Open(t.Context(), Config{Dir: dir, FreeBytesMin: 1 << 60})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Do(t.Context(), PutDevice(device(1))); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	} else {
		t.Log(err)
	}
	if _, err := s.PutImage(t.Context(), []byte("x")); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
	if err := s.Do(t.Context(), Append(Event{})); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
	if _, ok := s.Identify(FingerprintOf(spki(1))); ok {
		t.Error("a device that was not written has its key")
	}
	// There is space again.
	s.backend.(*jet).requests.space.free = 0
	s.backend.(*jet).requests.space.checked.Store(0)
	if err := s.Do(t.Context(), PutDevice(device(1))); err != nil {
		t.Error(err)
	}
}

func TestConfigMustNameOnePlace(t *testing.T) {
	for _, c := range []Config{{}, {Dir: "x", URL: "nats://localhost"}, {URL: "nats://localhost"}} {
		if s, err := Open(context.Background(), c); err == nil {
			s.Close()
			t.Errorf("%+v: opened", c)
		}
	}
}
