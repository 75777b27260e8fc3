package module

import (
	"bytes"
	"testing"

	"github.com/muster/muster/protocol/pdc"
)

// FuzzParse: no image makes it panic, and what it reads it writes back, but for
// hash and CRC, to the same bytes.
func FuzzParse(f *testing.F) {
	f.Add(example)
	f.Add(recorded(f, "v6.2.0-tcp-ota2"))
	for _, d := range defects {
		if image := d.make(); len(image) < 20000 {
			f.Add(image)
		}
	}
	rtl := Module{
		Extensions:       []Extension{DynamicLocation([3]uint32{}), Security{1, []byte{1}}.Extension()},
		PrefixExtensions: []Extension{{3, make([]byte, 8)}},
	}
	f.Add(rtl.Append(nil))
	f.Fuzz(func(t *testing.T, image []byte) {
		c, b := target(), board()
		_, cloudErr := c.Check(image)
		_, _ = b.Validate(image)
		all, err := ParseAll(image)
		if err != nil {
			if cloudErr == nil {
				t.Fatal("a cloud takes what does not parse")
			}
			return
		}
		var back []byte
		for i := range all {
			m := &all[i]
			m.AllDependencies()
			m.NeededAssets()
			m.Asset()
			m.Security()
			m.ProductOf()
			if m.Compression != nil {
				if d, err := m.Decompress(1 << 16); err == nil && len(d) > 1<<16 {
					t.Fatalf("%d bytes decompressed", len(d))
				}
			}
			back = m.Append(back)
			if m.HashValid() && m.CRCValid() && !bytes.Equal(back[len(back)-len(m.Raw()):], m.Raw()) {
				t.Fatalf("got %x, want %x", back, m.Raw())
			}
		}
		if len(back) != len(image) {
			t.Fatalf("%d bytes written, %d read", len(back), len(image))
		}
		again, err := ParseAll(back)
		if err != nil || len(again) != len(all) {
			t.Fatalf("what was written does not parse: %v", err)
		}
		for i := range again {
			if !again[i].CRCValid() || !again[i].HashValid() || again[i].Prefix != all[i].Prefix {
				t.Fatalf("got %+v, want %+v", again[i].Prefix, all[i].Prefix)
			}
		}
	})
}

// FuzzBuild: every module that is made is read and accepted.
func FuzzBuild(f *testing.F) {
	f.Add([]byte("body"), uint16(6), uint32(0xb4000), []byte("extension"))
	f.Fuzz(func(t *testing.T, body []byte, version uint16, start uint32, extension []byte) {
		if len(extension) > 1000 || start > 1<<31 {
			t.Skip("not what builds make")
		}
		m := Module{
			Prefix:     Prefix{Start: start, Version: version, Platform: pdc.Boron, Function: pdc.ModuleUserPart, Index: 7},
			Body:       body,
			Extensions: []Extension{{0x7000, extension}},
		}
		if len(extension) == 0 {
			m.Extensions = nil
		}
		if prefix := m.Append(nil); prefixOffset(prefix) != 0 {
			t.Skip("the start address looks like a stack pointer")
		}
		c := target()
		all, err := c.Check(m.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if got := all[0]; !bytes.Equal(got.Body, body) || got.Version != version || got.Start != start {
			t.Fatalf("got %+v", got)
		}
	})
}
