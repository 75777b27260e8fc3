package fleet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/profile"
)

// LoadList reads which devices a folder has keys for, without the keys.
func LoadList(dir string) ([]Member, error) {
	list, err := readList(filepath.Join(dir, listFile), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("fleet: %s has no %s: make the keys with --keys-out", dir, listFile)
	}
	return list, err
}

// LoadKeysOf reads the keys of some of the devices of a folder.
func LoadKeysOf(dir string, list []Member) (*Keys, error) {
	k := NewKeys(0)
	return k, k.load(dir, list)
}

// Pick finds n devices of given kinds in a list: of each kind in the order of the
// list. The error says what is missing.
func Pick(list []Member, n int, kind func(i int) *profile.Profile) ([]Member, error) {
	byKind := make(map[string][]Member)
	for _, m := range list {
		byKind[m.Profile.String()] = append(byKind[m.Profile.String()], m)
	}
	picked := make([]Member, n)
	missing := make(map[string]int)
	for i := range picked {
		name := kind(i).String()
		if have := byKind[name]; len(have) > 0 {
			picked[i], byKind[name] = have[0], have[1:]
		} else {
			missing[name]++
		}
	}
	var kinds []string
	for name, n := range missing {
		kinds = append(kinds, fmt.Sprintf("%d of %s", n, name))
	}
	if slices.Sort(kinds); len(kinds) > 0 {
		return nil, fmt.Errorf("there are too few keys: missing are %s", strings.Join(kinds, ", "))
	}
	return picked, nil
}

// MakePartRSA is MakeRSA for some of the devices of a fleet whose keys are seeded:
// before them are others, with RSA keys as well. Each gets the key that it would get
// if those of the whole fleet were made.
func (k *Keys) MakePartRSA(ctx context.Context, before int, ids []device.ID, progress func(done, of int)) error {
	k.making.Lock()
	defer k.making.Unlock()
	if k.primes != nil {
		_, err := k.pairUp(ctx, pair{1, 0}, before, ids, progress)
		return err
	}
	// With a limit the keys go round; those of ids are a stretch of the circle, or all.
	first, n := before, len(ids)
	if first+n > k.rsaMax {
		first, n = 0, k.rsaMax
	}
	made, err := k.makePool(ctx, first, n, progress)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, id := range ids {
		k.own[id] = made[(before+i)%k.rsaMax-first]
	}
	return nil
}
