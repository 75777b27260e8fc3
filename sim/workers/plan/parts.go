package plan

import "fmt"

// A Part is a range of the devices of a fleet.
type Part struct {
	Index int `json:"index"` // among the parts, from 0
	First int `json:"first"` // its first device
	Count int `json:"count"` // how many devices it has, 1 or more
}

// String names the part for people.
func (p Part) String() string {
	if p.Count == 1 {
		return fmt.Sprintf("part %d (device %d)", p.Index, p.First)
	}
	return fmt.Sprintf("part %d (devices %d to %d)", p.Index, p.First, p.First+p.Count-1)
}

// Split divides devices 0 to devices-1 into n parts whose sizes differ by one at
// most. There are never more parts than devices, nor fewer than one.
func Split(devices, n int) []Part {
	n = max(1, min(n, devices))
	list := make([]Part, n)
	first := 0
	for i := range list {
		count := devices / n
		if i < devices%n {
			count++
		}
		list[i] = Part{Index: i, First: first, Count: count}
		first += count
	}
	return list
}

// partsEach is how many parts a worker gets at the beginning, if there are enough
// workers: when one dies, so many others share its devices.
const partsEach = 4

// partsMost bounds the parts that are made without being asked for.
const partsMost = 1024

// partsFor divides a fleet so that its parts fit workers with these capacities; nil
// when they do not have room for all devices.
func partsFor(devices int, capacities []int) []Part {
	for n := len(capacities) * min(partsEach, len(capacities)); ; n += max(1, n/4) {
		parts := Split(devices, n)
		if _, ok := spread(parts, capacities, make([]int, len(capacities))); ok {
			return parts
		}
		if n >= min(devices, partsMost) {
			return nil
		}
	}
}

// spread gives each part to the one with the most room left for its size, taking in
// account what they have. It returns who gets each part, -1 for nobody.
func spread(parts []Part, capacities, have []int) (who []int, all bool) {
	load := append([]int(nil), have...)
	all = true
	for _, p := range parts {
		best := -1
		for i, c := range capacities {
			if load[i]+p.Count > c {
				continue
			}
			if best < 0 || float64(load[i]+p.Count)/float64(c) < float64(load[best]+p.Count)/float64(capacities[best]) {
				best = i
			}
		}
		if who = append(who, best); best < 0 {
			all = false
			continue
		}
		load[best] += p.Count
	}
	return who, all
}
