package fleet

import (
	"bytes"
	"strings"
	"testing"

	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/profile"
)

// Parts of a fleet have the keys that the whole has.
func TestKeysOfParts(t *testing.T) {
	var ids []device.ID
	for i := range 5 {
		ids = append(ids, ID(1, i))
	}
	for _, limit := range []int{0, 2} {
		whole := SeededKeys(3, limit)
		if err := whole.MakeRSA(t.Context(), ids, nil); err != nil {
			t.Fatal(err)
		}
		for _, part := range [][2]int{{0, 2}, {2, 5}, {3, 4}} {
			k := SeededKeys(3, limit)
			if err := k.MakePartRSA(t.Context(), part[0], ids[part[0]:part[1]], nil); err != nil {
				t.Fatal(err)
			}
			for _, id := range ids[part[0]:part[1]] {
				if !bytes.Equal(k.Public(id), whole.Public(id)) {
					t.Errorf("limit %d, part %v: device %s has another key", limit, part, id)
				}
			}
		}
	}
}

// Keys are made on all cores, and who is told how many there are hears of one after the
// other.
func TestProgressOfKeys(t *testing.T) {
	var ids []device.ID
	for i := range 12 {
		ids = append(ids, ID(1, i))
	}
	for name, keys := range map[string]*Keys{"pool": SeededKeys(3, 4), "pairs": SeededKeys(3, 0)} {
		var told []int
		if err := keys.MakeRSA(t.Context(), ids, func(done, of int) {
			if told = append(told, done); done > of {
				t.Errorf("%s: %d of %d", name, done, of)
			}
		}); err != nil {
			t.Fatal(err)
		}
		for i, done := range told {
			if done != i+1 {
				t.Errorf("%s: told of %v", name, told)
				break
			}
		}
		if len(told) == 0 {
			t.Errorf("%s: nothing was told", name)
		}
	}
}

// Devices of a scenario are found among those of a folder, and only their keys read.
func TestPickFromFolder(t *testing.T) {
	kinds := make([]*profile.Profile, 2)
	for i, name := range []string{"boron@6.2.0", "argon@6.2.0"} {
		var err error
		if kinds[i], err = profile.Lookup(name); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir() + "/keys"
	k := SeededKeys(4, 0)
	var list []Member
	for i := range 4 {
		list = append(list, Member{ID: ID(9, i), Profile: kinds[i/2]}) // two of each
	}
	if err := k.Save(dir, list); err != nil {
		t.Fatal(err)
	}
	all, err := LoadList(dir)
	if err != nil {
		t.Fatal(err)
	}
	inTurn := func(i int) *profile.Profile { return kinds[i%2] }
	picked, err := Pick(all, 4, inTurn)
	if err != nil || picked[0].ID != list[0].ID || picked[1].ID != list[2].ID || picked[2].ID != list[1].ID {
		t.Fatalf("%v, %v", picked, err)
	}
	part, err := LoadKeysOf(dir, picked[1:3])
	if err != nil || !bytes.Equal(part.Public(list[2].ID), k.Public(list[2].ID)) {
		t.Errorf("another key, or %v", err)
	}
	if _, err := Pick(all, 6, inTurn); err == nil || !strings.Contains(err.Error(), "1 of argon@6.2.0, 1 of boron@6.2.0") {
		t.Errorf("too few: %v", err)
	}
	if _, err := LoadList(t.TempDir()); err == nil || !strings.Contains(err.Error(), "--keys-out") {
		t.Errorf("no folder of keys: %v", err)
	}
}
