package provision

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/rigs/dfu"
	"github.com/muster/muster/rigs/handle"
	"github.com/muster/muster/rigs/inventory"
)

const recordVersion = 1

// suffix of the files of a journal.
const suffix = ".json"

// A Record is what is owed to one board: the memory to put back. It holds the
// board's private key; it goes to its file and nowhere else.
type Record struct {
	Version   int          `json:"version"`
	Serial    string       `json:"serial,omitempty"` // of the running board
	Path      string       `json:"usb_path,omitempty"`
	Platform  pdc.Platform `json:"platform"`
	Transport string       `json:"transport"`
	Cloud     string       `json:"cloud"` // that the board was pointed at
	Began     time.Time    `json:"began"`
	By        string       `json:"by"`
	// Leased says that it was provisioned under a lease that outlives its command:
	// when that has ended the board gets back what it had.
	Leased bool `json:"leased,omitempty"`
	// Server and Device are what the board had; nil: it was not read yet, so
	// nothing was written either.
	Server *Saved `json:"server,omitempty"`
	Device *Saved `json:"device,omitempty"`
}

// Saved is a range of a board's memory, as it was.
type Saved struct {
	Alt     int    `json:"alt"`
	Address uint32 `json:"address"`
	Data    []byte `json:"data"`
	SHA256  string `json:"sha256"` // of Data: what was damaged on disk is not written to a board
}

func saved(r dfu.Region, data []byte) *Saved {
	sum := sha256.Sum256(data)
	return &Saved{r.Alt, r.Address, data, hex.EncodeToString(sum[:])}
}

func (s *Saved) write() dfu.Write {
	return dfu.Write{Region: dfu.Region{Alt: s.Alt, Address: s.Address, Size: len(s.Data)}, Data: s.Data}
}

// String names the board of the record, and nothing of its keys.
func (r *Record) String() string {
	name := strings.ToLower(r.Serial)
	if name == "" {
		name = "at USB " + r.Path
	}
	return fmt.Sprintf("%s %s", r.Platform, name)
}

// A Journal is a folder of records. Only its owner can enter it.
type Journal struct {
	dir     string
	notices string // folder that everybody reads, see Public; empty: none
}

// DefaultDir is where the journal of this user's programs belongs: with a bench
// of its own ([inventory.RootVariable]), there.
func DefaultDir() string {
	if root := inventory.Root(); root != "" {
		return filepath.Join(root, "journal")
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "muster", "rig", "provision")
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "state", "muster", "rig", "provision")
	}
	return "muster-provision"
}

// OpenJournal opens the journal in a folder, which it makes if need be.
func OpenJournal(dir string) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the journal of provisioned boards: %w", err)
	}
	// It may have been made by somebody with another opinion.
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a folder needs the x
		return nil, fmt.Errorf("the journal of provisioned boards holds private keys, and %s cannot be closed to others: %w", dir, err)
	}
	return &Journal{dir: dir}, nil
}

// key is the name of a board's files.
func key(serial, path string) string {
	if serial != "" {
		return strings.ToLower(safe(serial))
	}
	return "usb-" + safe(path)
}

// safe makes a file name of a name.
func safe(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '-', r == '.' && s != "." && s != "..":
			return r
		}
		return '_'
	}, s)
}

func (j *Journal) file(key string) string { return filepath.Join(j.dir, key+suffix) }

// load returns a record, nil if nothing is owed.
func (j *Journal) load(key string) (*Record, error) {
	b, err := os.ReadFile(j.file(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // nothing is owed, and nothing is wrong
	}
	if err != nil {
		return nil, fmt.Errorf("the journal: %w", err)
	}
	var r Record
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("the journal: %s is damaged, and it may hold the only copy of a board's keys: keep it: %w", j.file(key), err)
	}
	if r.Version != recordVersion {
		return nil, fmt.Errorf("the journal: %s is of version %d: use the muster that wrote it", j.file(key), r.Version)
	}
	for _, s := range []*Saved{r.Server, r.Device} {
		if s == nil {
			continue
		}
		sum := sha256.Sum256(s.Data)
		if hex.EncodeToString(sum[:]) != s.SHA256 {
			return nil, fmt.Errorf("the journal: what %s holds for the board is damaged, and is not written to it: keep the file", j.file(key))
		}
	}
	return &r, nil
}

// save puts a record on disk, all of it or nothing, before it returns.
func (j *Journal) save(key string, r *Record) (err error) {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("the journal cannot be written, so the board was left alone: %w", err)
		}
	}()
	f, err := os.OpenFile(j.file(key)+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), j.file(key)); err != nil {
		return err
	}
	j.announce(key, r)
	return j.sync()
}

// remove forgets a record that is paid.
func (j *Journal) remove(key string) error {
	if err := os.Remove(j.file(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the journal: %w", err)
	}
	j.withdraw(key)
	return j.sync()
}

// keep puts a record aside: it is no longer owed, and holds what is nowhere else.
func (j *Journal) keep(key string) (string, error) {
	to := filepath.Join(j.dir, fmt.Sprintf("%s.kept-%s", key, time.Now().UTC().Format("20060102T150405")))
	if err := os.Rename(j.file(key), to); err != nil {
		return "", fmt.Errorf("the journal: %w", err)
	}
	j.withdraw(key)
	return to, j.sync()
}

// sync makes renames last.
func (j *Journal) sync() error {
	d, err := os.Open(j.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Owed returns the records of all boards that are owed something, by name of
// their files. Files that cannot be read are told in the error, and the others
// returned all the same.
func (j *Journal) Owed() (all []*Record, err error) {
	names, err := filepath.Glob(filepath.Join(j.dir, "*"+suffix))
	for _, name := range names {
		r, failed := j.load(strings.TrimSuffix(filepath.Base(name), suffix))
		if r != nil {
			all = append(all, r)
		}
		err = errors.Join(err, failed)
	}
	return all, err
}

// OwedTo reports whether a board is owed something.
func (j *Journal) OwedTo(b *handle.Board) (*Record, error) {
	if b.Serial != "" {
		if r, err := j.load(key(b.Serial, "")); r != nil || err != nil {
			return r, err
		}
	}
	// It may have begun, or be now, in DFU mode without a serial number.
	all, err := j.Owed()
	for _, r := range all {
		unknown := b.Serial == "" || r.Serial == ""
		if unknown && r.Path == b.Path && r.Platform == b.Platform && b.Path != "" {
			return r, nil
		}
	}
	return nil, err
}
