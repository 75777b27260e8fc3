package endpoint

import (
	"encoding/binary"
	"net/netip"
)

// appendAddrPort appends an address and port: a length, so many bytes, and the
// port.
func appendAddrPort(b []byte, a netip.AddrPort) []byte {
	addr := a.Addr().Unmap().AsSlice()
	b = append(append(b, byte(len(addr))), addr...)
	return binary.BigEndian.AppendUint16(b, a.Port())
}

// parseAddrPort takes an address and port off b.
func parseAddrPort(b []byte) (a netip.AddrPort, rest []byte, ok bool) {
	if len(b) < 1 || len(b) < 1+int(b[0])+2 {
		return a, nil, false
	}
	n := int(b[0])
	addr, valid := netip.AddrFromSlice(b[1 : 1+n])
	if !valid && n != 0 {
		return a, nil, false
	}
	return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(b[1+n:])), b[1+n+2:], true
}
