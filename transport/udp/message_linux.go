package udp

import (
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A message is the kernel's struct mmsghdr: recvmmsg and sendmmsg take arrays.
type message struct {
	header unix.Msghdr
	size   uint32 // bytes received or sent
}

// A sockaddr has room for the address of either family.
type sockaddr = unix.RawSockaddrInet6

// controlSize is the room for the ancillary data of one message: where it was
// addressed to, or shall come from.
var controlSize = unix.CmsgSpace(unix.SizeofInet6Pktinfo)

func port(p *uint16) *[2]byte { return (*[2]byte)(unsafe.Pointer(p)) } // in network order

func getPort(p *uint16) uint16 { return uint16(port(p)[0])<<8 | uint16(port(p)[1]) }

func putPort(p *uint16, v uint16) { *port(p) = [2]byte{byte(v >> 8), byte(v)} }

// addrPort reads what the kernel wrote; the zero AddrPort when it is of neither
// family.
func addrPort(s *sockaddr) netip.AddrPort {
	switch s.Family {
	case unix.AF_INET:
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(s))
		return netip.AddrPortFrom(netip.AddrFrom4(four.Addr), getPort(&four.Port))
	case unix.AF_INET6:
		return netip.AddrPortFrom(withZone(netip.AddrFrom16(s.Addr), s.Scope_id), getPort(&s.Port))
	}
	return netip.AddrPort{}
}

// withZone adds the interface to an address that is local to a link.
func withZone(a netip.Addr, scope uint32) netip.Addr {
	if scope == 0 || !a.IsLinkLocalUnicast() {
		return a
	}
	return a.WithZone(strconv.FormatUint(uint64(scope), 10))
}

// scope is the inverse of withZone; 0 for a zone that is not a number.
func scope(a netip.Addr) uint32 {
	n, _ := strconv.ParseUint(a.Zone(), 10, 32)
	return uint32(n)
}

// putSockaddr writes ap and returns its size.
func putSockaddr(s *sockaddr, ap netip.AddrPort) uint32 {
	addr := ap.Addr().Unmap()
	if addr.Is4() {
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(s))
		*four = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: addr.As4()}
		putPort(&four.Port, ap.Port())
		return unix.SizeofSockaddrInet4
	}
	*s = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: addr.As16(), Scope_id: scope(addr)}
	putPort(&s.Port, ap.Port())
	return unix.SizeofSockaddrInet6
}

// headerAt returns the ancillary header at the start of b and its data.
func headerAt(b []byte) (*unix.Cmsghdr, unsafe.Pointer) {
	return (*unix.Cmsghdr)(unsafe.Pointer(&b[0])), unsafe.Pointer(&b[unix.CmsgLen(0)])
}

// destination finds the address that a received datagram was sent to; the zero
// Addr when the kernel did not tell.
func destination(b []byte) netip.Addr {
	if len(b) < unix.CmsgLen(unix.SizeofInet4Pktinfo) {
		return netip.Addr{}
	}
	header, data := headerAt(b)
	switch {
	case header.Level == unix.IPPROTO_IP && header.Type == unix.IP_PKTINFO:
		return netip.AddrFrom4((*unix.Inet4Pktinfo)(data).Addr)
	case header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_PKTINFO && len(b) >= unix.CmsgLen(unix.SizeofInet6Pktinfo):
		info := (*unix.Inet6Pktinfo)(data)
		return withZone(netip.AddrFrom16(info.Addr), info.Ifindex)
	}
	return netip.Addr{}
}

// putSource writes the ancillary data that makes a datagram leave from addr and
// returns its size. b has controlSize bytes.
func putSource(b []byte, addr netip.Addr) int {
	header, data := headerAt(b)
	if addr = addr.Unmap(); addr.Is4() {
		*header = unix.Cmsghdr{Level: unix.IPPROTO_IP, Type: unix.IP_PKTINFO}
		header.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
		*(*unix.Inet4Pktinfo)(data) = unix.Inet4Pktinfo{Spec_dst: addr.As4()}
		return unix.CmsgSpace(unix.SizeofInet4Pktinfo)
	}
	*header = unix.Cmsghdr{Level: unix.IPPROTO_IPV6, Type: unix.IPV6_PKTINFO}
	header.SetLen(unix.CmsgLen(unix.SizeofInet6Pktinfo))
	*(*unix.Inet6Pktinfo)(data) = unix.Inet6Pktinfo{Addr: addr.As16(), Ifindex: scope(addr)}
	return unix.CmsgSpace(unix.SizeofInet6Pktinfo)
}
