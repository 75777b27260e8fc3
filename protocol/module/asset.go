package module

import (
	"crypto/sha256"

	"github.com/muster/muster/protocol/pdc"
)

// A hash in an extension: type 0 (SHA-256), its length, and 32 bytes.
const (
	hashTypeSHA256 = 0
	hashHeader     = 2
)

// An Asset names a file that an application needs: what an extension 0x12 of the
// application holds, and the extensions 0x10 and 0x11 of the asset itself.
type Asset struct {
	Hash [HashSize]byte // SHA-256 of the file
	Name string
}

// NewAsset names a file by its content.
func NewAsset(name string, content []byte) Asset {
	return Asset{Hash: sha256.Sum256(content), Name: name}
}

// Extension returns the extension of an application that needs the asset.
func (a Asset) Extension() Extension {
	return Extension{ExtensionAsset, append(a.hash(), a.Name...)}
}

func (a Asset) hash() []byte { return append([]byte{hashTypeSHA256, HashSize}, a.Hash[:]...) }

// Module returns the module that carries the asset to a board.
func (a Asset) Module(platform pdc.Platform, content []byte) Module {
	return Module{
		Prefix:     Prefix{Flags: DropInfo, Platform: platform, Function: pdc.ModuleAsset},
		Body:       content,
		Extensions: []Extension{{ExtensionName, []byte(a.Name)}, {ExtensionHash, a.hash()}},
	}
}

func parseHash(b []byte) (hash [HashSize]byte, rest []byte, ok bool) {
	if len(b) < hashHeader+HashSize || b[0] != hashTypeSHA256 || b[1] != HashSize {
		return hash, nil, false
	}
	return [HashSize]byte(b[hashHeader:]), b[hashHeader+HashSize:], true
}

// NeededAssets returns the assets that an application needs. Extensions that are
// malformed are left out.
func (m *Module) NeededAssets() []Asset {
	var all []Asset
	for _, e := range m.Extensions {
		if e.Type != ExtensionAsset {
			continue
		}
		if hash, name, ok := parseHash(e.Data); ok && len(name) > 0 {
			all = append(all, Asset{Hash: hash, Name: string(name)})
		}
	}
	return all
}

// Asset returns which asset the module carries. It is false when it is none, or
// lacks its name or its hash.
func (m *Module) Asset() (Asset, bool) {
	name, hasName := find(m.Extensions, ExtensionName, 1)
	data, hasHash := find(m.Extensions, ExtensionHash, 0)
	hash, _, isHash := parseHash(data)
	if m.Function != pdc.ModuleAsset || !hasName || !hasHash || !isHash {
		return Asset{}, false
	}
	return Asset{Hash: hash, Name: string(name)}, true
}
