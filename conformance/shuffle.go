package conformance

import (
	"cmp"
	"slices"

	"github.com/muster/muster/protocol/seed"
)

// shuffled returns suites in an order that depends on the seed alone, and the checks of
// each likewise, but for those that need others: they come behind them. What is left out
// changes nothing in the order of the rest, so that a part of a run keeps it.
func shuffled(suites []Suite, run uint64) []Suite {
	place := func(name string) uint64 { return seed.Stream(run, "conformance/order/"+name).Uint64() }
	all := slices.Clone(suites)
	slices.SortFunc(all, func(a, b Suite) int { return cmp.Compare(place(a.Name), place(b.Name)) })
	for i := range all {
		all[i].Checks = shuffledChecks(all[i].Checks, func(c *Check) uint64 { return place(all[i].Name + "/" + c.Name) })
	}
	return all
}

func shuffledChecks(checks []Check, place func(c *Check) uint64) []Check {
	sorted := slices.Clone(checks)
	slices.SortFunc(sorted, func(a, b Check) int { return cmp.Compare(place(&a), place(&b)) })
	var list []Check
	taken := make(map[string]bool)
	var take func(c Check)
	take = func(c Check) {
		if taken[c.Name] {
			return
		}
		taken[c.Name] = true
		for _, other := range sorted {
			if slices.Contains(c.Needs, other.Name) {
				take(other)
			}
		}
		list = append(list, c)
	}
	for _, c := range sorted {
		take(c)
	}
	return list
}

// orderOf are the names of the checks in their order.
func orderOf(suites []Suite) []string {
	var names []string
	for _, s := range suites {
		for _, c := range s.Checks {
			names = append(names, s.Name+"/"+c.Name)
		}
	}
	return names
}
