package pdc

import (
	"testing"
	"unsafe"
)

func TestSystemModule(t *testing.T) {
	for _, v := range SystemVersions() {
		got, exact, err := SystemModule(v.Release)
		if got != v.Module || !exact || err != nil {
			t.Errorf("%s: got %d, %v, %v, want %d", v.Release, got, exact, err, v.Module)
		}
		if Release(v.Module) != v.Release {
			t.Errorf("Release(%d): got %s, want %s", v.Module, Release(v.Module), v.Release)
		}
	}
	for _, test := range []struct {
		release    string
		from, upTo uint16
	}{
		{"v6.2.1", 6200, 6300},
		{"5.9.5", 5901, 6000},
		{"0.6.2", OS0_6, OS0_7},
		{"0.5.1", 1, 21},
		{"0.9.0", OS0_8, 1000},
		{"1.5.4-rc.1", OS1_5, OS2_0},
		{"3.0.0-beta.1", OS3_0, OS3_1},
	} {
		got, exact, err := SystemModule(test.release)
		if got < test.from || got >= test.upTo || exact || err != nil {
			t.Errorf("%s: got %d, %v, %v, want %d up to %d", test.release, got, exact, err, test.from, test.upTo)
		}
	}
	for _, bad := range []string{"", "6", "6.2", "6.2.x", "6.2.0.1", "6.2.-1", "300.0.0"} {
		if _, _, err := SystemModule(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
	if got := Release(6201); got != "6.2.0+" {
		t.Errorf("Release(6201): got %s, want 6.2.0+", got)
	}
	if got := Release(3); got != "0.5.3-" {
		t.Errorf("Release(3): got %s, want 0.5.3-", got)
	}
}

func TestDialectIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Dialect{}); size > 8 {
		t.Errorf("%d bytes, want at most 8: there is one for every live device", size)
	}
}

func TestHelloTellsTheDialect(t *testing.T) {
	for _, test := range []struct {
		flags HelloFlags
		want  uint16
	}{
		{0, OS0_5}, {1, OS0_5}, {2, OS0_8}, {6, OS1_2}, {7, OS1_2}, {0x36, OS2_0}, {0x76, OS2_0}, {0x77, OS2_0},
	} {
		if got := (Hello{Flags: test.flags}).Dialect(true).System; got != test.want {
			t.Errorf("flags %#x: got %d, want %d", test.flags, got, test.want)
		}
	}
	d := boronHello.Dialect(true)
	if want := (Dialect{System: 6200, Platform: Boron, MaxMessage: 1152, UDP: true, OTA3: true}); d != want {
		t.Errorf("got %+v, want %+v", d, want)
	}
}

// TestHelloFlags compares with the typical values of PDC-2.1.
func TestHelloFlags(t *testing.T) {
	for _, test := range []struct {
		system uint16
		p      Platform
		want   HelloFlags
	}{
		{21, Photon, 0},
		{207, Electron, 0},
		{311, Photon, 2},
		{1002, Electron, 2},
		{1213, Photon, 6},
		{1512, Boron, 6},
		{2011, Photon, 0x36},
		{2302, GCC, 0x36},
		{2302, Boron, 0x76},
		{3302, Photon, 0x36},
		{3005, Argon, 0xf6},
		{6200, P2, 0xf6},
		{6200, GCC, 0x36},
	} {
		if got := NewDialect(test.system, test.p).HelloFlags(); got != test.want {
			t.Errorf("%d on %v: got %#x, want %#x", test.system, test.p, got, test.want)
		}
	}
}

// TestLimits compares with the table of PDC-0.6.
func TestLimits(t *testing.T) {
	for _, test := range []struct {
		name string
		d    Dialect
		want Limits
	}{
		{"0.5", NewDialect(21, Photon), Limits{768, 63, 255, 12, 63, 762, 5, 4, 10}},
		{"0.6", NewDialect(110, Photon), Limits{768, 64, 255, 12, 63, 762, 5, 4, 10}},
		{"0.7", NewDialect(207, Electron), Limits{800, 64, 255, 12, 63, 794, 5, 4, 10}},
		{"0.8", NewDialect(311, Electron), Limits{800, 64, 622, 64, 622, 622, 5, 0, 0}},
		{"1.2", NewDialect(1213, Electron), Limits{800, 64, 622, 64, 622, 622, 6, 0, 0}},
		{"1.4 Core", NewDialect(1406, Core), Limits{800, 64, 255, 12, 63, 622, 6, 0, 0}},
		{"2.3 Electron", NewDialect(2302, Electron), Limits{900, 64, 622, 64, 622, 622, 6, 0, 0}},
		{"2.3 Boron", NewDialect(2302, Boron), Limits{800, 64, 622, 64, 622, 622, 6, 0, 0}},
		{"3.1 Photon", NewDialect(3103, Photon), Limits{960, 64, 864, 64, 864, 864, 6, 0, 0}},
		{"3.1 Boron", NewDialect(3103, Boron), Limits{1152, 64, 1024, 64, 1024, 1024, 6, 0, 0}},
		{"3.3 Photon", NewDialect(3302, Photon), Limits{960, 64, 864, 64, 864, 864, 6, 100, 100}},
		{"6.2 P2", NewDialect(6200, P2), Limits{1152, 64, 1024, 64, 1024, 1024, 6, 100, 100}},
		{"6.2 GCC", NewDialect(6200, GCC), Limits{1152, 64, 1024, 64, 1024, 1024, 6, 100, 100}},
		{"6.2 newhal", NewDialect(6200, NewHAL), Limits{960, 64, 1024, 64, 1024, 1024, 6, 100, 100}},
		{
			"6.2 Boron, MTU 1200",
			Dialect{System: 6200, Platform: Boron, MaxMessage: 1072},
			Limits{1072, 64, 944, 64, 1024, 944, 6, 100, 100},
		},
	} {
		if got := test.d.Limits(); got != test.want {
			t.Errorf("%s:\n got %+v\nwant %+v", test.name, got, test.want)
		}
	}
}

func TestPlatforms(t *testing.T) {
	for i, p := range platformTable {
		if p.name == "" || i > 0 && p.id <= platformTable[i-1].id {
			t.Errorf("row %d: %+v", i, p)
		}
		if got, ok := ParsePlatform(p.name); got != p.id || !ok {
			t.Errorf("%s: got %v, %v", p.name, got, ok)
		}
	}
	if p, ok := ParsePlatform("77"); p != 77 || !ok || p.String() != "77" || p.Generation() != NoGeneration {
		t.Errorf("77: got %v, %v", p, ok)
	}
	if _, ok := ParsePlatform("proton"); ok {
		t.Error("proton is no platform")
	}
}

func TestLedgerVersions(t *testing.T) {
	for system, want := range map[uint16]bool{5501: false, 5800: true, 5901: true, 6000: false, 6101: true, 6200: true} {
		if got := NewDialect(system, Boron).Ledger(); got != want {
			t.Errorf("%d: got %v, want %v", system, got, want)
		}
	}
}
