package target

import (
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/muster/muster/sim/profile"
)

// choose settles which profiles take part.
func (e *Env) choose() error {
	o := &e.options
	if d := o.Spec.Device; d != nil && d.Profile != "" {
		p, err := profile.Lookup(d.Profile)
		if err != nil {
			return err
		}
		o.Profiles = []*profile.Profile{p}
	}
	only, err := o.only()
	if err != nil {
		return err
	}
	var chosen []*profile.Profile
	for _, p := range o.Profiles {
		if only(p) {
			chosen = append(chosen, p)
		}
	}
	if len(chosen) == 0 {
		return fmt.Errorf("no device takes part: %s do not fit --device-os %q", names(o.Profiles), o.DeviceOS)
	}
	o.Profiles = chosen
	return nil
}

func names(list []*profile.Profile) string {
	seen := make(map[string]bool)
	var versions []string
	for _, p := range list {
		if v := p.Version.Name; !seen[v] {
			seen[v] = true
			versions = append(versions, v)
		}
	}
	return strings.Join(versions, ", ")
}

// only returns what tells whether a profile is in the range of Device OS versions.
func (o *Options) only() (func(*profile.Profile) bool, error) {
	if o.DeviceOS == "" {
		return func(*profile.Profile) bool { return true }, nil
	}
	constraint, err := ParseDeviceOS(o.DeviceOS)
	if err != nil {
		return nil, err
	}
	return func(p *profile.Profile) bool { return constraint(p.Version.Name) }, nil
}

// ParseDeviceOS reads a range of Device OS versions: comparisons such as ">= 2.0",
// joined by a comma (and) or by "||" (or), "2.x", "~3.1", "1.4.4 - 3". It returns
// what tells whether a version is in it.
func ParseDeviceOS(text string) (func(version string) bool, error) {
	constraint, err := semver.NewConstraint(text)
	if err != nil {
		return nil, fmt.Errorf(`--device-os %q is no range of versions: want something like ">= 2.0, < 4" or "2.x || 3.x"`, text)
	}
	return func(version string) bool {
		v, err := semver.NewVersion(version)
		return err == nil && constraint.Check(v)
	}, nil
}
