package inventory

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A Change is something that a scan proposes for a file.
type Change struct {
	Name string `json:"name"`
	What string `json:"what"` // a phrase: "new", "moved from 1-1.4 to 1-1.5"
}

const head = `# The boards of this bench. "muster rig scan --write" adds to it and takes nothing
# out: rename boards, add pools, notes and power as you like, and keep comments.
# "muster rig validate" checks it; "muster rig schema" is for editors.
version: 1
boards:
`

// Merge returns the text of f with the boards that are plugged in, and what
// changed. Everything else stays as it is to the last byte: comments, order,
// boards that are not there. f may be empty: a new file at its Path.
func (f *File) Merge(found Boards) (text []byte, changes []Change, err error) {
	e := editor{lines: bytes.SplitAfter([]byte(head), []byte("\n"))}
	if len(f.text) > 0 {
		e.lines = bytes.SplitAfter(f.text, []byte("\n"))
	}
	if err := e.find(f.Path); err != nil {
		return nil, nil, err
	}
	seen := make(map[int]bool)
	var moved []Entry
	for _, entry := range f.Boards {
		s := f.Locate(entry, found)
		if s.Board == nil {
			continue
		}
		at := slices.IndexFunc(found.Boards, func(b Board) bool { return b.Path == s.Board.Path && b.Serial == s.Board.Serial })
		seen[at] = true
		if entry.USB != "" && s.Board.Path != "" && entry.USB != s.Board.Path {
			changes = append(changes, Change{entry.Name, fmt.Sprintf("moved from %s to %s", entry.USB, s.Board.Path)})
			entry.USB = s.Board.Path
			moved = append(moved, entry)
		}
	}
	for _, m := range moved {
		if err := e.move(m); err != nil {
			return nil, nil, err
		}
	}
	names := make(map[string]bool)
	for _, b := range f.Boards {
		names[b.Name] = true
	}
	for i, b := range found.Boards {
		if seen[i] {
			continue
		}
		name := newName(b, names)
		names[name] = true
		e.add(name, b)
		changes = append(changes, Change{name, "new"})
	}
	text = e.text()
	merged, err := Parse(f.Path, text)
	if err != nil || len(merged.Boards) != len(f.Boards)+len(changes)-len(moved) {
		return nil, nil, errors.Join(fmt.Errorf("%s: the boards that are plugged in do not go into it; write them by hand", f.Path), err)
	}
	return text, changes, nil
}

// newName makes a name such as boron-2.
func newName(b Board, taken map[string]bool) string {
	stem := strings.ToLower(strings.ReplaceAll(b.Platform, " ", "-"))
	for n := 1; ; n++ {
		if name := fmt.Sprintf("%s-%d", stem, n); !taken[name] {
			return name
		}
	}
}

// An editor changes a YAML text by lines, because writing it anew would lose
// blank lines and move comments.
type editor struct {
	lines  [][]byte
	boards *yaml.Node
	end    int // where lines of new boards go
	indent string
	added  [][]byte
}

func (e *editor) find(path string) error {
	var doc yaml.Node
	if err := yaml.Unmarshal(e.text(), &doc); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	root := doc.Content[0]
	e.indent, e.end = "  ", len(e.lines)
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value != "boards" {
			continue
		}
		e.boards = root.Content[i+1]
		if i+3 < len(root.Content) {
			next := root.Content[i+2]
			e.end = next.Line - 1
			if next.HeadComment != "" {
				e.end -= strings.Count(next.HeadComment, "\n") + 1
			}
		}
	}
	switch {
	case e.boards == nil:
		return fmt.Errorf("%s: it has no \"boards\"", path)
	case e.boards.Kind == yaml.MappingNode && e.boards.Style&yaml.FlowStyle != 0 && len(e.boards.Content) > 0:
		return fmt.Errorf("%s: \"boards\" is written on one line, in braces: write it as a block, a line each, and scan again", path)
	case e.boards.Kind == yaml.MappingNode && len(e.boards.Content) > 0:
		e.indent = strings.Repeat(" ", e.boards.Content[0].Column-1)
	default: // null or {}
		at := e.boards.Line - 1
		if e.boards.Kind == yaml.MappingNode {
			e.lines[at] = bytes.Replace(e.lines[at], []byte("{}"), nil, 1)
		} else if v := e.boards.Value; v != "" {
			e.lines[at] = append(e.lines[at][:e.boards.Column-1:e.boards.Column-1], e.lines[at][e.boards.Column-1+len(v):]...)
		}
	}
	return nil
}

// move writes another USB path over that of a board.
func (e *editor) move(entry Entry) error {
	board := value(e.boards, entry.Name)
	at := value(board, "usb")
	line, column := at.Line-1, at.Column-1
	old := at.Value
	if at.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		column++
	}
	l := e.lines[line]
	if column+len(old) > len(l) || string(l[column:column+len(old)]) != old {
		return fmt.Errorf("line %d: the USB path of %s is written in a way that cannot be changed here: write %s yourself", line+1, entry.Name, entry.USB)
	}
	e.lines[line] = slices.Concat(l[:column], []byte(entry.USB), l[column+len(old):])
	return nil
}

// add appends a board.
func (e *editor) add(name string, b Board) {
	line := func(format string, args ...any) {
		e.added = append(e.added, fmt.Appendf(nil, "%s"+format+"\n", append([]any{e.indent}, args...)...))
	}
	line("%s:", name)
	if b.Serial != "" {
		serial := b.Serial
		if b.DeviceID != "" {
			serial = b.DeviceID
		}
		line("  serial: %q", serial)
	}
	if b.Path != "" {
		line("  usb: %s", b.Path)
	}
	if len(b.Consoles) > 1 && b.Consoles[0].Interface >= 0 {
		line("  interface: %d # it has %d consoles", b.Consoles[0].Interface, len(b.Consoles))
	}
	line("  platform: %s", b.Platform)
	line("  pool: %s", strings.ToLower(strings.ReplaceAll(b.Platform, " ", "-")))
}

func (e *editor) text() []byte {
	if len(e.added) == 0 {
		return slices.Concat(e.lines...)
	}
	before := slices.Concat(e.lines[:e.end]...)
	if len(before) > 0 && before[len(before)-1] != '\n' {
		before = append(before, '\n')
	}
	return slices.Concat(before, slices.Concat(e.added...), slices.Concat(e.lines[e.end:]...))
}

// Write replaces the file at the path, all of it or nothing.
func Write(path string, text []byte) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".rigs-*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name()) // the first error is the one to tell
		}
	}()
	mode := os.FileMode(0o644)
	if old, err := os.Stat(path); err == nil {
		mode = old.Mode().Perm()
	}
	_, err = tmp.Write(text)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
