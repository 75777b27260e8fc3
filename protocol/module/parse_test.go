package module

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"testing"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
)

func TestExample(t *testing.T) {
	m, err := Parse(example)
	if err != nil {
		t.Fatal(err)
	}
	want := Prefix{
		Start: 0xd4000, End: 0xd404c, Version: 6, Platform: pdc.Boron, Function: pdc.ModuleUserPart, Index: 1,
		Dependencies: [2]Dependency{{pdc.ModuleSystemPart, 1, 6200}},
	}
	if m.Prefix != want || m.VectorTable != nil || !bytes.Equal(m.Body, make([]byte, 12)) || *m.Product != unset {
		t.Errorf("got %+v", m)
	}
	if !m.CRCValid() || !m.HashValid() || m.CRC != 0x6eceda9d || m.Length() != 80 {
		t.Errorf("CRC valid %t, hash valid %t", m.CRCValid(), m.HashValid())
	}
	built := Module{
		Prefix: Prefix{Start: 0xd4000, Version: 6, Platform: pdc.Boron, Function: pdc.ModuleUserPart, Index: 1, Dependencies: want.Dependencies},
		Body:   make([]byte, 12),
	}
	if got := built.Append(nil); !bytes.Equal(got, example) {
		t.Errorf("built %x, want %x", got, example)
	}
}

