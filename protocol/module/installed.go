package module

import "github.com/muster/muster/protocol/pdc"

// An Installed is a slot of a board's flash and the module in it.
type Installed struct {
	Function Function
	Index    uint8
	Version  uint16
	// Empty means that the slot holds no valid module.
	Empty bool
	// Start is the first address of the slot and Size its length in bytes; Size 0
	// means that they are not known.
	Start, Size  uint32
	Dependencies []Dependency
}

// FromDescribe returns the main slots that a system describe lists. Addresses are
// not in it.
func FromDescribe(d *pdc.SystemDescribe) []Installed {
	var all []Installed
	for _, info := range d.Modules {
		if info.Store != pdc.StoreMain {
			continue
		}
		m := Installed{
			Function: info.Function, Index: uint8(info.Index), Version: uint16(info.Version), Empty: info.Empty || !info.Valid(),
		}
		for _, dep := range info.Dependencies {
			m.Dependencies = append(m.Dependencies, Dependency{dep.Function, uint8(dep.Index), uint16(dep.Version)})
		}
		all = append(all, m)
	}
	return all
}

// satisfied reports whether one of all is what d asks for.
func satisfied(d Dependency, all []Installed) bool {
	for _, have := range all {
		if have.Function == d.Function && have.Index == d.Index && !have.Empty && have.Version >= d.Version {
			return true
		}
	}
	return d.Function == pdc.ModuleNone
}

// Missing returns what the module needs and none of all provides.
func (m *Module) Missing(all []Installed) []Dependency {
	var missing []Dependency
	for _, d := range m.AllDependencies() {
		if !satisfied(d, all) {
			missing = append(missing, d)
		}
	}
	return missing
}

// with returns what is installed after m was.
func with(all []Installed, m *Module) []Installed {
	added := Installed{Function: m.Function, Index: m.Index, Version: m.Version, Dependencies: m.AllDependencies()}
	after := make([]Installed, 0, len(all)+1)
	replaced := false
	for _, have := range all {
		if have.Function == m.Function && have.Index == m.Index {
			added.Start, added.Size = have.Start, have.Size
			have, replaced = added, true
		}
		after = append(after, have)
	}
	if !replaced {
		after = append(after, added)
	}
	return after
}
