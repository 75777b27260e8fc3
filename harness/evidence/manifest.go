package evidence

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/muster/muster/harness/report"
)

// ManifestVersion is the version of the form of manifest.json. It grows when a
// field changes its meaning or goes.
const ManifestVersion = 1

const manifestFile = "manifest.json"

// A Manifest says what a bundle is of.
type Manifest struct {
	Format   int           `json:"format"` // ManifestVersion
	Tool     string        `json:"tool"`   // "muster conform"
	Version  string        `json:"version"`
	Started  time.Time     `json:"started"`
	Duration time.Duration `json:"duration_ns"`
	Seed     uint64        `json:"seed"`
	// Arguments are what repeats the run: those of the sub-command, with the seed,
	// and without Withheld.
	Arguments []string `json:"arguments"`
	// Withheld are flags that held secrets: a replay has to be given them again.
	Withheld []string `json:"withheld,omitempty"`
	Cloud    string   `json:"cloud"`
	Device   string   `json:"device"`
	Verdict  string   `json:"verdict"`
	Exit     int      `json:"exit_code"`

	Build    map[string]string `json:"build"` // of the program and the machine
	Modules  map[string]string `json:"modules"`
	Evidence report.Evidence   `json:"evidence"`
	Files    []File            `json:"files"`
}

// A File is one file of a bundle.
type File struct {
	Name  string `json:"name"`
	Size  int64  `json:"size"` // in bytes
	About string `json:"about"`
}

// describe fills in what the program knows of itself.
func (m *Manifest) describe() {
	m.Format = ManifestVersion
	m.Build = map[string]string{"go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH, "cpus": fmt.Sprint(runtime.NumCPU())}
	m.Modules = make(map[string]string)
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return
	}
	for _, s := range info.Settings {
		if strings.HasPrefix(s.Key, "vcs.") {
			m.Build[s.Key] = s.Value
		}
	}
	for _, d := range info.Deps {
		m.Modules[d.Path] = d.Version
	}
}

// A Bundle is one that was written, opened for reading.
type Bundle struct {
	Manifest Manifest
	// Report is the run's.
	Report *report.Run
	// Networks are the virtual networks, in order.
	Networks []NetworkLine

	close func() error
}

// Open opens a bundle: its folder, the manifest in it, or a zip archive of it. The
// error says what to do.
func Open(name string) (*Bundle, error) {
	files, closer, err := open(name)
	if err != nil {
		return nil, err
	}
	b := &Bundle{close: closer}
	if err := b.read(files); err != nil {
		return nil, errors.Join(fmt.Errorf("evidence: %s: %w", name, err), closer())
	}
	return b, nil
}

// Close lets go of the files.
func (b *Bundle) Close() error { return b.close() }

func open(name string) (fs.FS, func() error, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("evidence: there is no bundle: %w", err)
	case info.IsDir():
		return os.DirFS(name), func() error { return nil }, nil
	case filepath.Base(name) == manifestFile:
		return os.DirFS(filepath.Dir(name)), func() error { return nil }, nil
	}
	archive, err := zip.OpenReader(name)
	if err != nil {
		return nil, nil, fmt.Errorf("evidence: %s is neither the folder of a bundle nor a zip archive of one: %w", name, err)
	}
	files, err := within(archive)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("evidence: %s: %w", name, err), archive.Close())
	}
	return files, archive.Close, nil
}

// within finds the folder of the bundle in an archive.
func within(archive *zip.ReadCloser) (fs.FS, error) {
	for _, f := range archive.File {
		if path.Base(f.Name) == manifestFile {
			return fs.Sub(archive, path.Dir(f.Name))
		}
	}
	return nil, errors.New("no " + manifestFile + " in it: it is no archive of a bundle")
}

// readMax bounds a file that is read whole, in bytes.
const readMax = 256 << 20

func (b *Bundle) read(files fs.FS) error {
	text, err := readFile(files, manifestFile)
	if err != nil {
		return fmt.Errorf("this is no bundle: %w", err)
	}
	if err := json.Unmarshal(text, &b.Manifest); err != nil {
		return fmt.Errorf("%s: %w", manifestFile, err)
	}
	switch {
	case b.Manifest.Format == 0:
		return errors.New("the bundle is not complete: the run that wrote it was broken off")
	case b.Manifest.Format > ManifestVersion:
		return fmt.Errorf("the bundle has form %d and this program knows %d: use the newer muster that wrote it", b.Manifest.Format, ManifestVersion)
	}
	if text, err = readFile(files, reportFile); err != nil {
		return err
	}
	if b.Report, err = report.ReadJSON(strings.NewReader(string(text))); err != nil {
		return err
	}
	if text, err = readFile(files, virtualFile); err != nil {
		return err
	}
	for decoder := json.NewDecoder(strings.NewReader(string(text))); ; {
		var line NetworkLine
		switch err := decoder.Decode(&line); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", virtualFile, err)
		}
		b.Networks = append(b.Networks, line)
	}
}

func readFile(files fs.FS, name string) ([]byte, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, readMax))
	return text, errors.Join(err, f.Close())
}
