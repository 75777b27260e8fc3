package vnet

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// A directory finds nodes by address. IPv4 addresses have a map of their own:
// its keys are a sixth of a netip.Addr, and a million of them fit a cache
// better.
type directory struct {
	four     map[uint32]*Node
	six      map[netip.Addr]*Node
	prefixes []prefixEntry
}

type prefixEntry struct {
	prefix netip.Prefix
	node   *Node
}

func key(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// find returns the node that has address a, nil when there is none.
func (d *directory) find(a netip.Addr) *Node {
	var node *Node
	if a.Is4() {
		node = d.four[key(a)]
	} else {
		node = d.six[a]
	}
	if node != nil || len(d.prefixes) == 0 {
		return node
	}
	for _, p := range d.prefixes {
		if p.prefix.Contains(a) {
			return p.node
		}
	}
	return nil
}

// add panics when the address is taken or is none: a network of a test or a
// scenario is put together wrongly.
func (d *directory) add(a netip.Addr, node *Node) {
	switch {
	case !a.IsValid() || a.IsUnspecified():
		panic(fmt.Sprintf("vnet: %v is no address for a node", a))
	case d.find(a) != nil:
		panic(fmt.Sprintf("vnet: address %v is taken", a))
	case a.Is4():
		if d.four == nil {
			d.four = make(map[uint32]*Node)
		}
		d.four[key(a)] = node
	default:
		if d.six == nil {
			d.six = make(map[netip.Addr]*Node)
		}
		d.six[a] = node
	}
}

func (d *directory) remove(a netip.Addr) {
	switch {
	case !a.IsValid():
		// The node had a prefix only.
	case a.Is4():
		delete(d.four, key(a))
	default:
		delete(d.six, a)
	}
}

func (d *directory) removePrefix(p netip.Prefix) {
	d.prefixes = slices.DeleteFunc(d.prefixes, func(e prefixEntry) bool { return e.prefix == p })
}
