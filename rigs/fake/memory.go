//go:build linux

package fake

import (
	"maps"
	"slices"
	"sync"
)

// The alternate settings of DFU, each a memory of its own.
const (
	InternalFlash = 0
	DCT           = 1 // device configuration: keys and server address
	ExternalFlash = 2
)

// A Memory is the flash of a board, by alternate setting and address. It is safe
// for concurrent use.
type Memory struct{ m *memory }

type memory struct {
	mu    sync.Mutex
	pages map[page]*[pageSize]byte
}

type page struct {
	alt    int
	number uint32
}

const pageSize = 4096

func newMemory() Memory { return Memory{&memory{pages: make(map[page]*[pageSize]byte)}} }

// Read returns n bytes; what was never written is ff.
func (m Memory) Read(alt int, address uint32, n int) []byte {
	m.m.mu.Lock()
	defer m.m.mu.Unlock()
	b := make([]byte, n)
	for i := range b {
		at := address + uint32(i)
		b[i] = 0xff
		if p := m.m.pages[page{alt, at / pageSize}]; p != nil {
			b[i] = p[at%pageSize]
		}
	}
	return b
}

// Write writes b. Unlike real flash it needs no erasing.
func (m Memory) Write(alt int, address uint32, b []byte) {
	m.m.mu.Lock()
	defer m.m.mu.Unlock()
	for i, v := range b {
		at := address + uint32(i)
		key := page{alt, at / pageSize}
		p := m.m.pages[key]
		if p == nil {
			p = new([pageSize]byte)
			for j := range p {
				p[j] = 0xff
			}
			m.m.pages[key] = p
		}
		p[at%pageSize] = v
	}
}

// Equal reports whether two memories hold the same.
func (m Memory) Equal(o Memory) bool {
	a, b := m.copied(), o.copied()
	return maps.EqualFunc(a, b, func(x, y []byte) bool { return slices.Equal(x, y) })
}

// copied returns the pages that are not erased.
func (m Memory) copied() map[page][]byte {
	m.m.mu.Lock()
	defer m.m.mu.Unlock()
	c := make(map[page][]byte)
	for k, p := range m.m.pages {
		if slices.ContainsFunc(p[:], func(b byte) bool { return b != 0xff }) {
			c[k] = slices.Clone(p[:])
		}
	}
	return c
}
