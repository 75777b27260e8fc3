package workers

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/profile"
	"github.com/muster/muster/sim/scenario"
)

// A KeySource says where the private keys of a fleet come from, for every worker:
// "seed:NUMBER", or a folder that each of them has at that place, made by --keys-out.
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
	profiles, err := s.Profiles()
	if err != nil {
		return nil, nil, err
	}
	number, seeded := strings.CutPrefix(k.From, seedPrefix)
	if !seeded {
		return k.folder(s.Devices(), profiles, first, count)
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return nil, nil, fmt.Errorf("keys %q: want %s and a number up to 2^64-1, such as %s7", k.From, seedPrefix, seedPrefix)
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
	rsaMax := k.RSAKeys
	for i := range s.Groups {
		rsaMax = max(rsaMax, s.Groups[i].RSAKeys)
	}
	keys := fleet.SeededKeys(n, rsaMax)
	if err := keys.MakePartRSA(ctx, before, tcp, progress); err != nil {
		return nil, nil, err
	}
	return keys, func(i int) fleet.Member { return fleet.Member{ID: fleet.ID(mark, i), Profile: profiles(i)} }, nil
}

// folder finds the devices in a folder that this machine has.
func (k KeySource) folder(devices int, profiles func(int) *profile.Profile, first, count int) (*fleet.Keys, func(i int) fleet.Member, error) {
	all, err := fleet.LoadList(k.From)
	if err != nil {
		return nil, nil, fmt.Errorf("%w; every worker needs the folder", err)
	}
	list, err := fleet.Pick(all, devices, profiles)
	if err != nil {
		return nil, nil, fmt.Errorf("the folder %s: %w; make keys for the scenario with \"muster fleet keys SCENARIO --keys-out DIR\"", k.From, err)
	}
	list = list[first : first+count]
	keys, err := fleet.LoadKeysOf(k.From, list)
	return keys, func(i int) fleet.Member { return list[i-first] }, err
}