// TestRecordedModule is the image that Device OS 6.2.0 was updated with.
func TestRecordedModule(t *testing.T) {
	for _, name := range []string{"v6.2.0-tcp-ota2", "v6.2.0-udp-ota2"} {
		image := recorded(t, name)
		hash := sha256.Sum256(image)
		if note := fixtures.ByName(name).Notes[0]; !bytes.Contains([]byte(note), []byte(hex.EncodeToString(hash[:]))) {
			t.Fatalf("%s: the chunks are put together wrongly: %x, %s", name, hash, note)
		}
		m, err := Parse(image)
		if err != nil {
			t.Fatal(err)
		}
		want := Prefix{Start: 0x10000, End: 0x10bf4, Version: 6300, Platform: pdc.GCC, Function: pdc.ModuleMonolithic}
		if m.Prefix != want || !m.CRCValid() || !m.HashValid() {
			t.Errorf("%s: %+v, CRC valid %t, hash valid %t", name, m.Prefix, m.CRCValid(), m.HashValid())
		}
		if got := m.Append(nil); !bytes.Equal(got, image) {
			t.Errorf("%s: written back differently", name)
		}
		check := Target{Platform: pdc.GCC, MaxSize: 10 << 20}
		if _, err := check.Check(image); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFormsRoundTrip: each form of image is read back as it was made.
func TestFormsRoundTrip(t *testing.T) {
	random := seed.Bytes(1, "forms")
	asset := NewAsset("sound.wav", []byte("la la la"))
	forms := map[string]Module{
		"user part":   userPart(),
		"system part": systemPart(),
		"bare":        {Prefix: Prefix{Function: pdc.ModuleBootloader}, Bare: true},
		"product":     {Prefix: Prefix{Function: pdc.ModuleUserPart}, Product: &Product{1234, 5}},
		"empty":       {Prefix: Prefix{Function: pdc.ModuleUserPart}},
		"RTL872x": {Prefix: Prefix{Platform: pdc.P2, Function: pdc.ModuleUserPart, Index: 1}, Extensions: []Extension{
			DynamicLocation([3]uint32{1, 2, 3}), Product{0xffffffff, 0xffff}.Extension(),
		}},
		"extensions and words": {Product: &unset, Extensions: []Extension{asset.Extension()}},
		"prefix extensions":    {PrefixExtensions: []Extension{ExtraDependency{Dependency{pdc.ModuleNCP, 0, 7}, 2}.Extension()}},
		"end with data":        {PrefixExtensions: []Extension{{ExtensionEnd, []byte{1, 2}}}},
		"compressed":           Compress(Prefix{Function: pdc.ModuleUserPart}, example),
		"longer header":        {Compression: &Compression{WindowBits: 9, Extra: []byte{1, 2, 3}}},
		"asset":                asset.Module(pdc.P2, []byte("la la la")),
		"other flags":          {Prefix: Prefix{Flags: DropInfo | Encrypted | 0x80, Target: 4}, Reserved: 9},
	}
	for name, m := range forms {
		for _, size := range []int{0, 7, 1000} {
			if size > 0 && m.Compression == nil {
				m.Body = make([]byte, size)
				random.Read(m.Body)
			}
			image := m.Append([]byte("before"))[6:]
			got, err := Parse(image)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if !bytes.Equal(got.Append(nil), image) || !bytes.Equal(got.Raw(), image) {
				t.Errorf("%s: written back differently", name)
			}
			if !got.CRCValid() || !got.HashValid() || !bytes.Equal(got.Body, m.Body) || got.Length() != int64(len(image)) {
				t.Errorf("%s: %+v", name, got)
			}
			if len(got.Extensions) != len(m.Extensions) || (got.Compression == nil) != (m.Compression == nil) || got.Reserved != m.Reserved {
				t.Errorf("%s: got %+v", name, got)
			}
		}
	}
}

// TestSuffixSizes are the sizes that builds write (PDC-7.1).
func TestSuffixSizes(t *testing.T) {
	product := Product{7, 8}.Extension()
	for want, m := range map[int]Module{
		36: {Bare: true},
		40: {},
		46: {Extensions: []Extension{product}},
		62: {Extensions: []Extension{DynamicLocation([3]uint32{}), product}},
	} {
		image := m.Append(nil)
		if got := int(image[len(image)-6]); got != want || len(image) != PrefixSize+want+CRCSize {
			t.Errorf("suffix of %d bytes in an image of %d, want %d", got, len(image), want)
		}
	}
}

func TestExtensionViews(t *testing.T) {
	one, two := NewAsset("a", []byte{1}), NewAsset("b/c", []byte{2})
	m := Module{
		Prefix: Prefix{Function: pdc.ModuleUserPart, Dependencies: [2]Dependency{{}, {pdc.ModuleBootloader, 0, 3}}},
		Extensions: []Extension{
			one.Extension(), Product{70000, 2}.Extension(), two.Extension(),
			ExtraDependency{Dependency{pdc.ModuleRadioStack, 0, 9}, 1}.Extension(),
			Security{1, []byte{0x30}}.Extension(),
			{ExtensionAsset, []byte{0, 32, 1}},
			{ExtensionAsset, make([]byte, 40)},
			{ExtensionDependency, nil},
		},
	}
	got, err := Parse(m.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if assets := got.NeededAssets(); !slices.Equal(assets, []Asset{one, two}) {
		t.Errorf("assets %+v", assets)
	}
	if p, ok := got.ProductOf(); !ok || p != (Product{70000, 2}) {
		t.Errorf("product %+v", p)
	}
	if s, ok := got.Security(); !ok || s.Mode != 1 || !bytes.Equal(s.Certificate, []byte{0x30}) {
		t.Errorf("security %+v", s)
	}
	want := []Dependency{{pdc.ModuleBootloader, 0, 3}, {pdc.ModuleRadioStack, 0, 9}}
	if deps := got.AllDependencies(); !slices.Equal(deps, want) {
		t.Errorf("dependencies %+v", deps)
	}

	m = Module{Product: &Product{5, 6}}
	if p, ok := m.ProductOf(); !ok || p != (Product{5, 6}) {
		t.Errorf("product words %+v", p)
	}
	m = userPart()
	_, hasProduct := m.ProductOf()
	_, hasSecurity := m.Security()
	_, isAsset := m.Asset()
	if hasProduct || hasSecurity || isAsset || m.NeededAssets() != nil {
		t.Error("a plain user part has extensions")
	}
	a := one.Module(pdc.P2, []byte{1})
	if got, ok := a.Asset(); !ok || got != one {
		t.Errorf("asset %+v", got)
	}
}

func TestCombined(t *testing.T) {
	first, second := systemPart(), userPart()
	first.Flags |= Combined
	image := second.Append(first.Append(nil))
	all, err := ParseAll(image)
	if err != nil || len(all) != 2 || all[0].Function != pdc.ModuleSystemPart || all[1].Function != pdc.ModuleUserPart {
		t.Fatalf("%d modules, %v", len(all), err)
	}
	_, err = Parse(image)
	wantCode(t, err, pdc.ErrModuleSize)
	_, err = ParseAll(append(slices.Clone(image), 0))
	wantCode(t, err, pdc.ErrModuleSize)
	_, err = ParseAll(first.Append(nil))
	wantCode(t, err, pdc.ErrModuleNotFound)
	second.Flags |= Combined
	_, err = ParseAll(second.Append(image[:9000]))
	wantCode(t, err, pdc.ErrModuleFormat)
}

func TestCompressed(t *testing.T) {
	original := recorded(t, "v6.2.0-tcp-ota2")
	m := Compress(Prefix{Platform: pdc.P2, Function: pdc.ModuleSystemPart}, original)
	got, err := Parse(m.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if back, err := got.Decompress(len(original)); err != nil || !bytes.Equal(back, original) {
		t.Errorf("decompressed %d bytes, %v", len(back), err)
	}
	_, err = got.Decompress(len(original) - 1)
	wantCode(t, err, pdc.ErrModuleSize)
	m.Compression.OriginalSize--
	_, err = m.Decompress(1 << 20)
	wantCode(t, err, pdc.ErrModuleFormat)
	m.Compression.OriginalSize += 2
	_, err = m.Decompress(1 << 20)
	wantCode(t, err, pdc.ErrModuleFormat)
	m.Body[5] ^= 0xff
	_, err = m.Decompress(1 << 20)
	wantCode(t, err, pdc.ErrModuleFormat)
	plain := userPart()
	_, err = plain.Decompress(1 << 20)
	wantCode(t, err, pdc.ErrModuleFormat)
}

// TestDecompressIsBounded: a small file cannot claim memory.
func TestDecompressIsBounded(t *testing.T) {
	m := Compress(Prefix{}, make([]byte, 1<<20))
	m.Compression.OriginalSize = 100
	_, err := m.Decompress(1 << 30)
	wantCode(t, err, pdc.ErrModuleFormat)
}

// TestCutAtEveryByte: every truncation is an error that says so.
func TestCutAtEveryByte(t *testing.T) {
	asset := NewAsset("name", []byte("content")).Module(pdc.P2, []byte("content"))
	rtl := Module{Extensions: []Extension{Product{1, 2}.Extension()}, PrefixExtensions: []Extension{{9, []byte{1}}}}
	table := systemPart()
	compressed := Compress(Prefix{}, example)
	for _, m := range []Module{userPart(), asset, rtl, compressed, table} {
		image := m.Append(nil)
		for n := range image {
			_, err := Parse(image[:n])
			var e *Error
			if !errors.As(err, &e) || e.Code != pdc.ErrModuleNotFound && e.Code != pdc.ErrIntegrity {
				t.Fatalf("cut to %d of %d: %v", n, len(image), err)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	change := func(m Module, at int, b ...byte) []byte {
		image := m.Append(nil)
		if at < 0 {
			at += len(image)
		}
		copy(image[at:], b)
		Seal(image)
		return image
	}
	flagged := userPart()
	flagged.Body = []byte{1, 0, 3}
	for _, test := range []struct {
		name  string
		image []byte
		want  pdc.SystemError
	}{
		{"empty", nil, pdc.ErrModuleNotFound},
		{"end before start", change(userPart(), 4, 0, 0, 0, 0), pdc.ErrModuleNotFound},
		{"no room for a suffix", append([]byte{0, 0, 0, 0, 59}, make([]byte, 100)...), pdc.ErrModuleNotFound},
		{"whole address space", append([]byte{0, 0, 0, 0, 255, 255, 255, 255}, make([]byte, 100)...), pdc.ErrIntegrity},
		{"suffix of 35", change(userPart(), -6, 35), pdc.ErrModuleFormat},
		{"suffix of 37", change(userPart(), -6, 37), pdc.ErrModuleFormat},
		{"suffix longer than the module", change(userPart(), -6, 0xff, 0xff), pdc.ErrModuleFormat},
		{"extension of 3 bytes", change(Module{Extensions: []Extension{{1, make([]byte, 6)}}}, 26, 3), pdc.ErrModuleFormat},
		{"prefix extensions without end", change(flagged, 9, byte(PrefixExtensions)), pdc.ErrModuleFormat},
		{"no compression header", change(flagged, 9, byte(Compressed)), pdc.ErrModuleFormat},
		{"compression header of 7", change(Module{Compression: &Compression{}}, 24, 7), pdc.ErrModuleFormat},
		{"compression header too long", change(Module{Compression: &Compression{}}, 24, 9), pdc.ErrModuleFormat},
		{"compression method 1", change(Module{Compression: &Compression{Method: 1}}, 0), pdc.ErrModuleFormat},
		{"window of 7 bits", change(Module{Compression: &Compression{WindowBits: 7}}, 0), pdc.ErrModuleFormat},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse(test.image)
			wantCode(t, err, test.want)
		})
	}
}

func TestFlagsHaveNames(t *testing.T) {
	for f, want := range map[Flags]string{
		0: "none", DropInfo | Combined: "drop info, combined", PrefixExtensions | 0x40: "prefix extensions, 0x40",
		Compressed | Encrypted: "compressed, encrypted",
	} {
		if got := f.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestMisuseIsOurBug(t *testing.T) {
	small := userPart()
	for name, use := range map[string]func(){
		"vector table":   func() { m := Module{VectorTable: make([]byte, 512)}; m.Append(nil) },
		"long extension": func() { m := Module{Extensions: []Extension{{1, make([]byte, 65532)}}}; m.Append(nil) },
		"long suffix":    func() { m := Module{Extensions: []Extension{{1, make([]byte, 65520)}}}; m.Append(nil) },
		"long header":    func() { m := Module{Compression: &Compression{Extra: make([]byte, 65530)}}; m.Append(nil) },
		"fill":           func() { small.Fill(67, seed.Bytes(1, "x")) },
		"fill without":   func() { small.Fill(80, bytes.NewReader(nil)) },
		"seal":           func() { Seal(make([]byte, 37)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			use()
		}()
	}
}
