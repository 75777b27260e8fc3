package recording

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/transport"
)

// The ports of the cloud, where nobody says otherwise.
const (
	portUDP = 5684
	portTCP = 5683
)

// A Peers finds out who is the cloud: by what the user says, by the port, or by what
// only one side says.
type Peers struct {
	// Named are addresses that the user named; a port of 0 stands for any.
	Named []netip.AddrPort
	found map[netip.AddrPort]bool
}

// ParsePeer reads an address that a user names: with a port or without.
func ParsePeer(text string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddrPort(text); err == nil {
		return a, nil
	}
	a, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is no IP address, with a port or without: a recording has no names", text)
	}
	return netip.AddrPortFrom(a, 0), nil
}

// Is reports whether an address is the cloud's.
func (p *Peers) Is(a netip.AddrPort) bool {
	if len(p.Named) > 0 {
		return slices.ContainsFunc(p.Named, func(n netip.AddrPort) bool {
			return n.Addr().Unmap() == a.Addr() && (n.Port() == 0 || n.Port() == a.Port())
		})
	}
	return p.found[a]
}

// Find reads a file for addresses that are the cloud's: who listens on a port of the
// cloud, who is sent what only a device sends, and who begins a TCP connection that
// was opened to it with a nonce. With addresses that the user named it does nothing.
func (p *Peers) Find(f *File) error {
	if len(p.Named) > 0 {
		return nil
	}
	if p.found == nil {
		p.found = make(map[netip.AddrPort]bool)
	}
	opened := make(map[[2]netip.AddrPort]bool) // from whom to whom
	_, _, err := f.each(func(netip.AddrPort) bool { return false }, func(transport.Sighting) {}, func(t talk) {
		switch {
		case t.tcp && t.syn:
			if len(opened) < openedMax {
				opened[[2]netip.AddrPort{t.from, t.to}] = true
			}
			if t.to.Port() == portTCP {
				p.found[t.to] = true
			}
		case t.tcp && len(t.data) > 0:
			if key := [2]netip.AddrPort{t.to, t.from}; opened[key] {
				delete(opened, key) // the first bytes tell
				if len(t.data) == lightssl.NonceSize {
					p.found[t.from] = true
				}
			}
		case t.tcp:
		case claims(t.data) || t.to.Port() == portUDP && t.from.Port() != portUDP:
			p.found[t.to] = true
		}
	})
	return err
}

// openedMax bounds the TCP connections that are watched for a nonce.
const openedMax = 1 << 16

// Found returns the addresses that were named or found, in order.
func (p *Peers) Found() []netip.AddrPort {
	if len(p.Named) > 0 {
		return p.Named
	}
	return slices.SortedFunc(maps.Keys(p.found), netip.AddrPort.Compare)
}

// claims reports whether a datagram is one that only a device sends.
func claims(data []byte) bool {
	if len(data) < 13 || data[1] != 0xfe {
		return false
	}
	switch dtls.ContentType(data[0]) {
	case dtls.TypeCID, dtls.TypeMovedCID, dtls.TypeMovedTrailer:
		return true
	case dtls.TypeHandshake:
		const clientHello = 1
		return len(data) > 13 && data[3] == 0 && data[4] == 0 && data[13] == clientHello
	default:
		return false
	}
}
