package store

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// A data directory:
//
//	VERSION      "muster data directory, version 2"
//	LOCK         locked (flock) while a process uses the directory
//	session.key  encrypts the stored sessions
//	jetstream/   the NATS server's files
const (
	versionFile  = "VERSION"
	lockFile     = "LOCK"
	keyFile      = "session.key"
	jetstreamDir = "jetstream"
	versionText  = "muster data directory, version "

	// tempPrefix begins the names of files that are not yet whole.
	tempPrefix = ".muster-new-"
)

// A dataDir is a data directory that this process has locked.
type dataDir struct {
	path string
	lock *os.File
	key  [keyLen]byte
	was  int // its version when it was opened
}

func (d *dataDir) jetstream() string { return filepath.Join(d.path, jetstreamDir) }

// close lets others use the directory.
func (d *dataDir) close() error { return d.lock.Close() }

// openDataDir makes, locks and checks a data directory. key is the path of the
// key file, empty for the one in the directory.
func openDataDir(path, key string) (*dataDir, error) {
	if key == "" {
		key = filepath.Join(path, keyFile)
	}
	isNew, err := prepareDir(path)
	if err != nil {
		return nil, err
	}
	d := &dataDir{path: path}
	if d.lock, err = lock(filepath.Join(path, lockFile)); err != nil {
		return nil, err
	}
	if err := d.check(isNew, key); err != nil {
		return nil, errors.Join(err, d.lock.Close())
	}
	return d, nil
}

// check reads the version and the key, or writes them into a new directory.
// The version comes last: a directory without it is not finished.
func (d *dataDir) check(isNew bool, key string) (err error) {
	if isNew {
		if err := NewKeyFile(key); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := writeFile(filepath.Join(d.path, versionFile), versionText+strconv.Itoa(formatVersion)+"\n"); err != nil {
			return err
		}
		d.was = formatVersion
	} else if d.was, err = readVersionFile(d.path); err != nil {
		return err
	}
	if err := os.Chmod(d.path, 0o700); err != nil {
		return fmt.Errorf("closing the data directory to others: %w", err)
	}
	d.key, err = readKey(key)
	return err
}

// prepareDir makes the directory if need be. It reports whether the directory
// has yet to be filled, and refuses one with files that are not ours.
func prepareDir(path string) (isNew bool, err error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return false, fmt.Errorf("making the data directory: %w", err)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return false, fmt.Errorf("reading the data directory: %w", err)
	}
	foreign := ""
	for _, e := range entries {
		switch e.Name() {
		case versionFile:
			return false, nil
		case lockFile, keyFile: // a start that was cut short
		default:
			if !strings.HasPrefix(e.Name(), tempPrefix) {
				foreign = e.Name()
			}
		}
	}
	if foreign != "" {
		return false, fmt.Errorf("%s: %w: it has no file %s but holds %s; choose an empty or a new directory",
			path, ErrForeign, versionFile, foreign)
	}
	return true, nil
}

// readVersionFile returns the version of a directory that this program can read.
func readVersionFile(path string) (version int, err error) {
	name := filepath.Join(path, versionFile)
	b, err := os.ReadFile(name)
	if err != nil {
		return 0, fmt.Errorf("reading the version of the data directory: %w", err)
	}
	number, ours := strings.CutPrefix(strings.TrimSpace(string(b)), versionText)
	version, err = strconv.Atoi(number)
	switch {
	case !ours || err != nil || version < 1:
		return 0, fmt.Errorf("%s: %w: %s is not ours; choose an empty or a new directory", path, ErrForeign, versionFile)
	case version > formatVersion:
		return 0, fmt.Errorf("%s: %w: its format is version %d, this program knows %d; use the newer program, or another directory",
			path, ErrNewer, version, formatVersion)
	}
	return version, nil
}

// raise notes that the directory is of our version now: older programs refuse it
// from here on.
func (d *dataDir) raise() error {
	if d.was == formatVersion {
		return nil
	}
	name := filepath.Join(d.path, versionFile)
	if err := replaceFile(name, versionText+strconv.Itoa(formatVersion)+"\n"); err != nil {
		return err
	}
	d.was = formatVersion
	return nil
}

// lock takes the lock of the directory for this process.
func lock(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking the data directory: %s: %w", name, err)
		}
		holder := "another process"
		if b, err := os.ReadFile(name); err == nil && len(b) > 0 {
			holder = "process " + strings.TrimSpace(string(b))
		}
		return nil, fmt.Errorf("%s: %w by %s; stop it or choose another directory",
			filepath.Dir(name), ErrLocked, holder)
	}
	// For whoever finds it locked. A failure costs only that.
	if err := f.Truncate(0); err == nil {
		fmt.Fprintln(f, os.Getpid())
	}
	return f, nil
}

// NewKeyFile writes a new key for sessions to a file that only its owner can
// read. The error is fs.ErrExist if the file is there.
func NewKeyFile(name string) error {
	var key [keyLen]byte
	rand.Read(key[:]) // never fails: it ends the program instead
	return writeFile(name, hex.EncodeToString(key[:])+"\n")
}

// writeFile makes a file that only its owner can read, whole or not at all.
func writeFile(name, content string) error {
	if _, err := os.Lstat(name); err == nil {
		return fmt.Errorf("%s: %w", name, fs.ErrExist)
	}
	return replaceFile(name, content)
}

// replaceFile is writeFile over a file that is there.
func replaceFile(name, content string) error {
	f, err := os.CreateTemp(filepath.Dir(name), tempPrefix) // 0600
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	_, err = f.WriteString(content)
	if err == nil {
		err = f.Sync()
	}
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("writing %s: %w", name, err)
	}
	// So that the name survives the loss of power too. A file system that
	// cannot do it has no such promise to break.
	if dir, err := os.Open(filepath.Dir(name)); err == nil {
		_ = dir.Sync()
		dir.Close()
	}
	return nil
}

// readKey reads the key of sessions.
func readKey(name string) (key [keyLen]byte, err error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return key, fmt.Errorf("%w: %s is missing; put it back from a backup, or start with a new data directory "+
			"(devices then make a full handshake)", ErrKeyLost, name)
	}
	if err != nil {
		return key, fmt.Errorf("reading the key of the stored sessions: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return key, fmt.Errorf("reading the key of the stored sessions: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return key, fmt.Errorf("%w: %s has mode %04o; run chmod 600 %s", ErrOpenKey, name, info.Mode().Perm(), name)
	}
	text := make([]byte, 2*keyLen+2)
	n, _ := f.Read(text)
	if b, err := hex.DecodeString(strings.TrimSpace(string(text[:n]))); err == nil && len(b) == keyLen {
		return [keyLen]byte(b), nil
	}
	return key, fmt.Errorf("%w: %s does not hold %d hexadecimal digits; put it back from a backup",
		ErrWrongKey, name, 2*keyLen)
}
