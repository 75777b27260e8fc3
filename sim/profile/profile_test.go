package profile

import (
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/pdc"
)

func must(t *testing.T, name string) *Profile {
	t.Helper()
	p, err := Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The typical values of PDC-2.1, and those of the recordings.
func TestHelloFlags(t *testing.T) {
	for _, c := range []struct {
		name string
		want uint16
	}{
		{"photon@0.5.3", 0},
		{"photon@0.7.0", 0},
		{"photon@1.0.1", 0x02},
		{"photon@1.4.4", 0x06},
		{"electron@1.5.2", 0x06},
		{"photon@2.3.1", 0x36},
		{"electron@3.1.0", 0x36},
		{"boron@2.3.1", 0x76},
		{"boron@3.1.0", 0xf6},
		{"p2@6.2.0", 0xf6},
		{"gcc@1.4.4", 0x06},
		{"gcc@2.3.0", 0x36},
		{"gcc-udp@6.2.0", 0x36},
		{"gcc-udp-ota3@6.2.0", 0xb6},
	} {
		if got := uint16(must(t, c.name).Dialect().HelloFlags()); got != c.want {
			t.Errorf("%s: got %#04x, want %#04x", c.name, got, c.want)
		}
	}
}

func TestLookupRefuses(t *testing.T) {
	for _, c := range []struct{ name, says string }{
		{"boron", "board@release"},
		{"quark@6.2.0", "unknown board"},
		{"boron@six", "not a Device OS release"},
		{"photon@6.2.0", "there is no Device OS 6.2.0 for photon"},
		{"boron@0.5.3", "there is no Device OS"},
		{"gcc@0.3.0", "older"},
	} {
		if _, err := Lookup(c.name); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got error %v, want one that says %q", c.name, err, c.says)
		}
	}
	if p := must(t, "boron@6.1.0"); p.Version.System != 6100 {
		t.Errorf("a release outside the table: got %d", p.Version.System)
	}
}

func TestNamesAreUniqueAndFindable(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range All() {
		if seen[p.String()] {
			t.Errorf("%s twice", p)
		}
		seen[p.String()] = true
		if q := must(t, p.String()); *q != *p {
			t.Errorf("%s: got %v, want %v", p, q, p)
		}
	}
	if len(Mix()) != 21 {
		t.Errorf("mix has %d profiles", len(Mix()))
	}
}

func TestFeatureTableIsFull(t *testing.T) {
	for _, f := range Features() {
		row := featureTable[f]
		if row.name == "" || row.source == "" || len(row.spans) == 0 {
			t.Errorf("feature %d: incomplete row %+v", f, row)
		}
		used := false
		for _, p := range All() {
			used = used || p.Has(f)
		}
		if !used {
			t.Errorf("%s: no profile has it", f)
		}
	}
}

func TestVersionsAscend(t *testing.T) {
	for i := 1; i < len(versions); i++ {
		if versions[i].System <= versions[i-1].System {
			t.Errorf("%s after %s", versions[i].Name, versions[i-1].Name)
		}
	}
}

func TestFeaturesByVersion(t *testing.T) {
	for _, c := range []struct {
		f        Feature
		has, not string
	}{
		{SessionCounter, "electron@1.2.1", "electron@1.0.1"},
		{SocketErrorDiscards, "boron@3.0.0", "boron@2.3.1"},
		{WaitsForAcks, "boron@1.4.4", "boron@1.2.1"},
		{IdentEvent, "boron@6.1.1", "boron@5.9.0"},
		{IdentEvent, "photon@0.5.3", "boron@6.2.0"},
		{TimeFirst, "boron@5.9.0", "boron@6.0.0"},
		{Goodbyes, "boron@2.0.1", "gcc-udp@6.2.0"},
		{NewChannel, "boron@5.8.0", "boron@6.0.0"},
		{ServerMoves, "boron@4.2.0", "gcc@6.2.0"},
		{SubsystemEvent, "core@1.4.4", "photon@1.4.4"},
	} {
		if !must(t, c.has).Has(c.f) {
			t.Errorf("%s: lacks %s", c.has, c.f)
		}
		if must(t, c.not).Has(c.f) {
			t.Errorf("%s: has %s", c.not, c.f)
		}
	}
}

// TRN-5.1 and the recorded keep-alives.
func TestPingInterval(t *testing.T) {
	for _, c := range []struct {
		name string
		want time.Duration
	}{
		{"photon@3.1.0", 15 * time.Second},
		{"boron@6.2.0", 23 * time.Minute},
		{"electron@0.5.3", 23 * time.Minute},
		{"argon@2.3.1", 30 * time.Second},
		{"argon@6.2.0", 25 * time.Second},
		{"p2@6.2.0", 25 * time.Second},
		{"gcc-udp@3.1.0", 1380 * time.Second},
		{"gcc-udp@6.2.0", 25 * time.Second},
		{"gcc@3.1.0", 15 * time.Second},
		{"gcc@6.2.0", 25 * time.Second},
	} {
		if got := must(t, c.name).PingInterval(); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestSessionSize(t *testing.T) {
	for name, want := range map[string]uint16{"electron@0.5.3": 208, "electron@1.4.4": 220, "boron@2.3.1": 228, "boron@3.0.0": 238, "boron@3.1.0": 262} {
		if got := must(t, name).SessionSize(); got != want {
			t.Errorf("%s: got %d, want %d", name, got, want)
		}
	}
}

func TestFactoryModulesSatisfyOneAnother(t *testing.T) {
	for _, p := range All() {
		modules := p.Factory()
		for _, m := range modules {
			for _, dep := range m.Dependencies {
				ok := false
				for _, other := range modules {
					ok = ok || other.Function == dep.Function && other.Index == dep.Index && other.Version >= dep.Version
				}
				if !ok {
					t.Errorf("%s: %+v is not satisfied", p, dep)
				}
			}
		}
		if p.Dialect().Limits().Message == 0 || p.MaxBinary() == 0 {
			t.Errorf("%s: no limits", p)
		}
	}
	_ = pdc.GCC
}

// TRN-0.2 and TRN-3.3.
func TestDTLS(t *testing.T) {
	for _, c := range []struct {
		name, gen string
		mark      dtls.Mark
	}{
		{"electron@0.5.3", "A", dtls.Mark254},
		{"electron@1.0.1", "B", dtls.Mark254},
		{"boron@1.2.1", "C", dtls.Mark254},
		{"boron@1.4.4", "D", dtls.Mark254},
		{"gcc-udp@2.3.0", "E", dtls.Mark254},
		{"boron@3.0.0", "E", dtls.Mark254},
		{"boron@3.1.0", "F", dtls.Mark25},
		{"boron@3.3.1", "F", dtls.Mark25},
		{"boron@4.0.2", "F", dtls.Mark253},
		{"p2@6.2.0", "F", dtls.Mark253},
	} {
		p := must(t, c.name)
		if p.Generation().String() != c.gen || p.Mark() != c.mark {
			t.Errorf("%s: got generation %v and mark %v", c.name, p.Generation(), p.Mark())
		}
	}
	if must(t, "boron@1.4.4").HandshakeTimers() != dtls.DeviceTimers || must(t, "boron@1.2.1").HandshakeTimers() != dtls.EarlyDeviceTimers {
		t.Error("handshake timers")
	}
}
