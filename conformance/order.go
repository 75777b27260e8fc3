package conformance

import (
	"cmp"
	"iter"
	"maps"
	"slices"
)

// inOrder yields a map in the order of its keys: what a check does is the same in every
// run with one seed.
func inOrder[K cmp.Ordered, V any](m map[K]V) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
