package dfu

import (
	"bytes"
	"strings"
	"testing"

	"github.com/muster/muster/protocol/keyblob"
	"github.com/muster/muster/protocol/module"
	"github.com/muster/muster/protocol/pdc"
)

func TestKeysOf(t *testing.T) {
	for _, test := range []struct {
		p              pdc.Platform
		t              keyblob.Transport
		server, device Region
		says           string
	}{
		{pdc.Core, keyblob.TCP, Region{1, 0x1000, 2048}, Region{1, 0x2000, 1024}, ""},
		{pdc.Core, keyblob.UDP, Region{}, Region{}, "TCP only"},
		{pdc.Photon, keyblob.TCP, Region{1, 2082, 512}, Region{1, 34, 612}, ""},
		{pdc.Electron, keyblob.UDP, Region{1, 3298, 320}, Region{1, 3106, 192}, ""},
		{pdc.Boron, keyblob.UDP, Region{1, 3298, 320}, Region{1, 3106, 192}, ""},
		{pdc.P2, keyblob.UDP, Region{1, 3298, 320}, Region{1, 3106, 192}, ""},
		{pdc.P2, keyblob.TCP, Region{}, Region{}, "UDP only"},
	} {
		keys, err := KeysOf(test.p, test.t)
		if keys.Server != test.server || keys.Device != test.device || (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s %s: %+v, %v", test.p, test.t, keys, err)
		}
	}
	if TransportOf(pdc.Photon) != keyblob.TCP || TransportOf(pdc.MSoM) != keyblob.UDP {
		t.Error("a board has the wrong transport")
	}
}

func image(t *testing.T, p module.Prefix, body int) *module.Module {
	t.Helper()
	m := module.Module{Prefix: p, Body: bytes.Repeat([]byte{1}, body)}
	parsed, err := module.Parse(m.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	return &parsed
}

func TestPlan(t *testing.T) {
	user := module.Prefix{Platform: pdc.Boron, Function: pdc.ModuleUserPart, Index: 1, Start: 0xb4000}
	m := image(t, user, 1000)
	plan, err := Plan(m)
	if err != nil || len(plan) != 2 || plan[0].Region != (Region{0, 0xb4000, len(m.Raw())}) || !bytes.Equal(plan[0].Data, m.Raw()) {
		t.Fatalf("%+v, %v", plan, err)
	}
	if former := plan[1]; former.Region != (Region{0, 0xd4000, 4096}) || former.Data[0] != 0xff || len(former.Data) != 4096 {
		t.Errorf("a former user part stays valid: %+v", former.Region)
	}
	for name, change := range map[string]func(*module.Prefix){
		"its own place": func(p *module.Prefix) { p.Start = 0xd4000 },
		"a P2":          func(p *module.Prefix) { p.Platform = pdc.P2 },
		"system part":   func(p *module.Prefix) { p.Function = pdc.ModuleSystemPart },
	} {
		p := user
		change(&p)
		if plan, err := Plan(image(t, p, 100)); err != nil || len(plan) != 1 {
			t.Errorf("%s: %v, %v", name, plan, err)
		}
	}
	if plan, err := Plan(image(t, user, 0x20001)); err != nil || len(plan) != 1 {
		t.Errorf("a long user part lies over the former one: %d writes, %v", len(plan), err)
	}
	radio := image(t, module.Prefix{Platform: pdc.Boron, Function: pdc.ModuleRadioStack, Flags: module.DropInfo, Start: 0x1000}, 500)
	if plan, err := Plan(radio); err != nil || plan[0].Address != 0x1000 || plan[0].Data[0] != 1 {
		t.Errorf("without its prefix: %+v, %v", plan, err)
	}
	for _, function := range []module.Function{pdc.ModuleBootloader, pdc.ModuleNCP, pdc.ModuleAsset} {
		if _, err := Plan(image(t, module.Prefix{Platform: pdc.Argon, Function: function}, 10)); err == nil || !strings.Contains(err.Error(), "over the air") {
			t.Errorf("function %d: %v", function, err)
		}
	}
	for _, flag := range []module.Flags{module.Combined, module.Encrypted} {
		p := user
		p.Flags = flag
		if _, err := Plan(image(t, p, 10)); err == nil {
			t.Errorf("flag %s went", flag)
		}
	}
}
