package requirements

import (
	"fmt"
	"slices"
)

// A Requirement is one row of the catalogue.
type Requirement struct {
	// ID is stable: "R-71", "C-13", "D-5", "N-21", "S6".
	ID    string `yaml:"id" json:"id"`
	Level Level  `yaml:"level" json:"level"`
	// Roles are whom it binds: the cloud, the device, or both.
	Roles []Role `yaml:"roles" json:"roles"`
	// Transports are those on which it applies, "udp" and "tcp"; none: both.
	Transports []string `yaml:"transports" json:"transports,omitempty"`
	// Since and Until are the first and the last release of Device OS that it
	// concerns; "": no bound. "3.0.x" is the last of the 3.0 line.
	Since string `yaml:"since" json:"since,omitempty"`
	Until string `yaml:"until" json:"until,omitempty"`
	// Source is the reference and its section: "transport §3.9".
	Source string `yaml:"source" json:"source"`
	// Text is the requirement in one sentence.
	Text string `yaml:"text" json:"text"`
	// Parents are the claims that it proves a part of.
	Parents []string `yaml:"parents" json:"parents,omitempty"`
	// Untested says why nothing can test it; then it needs no check.
	Untested string `yaml:"untested" json:"untested,omitempty"`
	// Unbroken says why no mutant breaks it although a check judges it.
	Unbroken string `yaml:"unbroken" json:"unbroken,omitempty"`
}

// A Level is how binding a requirement is.
type Level string

// The levels: those of RFC 2119, and what devices were seen to do and nobody
// wrote down.
const (
	Must     Level = "MUST"
	Should   Level = "SHOULD"
	May      Level = "MAY"
	Observed Level = "OBSERVED"
)

// Levels are all levels, the most binding first.
func Levels() []Level { return []Level{Must, Should, May, Observed} }

// A Role is a party that a requirement binds.
type Role string

// The roles.
const (
	Cloud  Role = "cloud"
	Device Role = "device"
)

// Roles are all roles.
func Roles() []Role { return []Role{Cloud, Device} }

// transports are the words of Transports.
var transports = []string{"udp", "tcp"}

// Binds reports whether it binds a role.
func (r *Requirement) Binds(role Role) bool { return slices.Contains(r.Roles, role) }

// Applies reports whether it concerns a release of Device OS, such as "6.2.0",
// over a transport.
func (r *Requirement) Applies(release, transport string) bool {
	if len(r.Transports) > 0 && !slices.Contains(r.Transports, transport) {
		return false
	}
	v, err := parseVersion(release)
	if err != nil {
		return true // a release that says nothing of itself may be any
	}
	since, _ := parseVersion(r.Since) // Load has checked both
	until, _ := parseVersion(r.Until)
	return (r.Since == "" || v.compare(since) >= 0) && (r.Until == "" || v.compare(until) <= 0)
}

// IsClaim reports whether it is a promise of the service, S1 to S14, which others
// have as their parent.
func (r *Requirement) IsClaim() bool { return r.ID[0] == 'S' }

// check reports what is wrong with the row itself.
func (r *Requirement) check() error {
	_, sinceErr := parseVersion(r.Since)
	_, untilErr := parseVersion(r.Until)
	switch {
	case !validID.MatchString(r.ID):
		return fmt.Errorf("%q is no id: want a letter of R, C, D, N, A, B with a hyphen or S, and a number", r.ID)
	case !slices.Contains(Levels(), r.Level):
		return fmt.Errorf("%s: %q is no level: want one of %v", r.ID, r.Level, Levels())
	case len(r.Roles) == 0:
		return fmt.Errorf("%s: no roles: want one or both of %v", r.ID, Roles())
	case !subset(r.Roles, Roles()):
		return fmt.Errorf("%s: roles %v: want one or both of %v, once each", r.ID, r.Roles, Roles())
	case !subset(r.Transports, transports):
		return fmt.Errorf("%s: transports %v: want none, one or both of %v", r.ID, r.Transports, transports)
	case r.Since != "" && sinceErr != nil:
		return fmt.Errorf("%s: since: %w", r.ID, sinceErr)
	case r.Until != "" && untilErr != nil:
		return fmt.Errorf("%s: until: %w", r.ID, untilErr)
	case r.Source == "" || r.Text == "":
		return fmt.Errorf("%s: source and text are needed", r.ID)
	case !r.IsClaim() && len(r.Parents) == 0:
		return fmt.Errorf("%s: no parents: which claims does it prove?", r.ID)
	}
	return nil
}

// subset reports whether some are among all, none of them twice.
func subset[T comparable](some, all []T) bool {
	for i, s := range some {
		if !slices.Contains(all, s) || slices.Contains(some[:i], s) {
			return false
		}
	}
	return true
}
