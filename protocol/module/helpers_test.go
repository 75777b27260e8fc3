package module

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
)

// example is the 80-byte module of the protocol reference (PDC-7.1): a Boron user
// part, version 6, that needs system part 1 in version 6200.
var example = gen.Hex(`
	00400d00 4c400d00 0000 0600 0d00 05 01 04013818 00000000
	000000000000000000000000
	ffffffff 0000
	4129b6b6a23075aed6fa01bc4c09d43a 6caf190fba451341a134db224876a3ae
	2800 6eceda9d`)

// recorded puts the image of a recorded legacy update together from its chunks, by
// hand: NON POST c with CRC and index as queries, 512 bytes behind ff.
func recorded(t testing.TB, capture string) []byte {
	t.Helper()
	chunks := map[byte][]byte{}
	for _, item := range fixtures.ByName(capture).Wire() {
		if item.Op != fixtures.OpDown {
			continue
		}
		for _, m := range item.Plaintexts() {
			at := bytes.IndexByte(m, 0xff)
			if len(m) > 500 && m[5] == 0xb1 && m[6] == 'c' && at > 0 {
				index := m[bytes.Index(m[:20], []byte{0x02, 0x00})+2]
				chunks[index] = m[len(m)-512:]
			}
		}
	}
	var image []byte
	for i := range byte(len(chunks)) {
		image = append(image, chunks[i]...)
	}
	if len(image) < 3064 {
		t.Fatalf("%d bytes in %d chunks", len(image), len(chunks))
	}
	return image[:3064]
}

// wantCode checks that err is an *Error with that code.
func wantCode(t *testing.T, err error, code pdc.SystemError) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Code != code || !errors.Is(err, code) || e.Reason == "" {
		t.Errorf("got %v, want %v", err, code)
	}
}

// board is a Boron with Device OS 6.2.0.
func board() Board {
	return Board{
		Platform: pdc.Boron, MaxSize: 1536000, HasNCP: true, NCP: 2, AssetStorage: 512 << 10,
		Installed: []Installed{
			{Function: pdc.ModuleBootloader, Version: 2400, Start: 0xf4000, Size: 0xa000},
			{Function: pdc.ModuleRadioStack, Version: 202, Start: 0x1000, Size: 0x2f000},
			{Function: pdc.ModuleSystemPart, Index: 1, Version: 6200, Start: 0x30000, Size: 0xa4000, Dependencies: []Dependency{{pdc.ModuleBootloader, 0, 2400}}},
			{Function: pdc.ModuleUserPart, Index: 1, Version: 6, Start: 0xb4000, Size: 0x40000, Dependencies: []Dependency{{pdc.ModuleSystemPart, 1, 6200}}},
		},
	}
}

// target is what a cloud knows of it.
func target() Target {
	b := board()
	return Target{Platform: b.Platform, MaxSize: b.MaxSize, Compressed: true, Installed: b.Installed}
}

// userPart is a valid image for board, of 4000 bytes.
func userPart() Module {
	m := Module{Prefix: Prefix{
		Start: 0xb4000, Version: 6, Platform: pdc.Boron, Function: pdc.ModuleUserPart, Index: 1,
		Dependencies: [2]Dependency{{pdc.ModuleSystemPart, 1, 6200}},
	}}
	m.Fill(4000, seed.Bytes(1, "user part"))
	return m
}

// systemPart is a valid image for board, with a vector table.
func systemPart() Module {
	m := Module{
		Prefix: Prefix{
			Start: 0x30000, Version: 6300, Platform: pdc.Boron, Function: pdc.ModuleSystemPart, Index: 1,
			Dependencies: [2]Dependency{{pdc.ModuleBootloader, 0, 2400}},
		},
		VectorTable: slices.Concat([]byte{0, 0x80, 0, 0x20}, make([]byte, VectorTableSize-4)),
	}
	m.Fill(9000, seed.Bytes(1, "system part"))
	return m
}
