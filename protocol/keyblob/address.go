package keyblob

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// AddressSize is the size of the address block in bytes.
const AddressSize = 128

// DomainMax is the length of the longest domain name that every device takes.
//
// Device OS: most releases take 63, one parser takes 62 (hal/shared).
const DomainMax = 62

// domainLimit is the longest that Parse takes.
const domainLimit = 63

// The address block. IPv6 has no type.
const (
	typeIPv4   = 0
	typeDomain = 1
	typeNone   = 0xff

	valueOffset = 2
	portOffset  = 66
)

// An Address is where a device finds its cloud. The zero value is the address
// that is built into the firmware.
type Address struct {
	// Domain is a name, printable ASCII, at most [DomainMax] bytes. A device
	// replaces "$id" in it. Empty when IPv4 is set.
	Domain string
	// IPv4 is an address in network order, zero when Domain is set.
	IPv4 [4]byte
	// Port is 0 for that of the transport.
	//
	// Device OS: from 1.1 on devices ignore the port for UDP, and the gcc
	// platform for both (hal/shared/parse_server_address.h).
	Port uint16
}

// IsZero reports whether a says nothing.
func (a Address) IsZero() bool { return a == Address{} }

// ParseAddress decodes an address block of at least 68 bytes. A block that names
// no address gives the zero Address, whatever its port. The error is a
// [*FormatError].
func ParseAddress(b []byte) (Address, error) {
	if len(b) < portOffset+2 {
		return Address{}, formatError("address block of %d bytes", len(b))
	}
	a := Address{Port: binary.BigEndian.Uint16(b[portOffset:])}
	if a.Port == 0xffff {
		a.Port = 0
	}
	length := int(b[1])
	switch b[0] {
	case typeIPv4:
		a.IPv4 = [4]byte(b[valueOffset:])
		if length != len(a.IPv4) || a.IPv4 == [4]byte{} || a.IPv4 == [4]byte{255, 255, 255, 255} {
			return Address{}, formatError("IPv4 address %v of %d bytes", a.IPv4, length)
		}
	case typeDomain:
		if length == 0 || length > domainLimit {
			return Address{}, formatError("domain name of %d bytes", length)
		}
		a.Domain = string(b[valueOffset : valueOffset+length])
		if !printable(a.Domain) {
			return Address{}, formatError("domain name is not printable ASCII")
		}
	default:
		return Address{}, nil
	}
	return a, nil
}

// Append appends the 128 bytes of the address block. It panics when a is both or
// neither of a domain and an IPv4 address but not zero, or not valid.
func (a Address) Append(b []byte) []byte {
	block := bytes.Repeat([]byte{typeNone}, AddressSize)
	isIPv4 := a.IPv4 != [4]byte{}
	switch {
	case a.IsZero():
	case a.Domain != "" && !isIPv4 && len(a.Domain) <= DomainMax && printable(a.Domain):
		block[0], block[1] = typeDomain, byte(len(a.Domain))
		copy(block[valueOffset:], a.Domain)
	case a.Domain == "" && isIPv4 && a.IPv4 != [4]byte{255, 255, 255, 255}:
		block[0], block[1] = typeIPv4, 4
		copy(block[valueOffset:], a.IPv4[:])
	default:
		panic(fmt.Sprintf("keyblob: not an address: %+v", a))
	}
	if a.Port != 0 {
		binary.BigEndian.PutUint16(block[portOffset:], a.Port)
	}
	return append(b, block...)
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
