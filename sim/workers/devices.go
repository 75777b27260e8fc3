package workers

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/scenario"
)

// A KeySource says where the private keys of a fleet come from, for every worker:
// "seed:NUMBER", or a folder that each of them has, made by --keys-out.
type KeySource struct {
	From string `json:"from"`
	// RSAKeys is how many RSA keys there are at most, which devices over TCP share;
	// 0: one each. Of seeded keys only.
	RSAKeys int `json:"rsa_keys,omitempty"`
}

const seedPrefix = "seed:"

// Devices returns the keys of some devices of a scenario, count from number first on,
// and what device a number is. progress hears of RSA keys that are made.
func (k KeySource) Devices(ctx context.Context, s *scenario.Scenario, first, count int, progress func(done, of int)) (*fleet.Keys, func(i int) fleet.Member, error) {
	number, seeded := strings.CutPrefix(k.From, seedPrefix)
	if !seeded {
		keys, list, err := fleet.LoadPart(k.From, first, count)
		if err != nil {
			return nil, nil, fmt.Errorf("%w (every worker needs the folder %s)", err, k.From)
		}
		return keys, func(i int) fleet.Member { return list[i-first] }, nil
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return nil, nil, fmt.Errorf("keys %q: want %s and a number up to 2^64-1, such as %s7", k.From, seedPrefix, seedPrefix)
	}
	profiles, err := s.Profiles()
	if err != nil {
		return nil, nil, err
	}
	mark := fleet.SeededMark(n)
	before := 0 // devices over TCP that other parts have
	var tcp []device.ID
	for i := range first + count {
		if profiles(i).Board.UDP {
			continue
		}
		if i < first {
			before++
		} else {
			tcp = append(tcp, fleet.ID(mark, i))
		}
	}
	keys := fleet.SeededKeys(n, k.RSAKeys)
	if err := keys.MakePartRSA(ctx, before, tcp, progress); err != nil {
		return nil, nil, err
	}
	return keys, func(i int) fleet.Member { return fleet.Member{ID: fleet.ID(mark, i), Profile: profiles(i)} }, nil
}
