package control

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/muster/muster/protocol/pdc"
)

// vectors were made with Particle's own host library (see the file).
type vectors struct {
	Setups map[string]struct {
		Type, Request        uint8
		Value, Index, Length uint16
	}
	Replies []struct {
		Status status
		ID     *uint16
		Size   *uint32
		Result *int32
		Hex    string
	}
	Messages map[string]string
}

func loadVectors(t *testing.T) (v vectors) {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil || len(v.Setups) == 0 || len(v.Replies) == 0 || len(v.Messages) == 0 {
		t.Fatalf("vectors: %v, %+v", err, v)
	}
	return v
}

func (v vectors) message(t *testing.T, name string) []byte {
	t.Helper()
	b, err := hex.DecodeString(v.Messages[name])
	if err != nil || len(b) == 0 {
		t.Fatalf("no vector %q: %v", name, err)
	}
	return b
}

func TestSetupsAreParticlesOwn(t *testing.T) {
	v := loadVectors(t)
	for name, got := range map[string]Setup{
		"init": initSetup(StartUpdate, 3), "check": checkSetup(7), "send": sendSetup(7, 3),
		"recv": recvSetup(7, 300), "reset": resetSetup(7), "reset all": resetSetup(0),
	} {
		if want := v.Setups[name]; got != Setup(want) {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

func TestRepliesAreParticlesOwn(t *testing.T) {
	for _, want := range loadVectors(t).Replies {
		b, _ := hex.DecodeString(want.Hex)
		expect := reply{flags: hasStatus, status: want.Status}
		if want.ID != nil {
			expect.flags |= hasID
			expect.id = *want.ID
		}
		if want.Size != nil {
			expect.flags |= hasSize
			expect.size = *want.Size
		}
		if want.Result != nil {
			expect.flags |= hasResult
			expect.result = *want.Result
		}
		got, err := parseReply(b)
		if err != nil || got != expect || hex.EncodeToString(expect.bytes()) != want.Hex {
			t.Errorf("%s: %+v, %v, want %+v", want.Hex, got, err, expect)
		}
		for n := range b {
			if _, err := parseReply(b[:n]); err == nil {
				t.Errorf("%s cut to %d bytes is taken", want.Hex, n)
			}
		}
	}
	if _, err := parseReply(make([]byte, ReplySize)); err == nil {
		t.Error("a reply without a status is taken")
	}
}

func TestModulesAreParticlesOwn(t *testing.T) {
	v := loadVectors(t)
	old, err := parseModules(v.message(t, "modules old"))
	all := pdc.CheckIntegrity | pdc.CheckDependencies
	want := []pdc.ModuleInfo{
		{
			Function: pdc.ModuleSystemPart, Index: 1, Version: 3104, Size: 655360, Checked: all, Passed: all,
			Dependencies: []pdc.ModuleDependency{{Function: pdc.ModuleBootloader, Version: 2000}, {Function: pdc.ModuleRadioStack, Version: 202}},
		},
		{
			Function: pdc.ModuleUserPart, Index: 1, Version: 6, Size: 20000, Checked: all, Passed: pdc.CheckIntegrity,
			Dependencies: []pdc.ModuleDependency{{Function: pdc.ModuleSystemPart, Index: 1, Version: 4000}},
		},
	}
	if err != nil || !reflect.DeepEqual(old, want) {
		t.Errorf("before 5.6.0: %v\n got %+v\nwant %+v", err, old, want)
	}
	wire := v.message(t, "modules new")
	modules, err := parseModules(wire)
	if err != nil || len(modules) != 2 {
		t.Fatalf("since 5.6.0: %+v, %v", modules, err)
	}
	system, user := modules[0], modules[1]
	if system.Function != pdc.ModuleSystemPart || system.Version != 6200 || system.Size != 650000 || system.MaxSize != 671744 || !system.Valid() {
		t.Errorf("system part: %+v", system)
	}
	if user.Valid() || len(user.Hash) != 32 || user.Dependencies[0].Version != 6300 {
		t.Errorf("user part: %+v", user)
	}
	back, err := parseModules(AppendModules(nil, modules))
	if err != nil || !reflect.DeepEqual(back, modules) {
		t.Errorf("written and read again: %+v, %v", back, err)
	}
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte{0x08, 0x80, 0x08})
	f.Add([]byte{0x12, 0x04, 0x08, 0x04, 0x10, 0x01})
	f.Add([]byte{0x0a, 0x02, 0x08, 0x02})
	f.Fuzz(func(_ *testing.T, b []byte) { // nothing panics
		_, _ = parseModules(b)
		_, _ = parseVarint(b)
		_, _ = parseBytes(slices.Clone(b))
		_, _ = parseReply(b)
	})
}
