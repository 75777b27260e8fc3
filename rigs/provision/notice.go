package provision

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/muster/muster/protocol/pdc"
)

// A Notice tells everybody on this host that a board is owed its own server key, and
// by whom: journals are closed to others. It holds nothing of keys.
type Notice struct {
	Serial   string       `json:"serial,omitempty"`
	Path     string       `json:"usb_path,omitempty"`
	Platform pdc.Platform `json:"platform"`
	Cloud    string       `json:"cloud"` // that the board was pointed at
	Began    time.Time    `json:"began"`
	Owner    string       `json:"owner"`   // the user whose journal says what is owed
	Journal  string       `json:"journal"` // its folder
}

// String says what is owed, by whom, and what to do.
func (n *Notice) String() string {
	name := strings.ToLower(n.Serial)
	if name == "" {
		name = n.Path
	}
	s := fmt.Sprintf("%s %s is owed its own server key: it was pointed at %s on %s by %s", n.Platform, name, n.Cloud, n.Began.Local().Format("2006-01-02 15:04"), n.Owner)
	if n.Mine() {
		return s + fmt.Sprintf("; \"muster rig restore %s\" puts it back", name)
	}
	return s + fmt.Sprintf("; %s, or root, puts it back with \"muster rig restore %s\"", n.Owner, name)
}

// Mine reports whether the user of this process has the journal.
func (n *Notice) Mine() bool { return n.Owner == owner() }

// owner is the name of the user of this process.
func owner() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprintf("user %d", os.Getuid())
}

// Public has the journal tell everybody on this host, in a folder that everybody may
// write to, which boards are owed something.
func (j *Journal) Public(dir string) { j.notices = dir }

// announce tells that a board is owed something. Nothing depends on it: what is owed
// is in the journal.
func (j *Journal) announce(key string, r *Record) {
	if j.notices == "" || r.Server == nil {
		return
	}
	n := Notice{Serial: r.Serial, Path: r.Path, Platform: r.Platform, Cloud: r.Cloud, Began: r.Began, Owner: owner(), Journal: j.dir}
	b, err := json.Marshal(n)
	if err != nil || os.MkdirAll(j.notices, 0o777) != nil {
		return
	}
	_ = os.Chmod(j.notices, 0o777|os.ModeSticky) // not ours: then it is right already
	name := filepath.Join(j.notices, key+suffix)
	if os.WriteFile(name+".new", append(b, '\n'), 0o644) == nil { //nolint:gosec // it is for everybody
		_ = os.Rename(name+".new", name)
	}
}

func (j *Journal) withdraw(key string) {
	if j.notices != "" {
		_ = os.Remove(filepath.Join(j.notices, key+suffix)) // it may never have been there
	}
}

// Notices returns what boards of this host are owed, by anybody. What cannot be read
// is left out: somebody may be writing it.
func Notices(dir string) []*Notice {
	names, _ := filepath.Glob(filepath.Join(dir, "*"+suffix))
	var all []*Notice
	for _, name := range names {
		b, err := os.ReadFile(name)
		n := new(Notice)
		if err == nil && json.Unmarshal(b, n) == nil && n.Owner != "" {
			all = append(all, n)
		}
	}
	return all
}

// An OwedByOtherError says that a board is owed its own server key by somebody else:
// what it has now is not its own, and must not be saved as if it were.
type OwedByOtherError struct{ Notice *Notice }

// Error says who has to pay.
func (e *OwedByOtherError) Error() string { return e.Notice.String() + ". Nothing was done to it" }

// otherOwes returns an error if somebody else owes the board something.
func (j *Journal) otherOwes(key string) error {
	if j.notices == "" {
		return nil
	}
	b, err := os.ReadFile(filepath.Join(j.notices, key+suffix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	n := new(Notice)
	if err != nil || json.Unmarshal(b, n) != nil || n.Mine() {
		return nil //nolint:nilerr // who cannot be named is no reason to refuse
	}
	return &OwedByOtherError{n}
}
