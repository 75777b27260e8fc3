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

// Load reads a run and its samples from a folder.
func Load(dir string) (*Run, []Sample, error) {
	b, err := os.ReadFile(filepath.Join(dir, RunFile))
	if err != nil {
		return nil, nil, fmt.Errorf("record: %s is no folder of a run: %w", dir, err)
	}
	r := &Run{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, nil, fmt.Errorf("record: reading %s: %w", filepath.Join(dir, RunFile), err)
	}
	if r.Format < 1 || r.Format > Format {
		return nil, nil, fmt.Errorf("record: %s has format %d and this program reads 1 to %d: use a newer muster", dir, r.Format, Format)
	}
	f, err := os.Open(filepath.Join(dir, SamplesFile))
	if err != nil {
		return nil, nil, fmt.Errorf("record: %w", err)
	}
	defer f.Close()
	samples, err := readSamples(f)
	if err != nil {
		return nil, nil, fmt.Errorf("record: reading %s: %w", filepath.Join(dir, SamplesFile), err)
	}
	return r, samples, nil
}

func readSamples(r io.Reader) (list []Sample, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, lineMax)
	for n := 1; lines.Scan(); n++ {
		var s Sample
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		list = append(list, s)
	}
	return list, lines.Err()
}
