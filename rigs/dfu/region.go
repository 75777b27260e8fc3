package dfu

import (
	"fmt"

	"github.com/muster/muster/protocol/keyblob"
	"github.com/muster/muster/protocol/module"
	"github.com/muster/muster/protocol/pdc"
)

// The alternate settings of a board in DFU mode, each a memory of its own.
const (
	InternalFlash = 0
	Configuration = 1 // Device OS: the DCT, keys and server address
	ExternalFlash = 2
)

// A Region is a range of one of a board's memories.
type Region struct {
	Alt     int
	Address uint32
	Size    int // in bytes
}

// String returns the region as a person reads it.
func (r Region) String() string {
	return fmt.Sprintf("%d bytes at %#x of alternate setting %d", r.Size, r.Address, r.Alt)
}

// Keys are where a board keeps what it needs for its cloud.
type Keys struct {
	Server Region // key blob: the cloud's public key and address
	Device Region // the board's private key in DER, then ff or old bytes
}

// KeysOf returns where the keys of a transport lie.
//
// Device OS: the offsets of application_dct_t (platform/MCU/*/inc/dct.h), the
// same on every board but the Core, which keeps them in external flash.
func KeysOf(p pdc.Platform, t keyblob.Transport) (Keys, error) {
	switch {
	case p == pdc.Core && t == keyblob.TCP:
		return Keys{Region{Configuration, 0x1000, 2048}, Region{Configuration, 0x2000, 1024}}, nil
	case p == pdc.Core:
		return Keys{}, fmt.Errorf("a Core speaks TCP only")
	case t == keyblob.TCP && p.Generation() != pdc.Gen2:
		return Keys{}, fmt.Errorf("a board of platform %s speaks UDP only", p)
	case t == keyblob.TCP:
		return Keys{Region{Configuration, 2082, 512}, Region{Configuration, 34, 612}}, nil
	}
	return Keys{Region{Configuration, 3298, 320}, Region{Configuration, 3106, 192}}, nil
}

// TransportOf returns the transport that boards of a platform use unless they
// are told otherwise.
func TransportOf(p pdc.Platform) keyblob.Transport {
	if p.DefaultUDP() {
		return keyblob.UDP
	}
	return keyblob.TCP
}

// A Write is one range to write.
type Write struct {
	Region
	Data []byte
}

// The user part of nRF52840 boards: since Device OS 3.1 it may have 256 KiB, and
// one of the former 128 KiB, if it is still valid, lies in its upper half.
const (
	userPart256K   = 0xb4000
	formerUserPart = 0xd4000
	pageNRF        = 4096
)

// Plan returns what to write to install a module by DFU, or why that is not
// possible.
func Plan(m *module.Module) ([]Write, error) {
	const instead = "flash it by control request or over the air"
	switch {
	case m.Function == pdc.ModuleBootloader:
		return nil, fmt.Errorf("a bootloader cannot replace itself: %s", instead)
	case m.Function == pdc.ModuleNCP, m.Function == pdc.ModuleAsset:
		return nil, fmt.Errorf("it does not lie in memory that DFU reaches: %s", instead)
	case m.Flags&module.Combined != 0, m.Flags&module.Compressed != 0, m.Flags&module.Encrypted != 0:
		return nil, fmt.Errorf("DFU writes an image as it is, and this one is %s: %s", m.Flags, instead)
	}
	data := m.Raw()
	if m.Flags&module.DropInfo != 0 {
		data = m.Body
	}
	plan := []Write{{Region{InternalFlash, m.Start, len(data)}, data}}
	isNRF := m.Platform.Generation() == pdc.Gen3NRF
	if isNRF && m.Function == pdc.ModuleUserPart && m.Start == userPart256K && m.Start+uint32(len(data)) <= formerUserPart {
		erased := make([]byte, pageNRF)
		for i := range erased {
			erased[i] = 0xff
		}
		plan = append(plan, Write{Region{InternalFlash, formerUserPart, pageNRF}, erased})
	}
	return plan, nil
}
