package inventory

import (
	"bytes"
	_ "embed" // the schema
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// Schema is the JSON schema of rigs.yaml, for editors.
//
//go:embed rigs.schema.json
var Schema []byte

var schema = func() *jsonschema.Schema {
	const url = "rigs.schema.json"
	var doc any
	if err := json.Unmarshal(Schema, &doc); err != nil {
		panic("inventory: the schema: " + err.Error())
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(url, doc); err != nil {
		panic("inventory: the schema: " + err.Error())
	}
	return c.MustCompile(url)
}()

// An Entry is one board of a bench, as rigs.yaml has it.
type Entry struct {
	Name      string  `yaml:"-" json:"name"`
	Serial    string  `yaml:"serial" json:"serial,omitempty"`       // USB serial number
	USB       string  `yaml:"usb" json:"usb,omitempty"`             // USB path
	Interface *int    `yaml:"interface" json:"interface,omitempty"` // of the console; nil: the first
	Platform  string  `yaml:"platform" json:"platform,omitempty"`
	DeviceOS  string  `yaml:"device_os" json:"device_os,omitempty"`
	Pool      string  `yaml:"pool" json:"pool,omitempty"`
	Notes     string  `yaml:"notes" json:"notes,omitempty"`
	Console   Dialog  `yaml:"console" json:"console"`
	Touch     Touches `yaml:"touch" json:"touch"`
	Power     Power   `yaml:"power" json:"power"`

	line int
}

// Dialog is how to talk to a console.
type Dialog struct {
	Speed    int    `yaml:"speed" json:"speed,omitempty"`       // in baud; 0: 9600
	Commands bool   `yaml:"commands" json:"commands,omitempty"` // the application takes lines
	Reset    string `yaml:"reset" json:"reset,omitempty"`       // makes the application restart the board
}

// Touches are the speeds in baud that mean something to a board; 0: 14,400 and
// 28,800.
type Touches struct {
	DFU    int `yaml:"dfu" json:"dfu,omitempty"`
	Listen int `yaml:"listen" json:"listen,omitempty"`
}

// Power is how to reset a board and to cut its power.
type Power struct {
	Control *bool    `yaml:"control" json:"control,omitempty"` // nil: yes
	Lines   *Lines   `yaml:"lines" json:"lines,omitempty"`
	Relay   *Switch  `yaml:"relay" json:"relay,omitempty"`
	Hub     *bool    `yaml:"hub" json:"hub,omitempty"` // nil: yes
	PDU     *Switch  `yaml:"pdu" json:"pdu,omitempty"`
	Person  *bool    `yaml:"person" json:"person,omitempty"` // nil: yes
	Off     Duration `yaml:"off" json:"off,omitempty"`       // 0: 3 s
	Battery bool     `yaml:"battery" json:"battery,omitempty"`
}

// Lines are a serial adapter whose modem line is wired to the reset pin.
type Lines struct {
	Adapter  string   `yaml:"adapter" json:"adapter"` // serial number, USB path or port
	Line     string   `yaml:"line" json:"line"`       // dtr or rts
	Inverted bool     `yaml:"inverted" json:"inverted,omitempty"`
	Hold     Duration `yaml:"hold" json:"hold,omitempty"` // 0: 200 ms
}

// A Switch is two commands: programs and their arguments.
type Switch struct {
	Off []string `yaml:"off" json:"off"`
	On  []string `yaml:"on" json:"on"`
}

// A Duration is a time.Duration that YAML has as "3s".
type Duration time.Duration

// UnmarshalYAML implements yaml.Unmarshaler.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	*d = Duration(v)
	return err
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// A File is a rigs.yaml.
type File struct {
	Path   string
	Boards []Entry // in the order of the file
	text   []byte
}

// A FileError lists what is wrong with a rigs.yaml, a line each.
type FileError struct {
	Path     string
	Problems []string
}

// Error returns the problems.
func (e *FileError) Error() string {
	return e.Path + ": " + strings.Join(e.Problems, "\n"+e.Path+": ")
}

// Usage marks it as the user's to mend.
func (e *FileError) Usage() {}

// ErrNoFile is in the error of Load when there is no file.
var ErrNoFile = errors.New(`there is no such file: "muster rig scan --write" makes one of the boards that are plugged in`)

// Load reads a rigs.yaml. The error is a [*FileError] if its content is at fault.
func Load(path string) (*File, error) {
	// A pipe would be waited for, maybe for ever, and can be read once only.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return nil, &FileError{path, []string{"it is a pipe or a device: the boards of a bench need a file, which is read again and again"}}
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", path, ErrNoFile)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the boards of the bench: %w", err)
	}
	return Parse(path, text)
}

