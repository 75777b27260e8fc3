package pdc

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Comparable Device OS versions: system module versions grow with every
// release, so a version at or above one of these has the feature that the
// release brought. The first number of a release series is used, so that its
// release candidates count as the release.
const (
	OS0_5 = 11
	OS0_6 = 100
	OS0_7 = 200
	OS0_8 = 300
	OS1_2 = 1200
	OS1_4 = 1400
	OS1_5 = 1500
	OS2_0 = 2000
	OS2_3 = 2300
	OS3_0 = 3000
	OS3_1 = 3100
	OS3_3 = 3300
	OS4_0 = 4000
	OS4_1 = 4100
	OS5_0 = 5000
	OS5_5 = 5500
	OS5_8 = 5800
	OS6_0 = 6000
	OS6_1 = 6100
	OS6_2 = 6200
)

// A SystemVersion is one row of the table of releases.
type SystemVersion struct {
	Release string // semantic version, "6.2.0"
	Module  uint16 // version of the system module, 6200
}

// systemVersions is the table of PDC-2.3 in ascending order: the number cannot
// be derived from the release.
var systemVersions = []SystemVersion{
	{"0.5.3", 21},
	{"0.6.4", 110},
	{"0.7.0", 207},
	{"0.8.0-rc.12", 311},
	{"1.0.1", 1002},
	{"1.2.1", 1213},
	{"1.4.4", 1406},
	{"1.5.2", 1512},
	{"2.0.1", 2011},
	{"2.1.0", 2101},
	{"2.3.1", 2302},
	{"3.0.0", 3005},
	{"3.1.0", 3103},
	{"3.3.1", 3302},
	{"4.0.2", 4006},
	{"4.2.0", 4200},
	{"5.0.0", 5002},
	{"5.3.2", 5302},
	{"5.5.0", 5501},
	{"5.8.0", 5800},
	{"5.9.0", 5901},
	{"6.0.0", 6000},
	{"6.1.1", 6101},
	{"6.2.0", 6200},
}

// SystemVersions returns the known releases in ascending order.
func SystemVersions() []SystemVersion { return slices.Clone(systemVersions) }

// SystemModule returns the system module version of a Device OS release such
// as "6.2.0", "v1.4.4" or "0.8.0-rc.12". For a release that is not in the
// table it returns a number that compares rightly with the OS constants and
// with other series, and exact is false. It fails for what is not a semantic
// version.
func SystemModule(release string) (module uint16, exact bool, err error) {
	release = strings.TrimPrefix(release, "v")
	for _, v := range systemVersions {
		if v.Release == release {
			return v.Module, true, nil
		}
	}
	core, _, _ := strings.Cut(release, "-")
	var part [3]uint64
	fields := strings.Split(core, ".")
	if len(fields) != len(part) {
		return 0, false, fmt.Errorf("pdc: %q is not a Device OS release: want major.minor.patch", release)
	}
	for i, field := range fields {
		if part[i], err = strconv.ParseUint(field, 10, 8); err != nil {
			return 0, false, fmt.Errorf("pdc: %q is not a Device OS release: %w", release, err)
		}
	}
	return estimate(part[0], part[1], part[2]), false, nil
}

// estimate follows the pattern that the numbers keep since 1.0: a thousand a
// major, a hundred a minor release. Before, a hundred a minor release from 0.6.
func estimate(major, minor, patch uint64) uint16 {
	switch {
	case major == 0 && minor < 5:
		return uint16(minor)
	case major == 0 && minor == 5:
		return uint16(18 + min(patch, 81)) // 0.5.3 is 21
	case major == 0:
		return uint16(100*(min(minor, 9)-5) + min(patch, 99))
	case major >= 65:
		return 65000
	}
	return uint16(1000*major + 100*min(minor, 9) + min(patch, 99))
}

// Release names the Device OS release of a system module version: the exact
// one when it is in the table, otherwise the latest known one before it with a
// plus sign, "6.2.0+".
func Release(module uint16) string {
	name := "0.5.3-"
	for _, v := range systemVersions {
		if v.Module == module {
			return v.Release
		}
		if v.Module < module {
			name = v.Release + "+"
		}
	}
	return name
}
