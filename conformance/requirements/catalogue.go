package requirements

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sync"

	"go.yaml.in/yaml/v3"
)

//go:embed *.yaml
var files embed.FS

// validID is the form of an id.
var validID = regexp.MustCompile(`^([RCDNAB]-|S)[1-9][0-9]*$`)

// A Catalogue is all requirements, claims first.
type Catalogue struct {
	all  []*Requirement
	byID map[string]*Requirement
}

// Load returns the catalogue that is built into the program. It is read once; the
// rows are shared and must not be changed.
var Load = sync.OnceValues(func() (*Catalogue, error) {
	var list []*Requirement
	for _, name := range []string{"claims.yaml", "transport.yaml", "application.yaml", "api.yaml", "bench.yaml"} {
		data, err := files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("requirements: %w", err)
		}
		rows, err := Parse(data)
		if err != nil {
			return nil, fmt.Errorf("requirements: %s: %w", name, err)
		}
		list = append(list, rows...)
	}
	return New(list)
})

// Parse reads the rows of one file. A field that does not exist, a word that is
// not known and a row that lacks something is an error that names line or id.
func Parse(data []byte) ([]*Requirement, error) {
	var file struct {
		Requirements []*Requirement `yaml:"requirements"`
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		return nil, err
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is a second document: a file has one list of requirements")
	}
	for i, r := range file.Requirements {
		if r == nil {
			return nil, fmt.Errorf("row %d is empty", i+1)
		}
		if err := r.check(); err != nil {
			return nil, err
		}
	}
	return file.Requirements, nil
}

// New makes a catalogue of rows that [Parse] has read, and checks what only all of them together
// tell.
func New(list []*Requirement) (*Catalogue, error) {
	c := &Catalogue{all: list, byID: make(map[string]*Requirement)}
	for _, r := range list {
		if c.byID[r.ID] != nil {
			return nil, fmt.Errorf("requirements: %s occurs twice", r.ID)
		}
		c.byID[r.ID] = r
	}
	for _, r := range list {
		for _, p := range r.Parents {
			if parent := c.byID[p]; parent == nil || !parent.IsClaim() {
				return nil, fmt.Errorf("requirements: %s: the parent %q is no claim", r.ID, p)
			}
		}
	}
	return c, nil
}

// All returns all requirements: claims, transport, application, API, bench, each in the order
// of its file.
func (c *Catalogue) All() []*Requirement { return c.all }

// Get returns the requirement of an id, nil if there is none.
func (c *Catalogue) Get(id string) *Requirement { return c.byID[id] }

// Children returns the requirements that have a claim as their parent.
func (c *Catalogue) Children(claim string) []*Requirement {
	var list []*Requirement
	for _, r := range c.all {
		for _, p := range r.Parents {
			if p == claim {
				list = append(list, r)
			}
		}
	}
	return list
}
