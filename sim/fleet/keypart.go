package fleet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/muster/muster/sim/device"
)

// LoadPart reads some of what Save wrote: count devices from number first on. What is
// not there is missing from the list.
func LoadPart(dir string, first, count int) (*Keys, []Member, error) {
	list, err := readList(filepath.Join(dir, listFile), first+count)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("fleet: %s has no %s: make the keys with --keys-out", dir, listFile)
	case err != nil:
		return nil, nil, err
	case len(list) < first+count:
		return nil, nil, fmt.Errorf("fleet: %s has the keys of %d devices, and the last one that is wanted is number %d: make more with --keys-out", dir, len(list), first+count)
	}
	list = list[first:]
	k := NewKeys(0)
	return k, list, k.load(dir, list)
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
