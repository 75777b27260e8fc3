package target

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/muster/muster/sim/profile"
)

// LoadSpec reads a target file. Fields that do not exist, words that are not known
// and parts that exclude one another are errors, which name the line or the field.
// Paths in it are relative to its folder.
func LoadSpec(file string) (*Spec, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("the target: %w", err)
	}
	s := new(Spec)
	if err := ReadYAML(b, Schema, s); err != nil {
		return nil, fmt.Errorf("the target %s: %w", file, err)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("the target %s: %w", file, err)
	}
	s.locate(filepath.Dir(file))
	return s, nil
}

// check reports what no schema can say.
func (s *Spec) check() error {
	d := s.Device
	switch {
	case d == nil:
		return nil
	case d.Process != nil && d.Rig != "":
		return errors.New("device: process and rig exclude one another")
	case d.Profile != "":
		if _, err := profile.Lookup(d.Profile); err != nil {
			return fmt.Errorf("device: profile: %w", err)
		}
	}
	return nil
}

// locate makes paths relative to the folder of the file.
func (s *Spec) locate(dir string) {
	at := func(path *string) {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
	if c := s.Cloud; c != nil {
		for i := range c.Keys {
			at(&c.Keys[i])
		}
		at(&c.Devices)
		if c.API != nil {
			at(&c.API.Token.File)
			at(&c.API.Second.File)
		}
	}
	if s.Device != nil {
		at(&s.Device.Image)
	}
	if d := s.Device; d != nil && d.Process != nil {
		at(&d.Process.Dir)
		d.Process.Command = absolute(dir, d.Process.Command)
		for i := range d.Process.Devices {
			at(&d.Process.Devices[i].Key)
		}
	}
}
