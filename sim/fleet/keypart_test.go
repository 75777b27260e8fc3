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

func TestLoadPart(t *testing.T) {
	dir := t.TempDir() + "/keys"
	boron, err := profile.Lookup("boron@6.2.0")
	if err != nil {
		t.Fatal(err)
	}
	k := SeededKeys(4, 0)
	var list []Member
	for i := range 4 {
		list = append(list, Member{ID: ID(9, i), Profile: boron})
	}
	if err := k.Save(dir, list); err != nil {
		t.Fatal(err)
	}
	part, members, err := LoadPart(dir, 1, 2)
	if err != nil || len(members) != 2 || members[0].ID != list[1].ID || !bytes.Equal(part.Public(list[2].ID), k.Public(list[2].ID)) {
		t.Errorf("%v, %v", members, err)
	}
	if _, _, err := LoadPart(dir, 2, 3); err == nil || !strings.Contains(err.Error(), "keys of 4 devices") {
		t.Errorf("beyond the end: %v", err)
	}
}
