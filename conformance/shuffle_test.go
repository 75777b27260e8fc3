package conformance

import (
	"slices"
	"testing"
)

func TestShuffled(t *testing.T) {
	all := Suites()
	one, again, other := orderOf(shuffled(all, 1)), orderOf(shuffled(all, 1)), orderOf(shuffled(all, 2))
	if !slices.Equal(one, again) {
		t.Error("one seed gives two orders")
	}
	if slices.Equal(one, other) || slices.Equal(one, orderOf(all)) {
		t.Error("another seed gives the same order")
	}
	sorted := slices.Sorted(slices.Values(one))
	if !slices.Equal(sorted, slices.Sorted(slices.Values(orderOf(all)))) {
		t.Error("checks are lost, or come twice")
	}
	for _, s := range shuffled(all, 3) {
		for i, c := range s.Checks {
			for _, needed := range c.Needs {
				if at := slices.IndexFunc(s.Checks, func(o Check) bool { return o.Name == needed }); at < 0 || at > i {
					t.Errorf("%s/%s runs before %s, which it needs", s.Name, c.Name, needed)
				}
			}
		}
	}
	// A part keeps the order of the whole.
	part := orderOf(shuffled(all[3:9], 1))
	rest := slices.DeleteFunc(slices.Clone(one), func(name string) bool { return !slices.Contains(part, name) })
	if !slices.Equal(part, rest) {
		t.Errorf("the order of a part is %v, in the whole it is %v", part, rest)
	}
}

// TestShuffledRun runs a few checks in virtual time, in an order that the report tells.
func TestShuffledRun(t *testing.T) {
	t.Parallel() // it waits most of the time
	o := Options{Select: []string{"tcp", "liveness", "records"}, Devices: 20, Seed: 11, Shuffle: true, plain: true}
	run, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var ran []string
	for _, r := range run.Results {
		if name := r.Name(); len(ran) == 0 || ran[len(ran)-1] != name {
			ran = append(ran, name)
		}
	}
	if !slices.Equal(ran, run.Order) || slices.Equal(ran, slices.Sorted(slices.Values(ran))) {
		t.Errorf("they ran as %v, and the report says %v", ran, run.Order)
	}
	if n := len(run.Notes); n == 0 {
		t.Error("nothing tells the reader of the order")
	}
	for _, r := range run.Results {
		if r.Verdict > 3 && r.Verdict.String() == "fail" {
			t.Errorf("%s on %s: %v", r.Name(), r.DeviceOS, r.Findings)
		}
	}
}
