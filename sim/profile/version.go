package profile

import (
	"fmt"

	"github.com/muster/muster/protocol/pdc"
)

// A Version is a Device OS release.
type Version struct {
	Name   string // "6.2.0"
	System uint16 // system module version, 6200; grows with every release
}

// extraReleases are releases beside those whose module version is published in
// PDC-2.3: the ones that were recorded.
var extraReleases = []string{"2.3.0"}

var versions = func() []Version {
	var all []Version
	for _, v := range pdc.SystemVersions() {
		for _, name := range extraReleases {
			if module, _, err := pdc.SystemModule(name); err == nil && module < v.Module && (len(all) == 0 || module > all[len(all)-1].System) {
				all = append(all, Version{Name: name, System: module})
			}
		}
		all = append(all, Version{Name: v.Release, System: v.Module})
	}
	return all
}()

// lookupVersion returns the release of that name. A release that is in no
// table is accepted as long as it is a semantic version.
func lookupVersion(name string) (*Version, error) {
	for i := range versions {
		if versions[i].Name == name {
			return &versions[i], nil
		}
	}
	module, _, err := pdc.SystemModule(name)
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if module < pdc.OS0_5 {
		return nil, fmt.Errorf("profile: Device OS %s is older than anything simulated (0.5.3)", name)
	}
	return &Version{Name: name, System: module}, nil
}

// OfModule returns the profile of p's board with the release whose system
// module has the version, nil when that is p's own release or none is known.
func OfModule(p *Profile, system uint16) *Profile {
	if system == p.Version.System {
		return nil
	}
	for i := range versions {
		if versions[i].System == system {
			if q := (&Profile{Board: p.Board, Version: &versions[i]}); q.exists() {
				return q
			}
		}
	}
	return nil
}
