package record

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// The files of a run's folder.
const (
	RunFile     = "run.json"
	SamplesFile = "samples.jsonl"
)

// lineMax bounds a line of samples.jsonl: a sample has a few histograms of some
// kilobytes.
const lineMax = 4 << 20

// A Writer writes samples as they come, so that a killed run keeps what it saw.
type Writer struct {
	dir  string
	file *os.File
	buf  *bufio.Writer
	enc  *json.Encoder
}

// Create begins a run's folder, which it makes; samples of an earlier run in it
// are replaced.
func Create(dir string) (*Writer, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("record: making the folder of the run: %w", err)
	}
	_ = os.Remove(filepath.Join(dir, RunFile)) // of an earlier run: not ours
	f, err := os.Create(filepath.Join(dir, SamplesFile))
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	w := &Writer{dir: dir, file: f, buf: bufio.NewWriter(f)}
	w.enc = json.NewEncoder(w.buf)
	return w, nil
}

// Add writes a sample.
func (w *Writer) Add(s *Sample) error {
	if err := w.enc.Encode(s); err != nil {
		return fmt.Errorf("record: writing %s: %w", SamplesFile, err)
	}
	return nil
}

// Flush hands what was added to the system.
func (w *Writer) Flush() error { return w.buf.Flush() }

// Close ends the samples and writes the run.
func (w *Writer) Close(r *Run) error {
	r.Format = Format
	b, err := json.MarshalIndent(r, "", " ")
	if err == nil {
		err = os.WriteFile(filepath.Join(w.dir, RunFile+".new"), append(b, '\n'), 0o644)
	}
	if err == nil {
		err = os.Rename(filepath.Join(w.dir, RunFile+".new"), filepath.Join(w.dir, RunFile))
	}
	if err = errors.Join(err, w.buf.Flush(), w.file.Close()); err != nil {
		return fmt.Errorf("record: writing the run: %w", err)
	}
	return nil
}

// Load reads a run and its samples from a folder. Each histogram of a sample takes
// some 200 KiB: for long runs use Read.
func Load(dir string) (*Run, []Sample, error) {
	var list []Sample
	r, err := Read(dir, func(s *Sample) error {
		list = append(list, *s)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return r, list, nil
}

// Read reads a run from a folder and hands its samples to each, one at a time, in
// the order in which they were written. A run that was killed has samples only:
// what can be known of it is then made from them, and it is Interrupted. An error
// of each ends it.
func Read(dir string, each func(*Sample) error) (*Run, error) {
	r, err := ReadRun(dir)
	killed := errors.Is(err, os.ErrNotExist)
	if err != nil && !killed {
		return nil, err
	}
	f, openErr := os.Open(filepath.Join(dir, SamplesFile))
	switch {
	case openErr != nil && killed:
		return nil, fmt.Errorf("record: %s is no folder of a run: it has neither %s nor %s", dir, RunFile, SamplesFile)
	case openErr != nil:
		return nil, fmt.Errorf("record: %w", openErr)
	}
	defer f.Close()
	heard := each
	if killed {
		r = &Run{Format: Format, Interrupted: true, Verdict: Inconclusive, Why: "the run was killed before it could write its end"}
		heard = func(s *Sample) error {
			r.rebuild(s)
			return each(s)
		}
	}
	if err := readSamples(f, killed, heard); err != nil {
		return nil, fmt.Errorf("record: reading %s: %w", filepath.Join(dir, SamplesFile), err)
	}
	return r, nil
}

// ReadRun reads a run without its samples. The error is os.ErrNotExist when the run
// was killed, or there never was one.
func ReadRun(dir string) (*Run, error) {
	b, err := os.ReadFile(filepath.Join(dir, RunFile))
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	r := &Run{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("record: reading %s: %w", filepath.Join(dir, RunFile), err)
	}
	if r.Format < 1 || r.Format > Format {
		return nil, fmt.Errorf("record: %s has format %d and this program reads 1 to %d: use a newer muster", dir, r.Format, Format)
	}
	return r, nil
}

// rebuild adds what a sample tells to a run of which nothing else is known.
func (r *Run) rebuild(s *Sample) {
	if len(r.Phases) == 0 || r.Phases[len(r.Phases)-1].Name != s.Phase {
		r.Phases = append(r.Phases, Phase{Name: s.Phase, Start: s.At - s.Every})
	}
	last := &r.Phases[len(r.Phases)-1]
	last.End = max(last.End, s.At)
	r.Cell(s.Phase, s.Group).Add(&s.Tally)
	if s.Group == "" {
		return
	}
	if r.Levels == nil {
		r.Levels = make(map[string]map[Level]int64)
	}
	if r.Levels[s.Group] == nil {
		r.Groups = append(r.Groups, Group{Name: s.Group, Devices: int(s.Levels[Devices])})
	}
	r.Levels[s.Group] = s.Levels
}

// readSamples reads lines. With cut the last one may be incomplete.
func readSamples(r io.Reader, cut bool, each func(*Sample) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, lineMax)
	var wrong error
	for n := 1; lines.Scan(); n++ {
		if wrong != nil {
			return wrong
		}
		var s Sample
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			wrong = fmt.Errorf("line %d: %w", n, err)
			continue
		}
		if err := each(&s); err != nil {
			return err
		}
	}
	if wrong != nil && !cut {
		return wrong
	}
	return lines.Err()
}
