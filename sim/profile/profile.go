package profile

import (
	"fmt"
	"strings"

	"github.com/muster/muster/protocol/pdc"
)

// A Profile is one board with one Device OS release.
type Profile struct {
	Board   *Board
	Version *Version
}

// String returns the name, such as "boron@6.2.0".
func (p *Profile) String() string { return p.Board.Name + "@" + p.Version.Name }

// Equal reports whether p and o are the same release for the same board: Lookup makes
// each anew.
func (p *Profile) Equal(o *Profile) bool { return *p == *o }

// Has reports whether the profile has the feature.
func (p *Profile) Has(f Feature) bool { return f.in(p.Board, p.Version.System) }

// AtLeast reports whether the release is at or after the system module
// version, one of the OS constants of package pdc.
func (p *Profile) AtLeast(system uint16) bool { return p.Version.System >= system }

// OTA3 reports whether the device speaks OTA protocol v3, and then only that
// (PDC-6.1).
func (p *Profile) OTA3() bool {
	return p.Board.OTA3 || p.AtLeast(pdc.OS3_0) && p.Board.Platform.Gen3()
}

// Dialect returns what the device speaks. System is that of the profile; a
// device that was updated reports another one.
func (p *Profile) Dialect() pdc.Dialect {
	d := pdc.NewDialect(p.Version.System, p.Board.Platform).Over(p.Board.UDP)
	d.OTA3 = p.OTA3()
	return d
}

// MaxBinary returns the size in bytes of the area that receives updates.
func (p *Profile) MaxBinary() uint32 {
	if p.Board.Virtual && p.AtLeast(pdc.OS4_0) {
		return slotGCC6_2
	}
	return p.Board.MaxBinary
}

// exists reports whether the release was made for the board.
func (p *Profile) exists() bool {
	v := p.Version.System
	return v >= p.Board.Since && (p.Board.Until == 0 || v < p.Board.Until)
}

// Lookup returns the profile of the name "board@release". It fails for an
// unknown board, for what is no release, and for a combination that never
// existed, and says what would have been valid.
func Lookup(name string) (*Profile, error) {
	board, release, ok := strings.Cut(name, "@")
	if !ok {
		return nil, fmt.Errorf("profile: %q has no release; want board@release such as boron@6.2.0", name)
	}
	b, err := lookupBoard(board)
	if err != nil {
		return nil, err
	}
	v, err := lookupVersion(release)
	if err != nil {
		return nil, err
	}
	p := &Profile{Board: b, Version: v}
	if !p.exists() {
		return nil, fmt.Errorf("profile: there is no Device OS %s for %s, which has %s", v.Name, b.Name, b.releases())
	}
	return p, nil
}

func lookupBoard(name string) (*Board, error) {
	var names []string
	for i := range boards {
		if boards[i].Name == name {
			return &boards[i], nil
		}
		names = append(names, boards[i].Name)
	}
	return nil, fmt.Errorf("profile: unknown board %q; known are %s", name, strings.Join(names, ", "))
}

// releases says which releases exist for b, for error messages.
func (b *Board) releases() string {
	if b.Until == 0 {
		return pdc.Release(b.Since) + " and later"
	}
	return fmt.Sprintf("%s up to before %s", pdc.Release(b.Since), pdc.Release(b.Until))
}

// All returns every valid combination of a known release with a board, boards
// in the order of [Boards], releases ascending.
func All() []*Profile {
	var all []*Profile
	for i := range boards {
		for j := range versions {
			if p := (&Profile{Board: &boards[i], Version: &versions[j]}); p.exists() {
				all = append(all, p)
			}
		}
	}
	return all
}

// mix is the default mix of a conformance run: every transport, every
// generation of hardware, every generation of the DTLS library that matters.
var mix = []string{
	"photon@0.5.3", "photon@1.4.4", "photon@2.3.1", "photon@3.1.0",
	"p1@0.5.3", "p1@1.4.4", "p1@2.3.1", "p1@3.1.0",
	"electron@0.5.3", "electron@1.4.4", "electron@2.3.1", "electron@3.1.0",
	"boron@1.4.4", "boron@2.3.1", "boron@3.1.0", "boron@6.2.0",
	"argon@1.4.4", "argon@2.3.1", "argon@3.1.0", "argon@6.2.0",
	"p2@6.2.0",
}

// Mix returns the default mix of profiles of a conformance run or a fleet.
func Mix() []*Profile {
	all := make([]*Profile, len(mix))
	for i, name := range mix {
		p, err := Lookup(name)
		if err != nil {
			panic(err)
		}
		all[i] = p
	}
	return all
}
