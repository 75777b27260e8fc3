package target

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"

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
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(s); err != nil {
		return nil, fmt.Errorf("the target %s: %w", file, err)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("the target %s: %w", file, err)
	}
	s.locate(filepath.Dir(file))
	return s, nil
}

// check reports what is wrong with a spec.
func (s *Spec) check() error {
	for c := range s.Capabilities {
		if c.Text() == "" {
			return fmt.Errorf("capabilities: %q is none: want some of %v", c, Capabilities())
		}
	}
	switch {
	case s.Cloud == nil && s.Device == nil:
		return errors.New("want cloud: or device:, what is judged")
	case s.Cloud != nil && s.Device != nil:
		return errors.New("cloud: and device: exclude one another: the other side is ours")
	case s.Cloud != nil:
		return s.Cloud.check()
	default:
		return s.Device.check()
	}
}

func (c *CloudSpec) check() error {
	switch {
	case c.UDP == "" && c.TCP == "":
		return errors.New("cloud: want udp: or tcp:, HOST or HOST:PORT")
	case len(c.Keys) == 0:
		return errors.New("cloud: want keys:, files with its public keys")
	case c.Devices == "":
		return errors.New("cloud: want devices:, the folder that muster fleet --keys-out made")
	case c.API != nil && c.API.URL == "":
		return errors.New("cloud: api: url is missing")
	case c.API != nil && c.API.Token.File == "" && c.API.Token.Env == "":
		return errors.New("cloud: api: token is missing, with a file or a variable (env)")
	}
	return nil
}

func (d *DeviceSpec) check() error {
	if d.Profile != "" {
		if _, err := profile.Lookup(d.Profile); err != nil {
			return fmt.Errorf("device: profile: %w", err)
		}
	}
	switch {
	case d.Process != nil && d.Rig != "":
		return errors.New("device: process: and rig: exclude one another")
	case d.Process != nil && d.Process.Command == "":
		return errors.New("device: process: command is missing")
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
		}
	}
	if d := s.Device; d != nil && d.Process != nil {
		at(&d.Process.Dir)
		for i := range d.Process.Devices {
			at(&d.Process.Devices[i].Key)
		}
	}
}
