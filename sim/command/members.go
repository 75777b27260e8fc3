package command

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/profile"
	"github.com/muster/muster/sim/scenario"
)

// members returns the devices of a scenario and their keys, loaded or new.
func (s *settings) members(ctx context.Context, sc *scenario.Scenario, say *console) (*fleet.Keys, []fleet.Member, error) {
	profiles, err := sc.Profiles()
	if err != nil {
		return nil, nil, err
	}
	if s.keys != "" && !s.seeded() {
		return s.loaded(sc.Devices(), profiles)
	}
	rsaMax := s.rsaMax
	for i := range sc.Groups {
		rsaMax = max(rsaMax, sc.Groups[i].RSAKeys)
	}
	k, mark, err := s.source(rsaMax)
	if err != nil {
		return nil, nil, err
	}
	list := make([]fleet.Member, 0, sc.Devices())
	var tcp []device.ID
	for i := range sc.Devices() {
		m := fleet.Member{ID: fleet.ID(mark, i), Profile: profiles(i)}
		if list = append(list, m); !m.Profile.Board.UDP {
			tcp = append(tcp, m.ID)
		}
	}
	err = k.MakeRSA(ctx, tcp, func(done, of int) { say.progress("making RSA keys: %d of %d", done, of) })
	say.clear()
	return k, list, err
}

// loaded finds the devices of a scenario among those of a folder, each kind in the
// folder's order.
func (s *settings) loaded(n int, profiles func(int) *profile.Profile) (*fleet.Keys, []fleet.Member, error) {
	keys, all := s.loadedKeys, s.loadedList
	if keys == nil {
		var err error
		if keys, all, err = fleet.LoadKeys(s.keys, 0); err != nil {
			return nil, nil, err
		}
	}
	byKind := make(map[string][]fleet.Member)
	for _, m := range all {
		byKind[m.Profile.String()] = append(byKind[m.Profile.String()], m)
	}
	list := make([]fleet.Member, n)
	missing := make(map[string]int)
	for i := range list {
		kind := profiles(i).String()
		if have := byKind[kind]; len(have) > 0 {
			list[i], byKind[kind] = have[0], have[1:]
		} else {
			missing[kind]++
		}
	}
	if len(missing) == 0 {
		return keys, list, nil
	}
	var kinds []string
	for kind, n := range missing {
		kinds = append(kinds, fmt.Sprintf("%d of %s", n, kind))
	}
	slices.Sort(kinds)
	return nil, nil, fmt.Errorf("%s has too few keys for the scenario: missing are %s; make keys for it with \"muster fleet keys SCENARIO --keys-out DIR\"", s.keys, strings.Join(kinds, ", "))
}

// seedPrefix begins the name of keys that are derived from a number.
const seedPrefix = "seed:"

// seeded reports whether the keys are derived from a number.
func (s *settings) seeded() bool { return strings.HasPrefix(s.keys, seedPrefix) }

// source returns where keys come from, and the mark of the fleet in its ids.
func (s *settings) source(rsaMax int) (*fleet.Keys, uint32, error) {
	if s.seeded() {
		n, err := strconv.ParseUint(strings.TrimPrefix(s.keys, seedPrefix), 10, 64)
		if err != nil {
			return nil, 0, fmt.Errorf("--keys %s: want %s and a number up to 2^64-1, such as %s7", s.keys, seedPrefix, seedPrefix)
		}
		return fleet.SeededKeys(n, rsaMax), fleet.SeededMark(n), nil
	}
	var mark [4]byte
	if _, err := rand.Read(mark[:]); err != nil {
		return nil, 0, fmt.Errorf("drawing ids: %w", err)
	}
	return fleet.NewKeys(rsaMax), binary.BigEndian.Uint32(mark[:]), nil
}

// publicEnd is the end of the names of public keys in a folder.
const publicEnd = ".pub.pem"

// export writes keys where the flags say.
func (s *settings) export(ctx context.Context, keys *fleet.Keys, list []fleet.Member, say *console) error {
	if s.keysOut != "" {
		if err := keys.Save(s.keysOut, list); err != nil {
			return err
		}
		say.say("The keys of %d devices are in %s.", len(list), s.keysOut)
		if n, shared := keys.RSA(); shared > 0 {
			say.say("There are %d RSA keys; %d devices share one of them, which the reference cloud refuses.", n, shared)
		}
		if s.register == "" {
			say.say("Register %s/<id>%s with the cloud, each under its id; --keys %s --register URL does it by its API.", s.keysOut, publicEnd, s.keysOut)
		}
	}
	switch {
	case s.register == "":
		return nil
	case atAPI(s.register):
		return s.registerAll(ctx, keys, list, say)
	}
	err := keys.ExportPublic(s.register, list, func(done, of int) { say.progress("writing public keys: %d of %d", done, of) })
	if err != nil {
		return err
	}
	say.say("The public keys are in %s.", s.register)
	return nil
}

// registerAll registers public keys by the API of a cloud.
func (s *settings) registerAll(ctx context.Context, keys *fleet.Keys, list []fleet.Member, say *console) error {
	token, err := s.tokenFor("--register " + s.register + " wants")
	if err != nil {
		return err
	}
	err = registerAt(ctx, s.register, token, keys, list, func(done, of int) { say.progress("registering devices: %d of %d", done, of) })
	say.clear()
	if err == nil {
		say.say("%d devices are registered at %s.", len(list), s.register)
	}
	return err
}