// maxFile is the size in bytes up to which a rigs.yaml is read.
const maxFile = 4 << 20

// Parse is Load for a text that was read.
func Parse(path string, text []byte) (*File, error) {
	fail := func(problems ...string) (*File, error) { return nil, &FileError{path, problems} }
	if len(text) > maxFile {
		return fail("it has more than 4 MiB: that is no rigs.yaml")
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return fail(lines(err)...)
	}
	if len(doc.Content) == 0 {
		return fail(`it is empty: "muster rig scan --write" fills it`)
	}
	root := doc.Content[0]
	var plain any
	if err := root.Decode(&plain); err != nil { // a key that is there twice, for one
		return fail(lines(err)...)
	}
	if problems := check(root, plain); len(problems) > 0 {
		return fail(problems...)
	}
	f := &File{Path: path, text: text}
	names, boards := value(root, "boards"), map[string]Entry{}
	if names != nil && names.Kind == yaml.MappingNode {
		if err := names.Decode(&boards); err != nil {
			return fail(lines(err)...)
		}
		for i := 0; i+1 < len(names.Content); i += 2 {
			e := boards[names.Content[i].Value]
			e.Name, e.line = names.Content[i].Value, names.Content[i].Line
			f.Boards = append(f.Boards, e)
		}
	}
	if problems := f.contradictions(); len(problems) > 0 {
		return fail(problems...)
	}
	return f, nil
}

// lines are what the YAML library finds wrong.
func lines(err error) (all []string) {
	for _, l := range strings.Split(strings.TrimPrefix(err.Error(), "yaml: "), "\n") {
		if l = strings.TrimSpace(l); l != "unmarshal errors:" {
			all = append(all, l)
		}
	}
	return all
}

// check holds the content against the schema and returns what is wrong, each
// with its line.
func check(root *yaml.Node, plain any) []string {
	// The validator knows what JSON has.
	b, err := json.Marshal(plain)
	if err != nil {
		return []string{"a key is no text: " + err.Error()}
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return []string{err.Error()}
	}
	err = schema.Validate(doc)
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return nil
	}
	return problemsOf(root, invalid)
}

// value returns what a mapping or a sequence has under a key.
func value(n *yaml.Node, key string) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// contradictions returns what no schema can say.
func (f *File) contradictions() []string {
	var problems []string
	for i, a := range f.Boards {
		for _, b := range f.Boards[i+1:] {
			switch {
			case a.Serial != "" && strings.EqualFold(a.Serial, b.Serial) && (a.USB == "" || b.USB == "" || a.USB == b.USB):
				problems = append(problems, fmt.Sprintf("line %d: %s has the serial number of %s (line %d): if there are two such boards, both need a \"usb\" path of their own; else take one out", b.line, b.Name, a.Name, a.line))
			case (a.Serial == "" || b.Serial == "") && a.USB != "" && a.USB == b.USB:
				problems = append(problems, fmt.Sprintf("line %d: %s is at the USB path of %s (line %d), and one of them is known by nothing else: give both a \"serial\"", b.line, b.Name, a.Name, a.line))
			}
		}
	}
	return problems
}

// Entry returns the board of a name.
func (f *File) Entry(name string) (Entry, error) {
	for _, e := range f.Boards {
		if e.Name == name {
			return e, nil
		}
	}
	var names []string
	for _, e := range f.Boards {
		names = append(names, e.Name)
	}
	if len(f.text) == 0 {
		return Entry{}, unknownError(fmt.Sprintf("there is no %s that names a board %q", f.Path, name))
	}
	return Entry{}, unknownError(fmt.Sprintf("%s has no board %q; it has %s", f.Path, name, orNone(names)))
}

// An unknownError says that a name is not in the file.
type unknownError string

func (e unknownError) Error() string { return string(e) }

// Usage marks it as the user's to mend.
func (unknownError) Usage() {}

// Pool returns the boards of a pool.
func (f *File) Pool(name string) ([]Entry, error) {
	var list []Entry
	var pools []string
	for _, e := range f.Boards {
		if e.Pool == name {
			list = append(list, e)
		}
		if e.Pool != "" && !slices.Contains(pools, e.Pool) {
			pools = append(pools, e.Pool)
		}
	}
	if len(list) == 0 {
		return nil, unknownError(fmt.Sprintf("%s has no pool %q; it has %s", f.Path, name, orNone(pools)))
	}
	return list, nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
