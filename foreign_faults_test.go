package main

import (
	"encoding/pem"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/cloudref"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/conformance"
	"github.com/muster/muster/conformance/mutants"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/fleet"
)

// foreignMutants are faults of clouds that puppets on sockets find, of each layer some.
// Set MUSTER_FOREIGN_MUTANTS to "all", or to names with commas, for others.
var foreignMutants = []string{
	"cloud/any-nonce", "cloud/lenient-frames", // TCP
	"cloud/takes-replays", "cloud/follows-old-records", // DTLS
	"cloud/acknowledges-everything", // CoAP
}

// controls are checks that a cloud passes with any of these faults.
var controls = []string{"records/several", "liveness/largest", "tcp/core-form"}

// foreignProfiles are the devices that a foreign cloud knows, one of each.
var foreignProfiles = []string{"boron@6.2.0", "photon@3.1.0"}

// TestFaultsOfForeignClouds judges clouds on sockets, of which the suites know no more than
// of anybody's: what is broken must be red, and the rest not.
func TestFaultsOfForeignClouds(t *testing.T) {
	names := foreignMutants
	if env := os.Getenv("MUSTER_FOREIGN_MUTANTS"); env != "" {
		names = strings.Split(env, ",")
	}
	keys := t.TempDir()
	members := foreignFleet(t, keys)
	for _, m := range mutants.All() {
		if m.Cloud == nil || !slices.Contains(names, m.Name) && names[0] != "all" {
			continue
		}
		m.Run = nil // those that must fail, and the controls
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			judgeForeign(t, &m, keys, members)
		})
	}
	t.Run("sound", func(t *testing.T) {
		t.Parallel()
		sound := mutants.Mutant{Cloud: func(*target.CloudConfig) {}}
		for _, m := range mutants.All() {
			if slices.Contains(foreignMutants, m.Name) {
				sound.Run = append(sound.Run, m.Fails...)
			}
		}
		judgeForeign(t, &sound, keys, members)
	})
}

// foreignFleet makes the keys of devices, as "muster fleet --keys-out" does.
func foreignFleet(t *testing.T, dir string) []cloudref.Registration {
	t.Helper()
	keys := fleet.NewKeys(0)
	var members []fleet.Member
	var tcp []device.ID
	for i, name := range foreignProfiles {
		m := fleet.Member{ID: fleet.ID(78, i), Profile: target.Profile(name)}
		if members = append(members, m); !m.Profile.Board.UDP {
			tcp = append(tcp, m.ID)
		}
	}
	if err := errors.Join(keys.MakeRSA(t.Context(), tcp, nil), keys.Save(dir, members)); err != nil {
		t.Fatal(err)
	}
	var list []cloudref.Registration
	for _, m := range members {
		r := cloudref.Registration{ID: store.DeviceID(m.ID), Name: m.ID.String(), P256: keys.Public(m.ID)}
		if !m.Profile.Board.UDP {
			r.P256, r.RSA = nil, r.P256
		}
		list = append(list, r)
	}
	return list
}

// judgeForeign judges a cloud with a fault, on sockets.
func judgeForeign(t *testing.T, m *mutants.Mutant, keys string, members []cloudref.Registration) {
	any := netip.MustParseAddrPort("127.0.0.1:0")
	cloud, err := cloudref.Start(t.Context(), cloudref.Options{UDP: any, TCP: any, Memory: true, Adjust: m.Cloud})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cloud.Stop(); err != nil {
			t.Error(err)
		}
	})
	owner, err := cloud.Account(t.Context(), "carol@example.org")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range members {
		r.Owner = owner
		if err := cloud.Register(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	run, err := conformance.Run(t.Context(), conformance.Options{
		Select: slices.Concat(m.Fails, m.Run, controls), Devices: len(members), Seed: 7, Patience: 20 * time.Second, Spec: &target.Spec{Cloud: &target.CloudSpec{
			UDP: cloud.UDP().String(), TCP: cloud.TCP().String(), Devices: keys,
			Keys: []string{publicKey(t, dir, "udp.pem", cloud.PublicKeyUDP()), publicKey(t, dir, "tcp.pem", cloud.PublicKeyTCP())},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	verdicts := make(map[string]report.Verdict)
	why := make(map[string]string)
	for _, r := range run.Results {
		name := r.Name()
		if verdicts[name] = max(verdicts[name], r.Verdict); len(r.Findings) > 0 && why[name] == "" {
			why[name] = r.Findings[0].Text
		} else if r.Reason != "" {
			why[name] += r.Reason
		}
	}
	for name, v := range verdicts {
		if strings.HasPrefix(name, "target/") {
			continue // red when the fault keeps devices out
		}
		expected := slices.Contains(m.Fails, name)
		switch {
		case expected && v != report.Fail:
			t.Errorf("%s does not find that the cloud %s: %v, %s", name, m.Text, v, why[name])
		case !expected && v == report.Fail && !slices.Contains(m.Also, name):
			t.Errorf("%s fails though it has nothing to do with it: %s", name, why[name])
		case m.Name == "" && v == report.Inconclusive:
			t.Errorf("%s: %v, %s", name, v, why[name])
		}
	}
}

func publicKey(t *testing.T, dir, name string, der []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
