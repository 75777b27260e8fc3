package hooks

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A Guard decides which addresses webhooks may reach. It looks at the address that
// a connection is about to be made to, after names were resolved, so that a name
// that changes its mind does not get past it.
type Guard struct {
	// Deny are networks that webhooks must not reach. DenyOwn denies them every address
	// of this machine besides, public ones too: from within, ports answer there that
	// nobody reaches from without.
	Deny    []netip.Prefix
	DenyOwn bool

	mu  sync.RWMutex
	own map[uint16]bool // ports of this machine where the cloud listens
	// others yields the addresses of the machine of each other node of the cloud, and the
	// ports where it listens. Nil: there are none.
	others iter.Seq2[[]netip.Addr, []uint16]
}

// PrivateNetworks are what a cloud that strangers use should deny its webhooks: private
// networks and their neighbours, in the ranges that have IPv4 addresses within those of
// IPv6 (NAT64, 6to4, Teredo, compatible ones) all of these.
var PrivateNetworks = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16",
	"198.18.0.0/15", "224.0.0.0/3", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16", "fc00::/7", "fe80::/10",
	"fec0::/10", "ff00::/8",
)

// never are networks where no webhook's server is: link-local addresses, and some others
// of the same use, answer with what virtual machines must keep to themselves.
var never = prefixes("169.254.0.0/16", "100.100.100.200/32", "192.0.0.192/32", "224.0.0.0/3", "fd00:ec2::254/128", "fe80::/10", "ff00::/8")

func prefixes(list ...string) []netip.Prefix {
	all := make([]netip.Prefix, 0, len(list))
	for _, text := range list {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// ErrDenied says that a webhook must not reach an address.
var ErrDenied = errors.New("this cloud does not let webhooks reach that address")

// Own notes an address that the cloud listens on: no webhook gets there. It reports
// whether that is new.
func (g *Guard) Own(a netip.AddrPort) bool {
	g.mu.RLock()
	known := g.own[a.Port()]
	g.mu.RUnlock()
	if known || a.Port() == 0 {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.own == nil {
		g.own = make(map[uint16]bool)
	}
	g.own[a.Port()] = true
	return true
}

// OwnPorts returns the ports of this machine that the cloud listens on.
func (g *Guard) OwnPorts() []uint16 {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return slices.Sorted(maps.Keys(g.own))
}

// Others sets where the other nodes of the cloud are: no webhook gets there either.
// others yields the addresses of the machine of each and the ports where it listens. It
// is asked at each connection.
func (g *Guard) Others(others iter.Seq2[[]netip.Addr, []uint16]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.others = others
}

// ofOthers reports whether another node listens at an address.
func (g *Guard) ofOthers(a netip.AddrPort) bool {
	g.mu.RLock()
	others := g.others
	g.mu.RUnlock()
	if others == nil {
		return false
	}
	for addrs, ports := range others {
		if slices.Contains(ports, a.Port()) && (!a.Addr().IsLoopback() && slices.Contains(addrs, a.Addr()) || ofThisMachine(a.Addr()) && neighbour(addrs)) {
			return true
		}
	}
	return false
}

// neighbour reports whether a machine with these addresses is, or may be, this one. What
// is everywhere the same, such as loopback, says nothing.
func neighbour(addrs []netip.Addr) bool {
	telling := 0
	for _, a := range addrs {
		if a.IsLoopback() {
			continue
		}
		if telling++; ofThisMachine(a) {
			return true
		}
	}
	return telling == 0
}

// Check says whether a connection may be made to an address.
func (g *Guard) Check(a netip.AddrPort) error {
	addr := a.Addr().WithZone("").Unmap()
	within := func(p netip.Prefix) bool { return p.Contains(addr) }
	if slices.ContainsFunc(never, within) || slices.ContainsFunc(g.Deny, within) {
		return fmt.Errorf("%w (%v)", ErrDenied, addr)
	}
	g.mu.RLock()
	own := g.own[a.Port()]
	g.mu.RUnlock()
	if (own || g.DenyOwn) && ofThisMachine(addr) {
		if !own {
			return fmt.Errorf("%w (%v)", ErrDenied, addr)
		}
		return fmt.Errorf("%w: it is the cloud's own", ErrDenied)
	}
	if g.ofOthers(netip.AddrPortFrom(addr, a.Port())) {
		return fmt.Errorf("%w: it is another node's of the cloud", ErrDenied)
	}
	return nil
}

// MachineAddrs returns the addresses of this machine, but for those that are good on one
// link only.
func MachineAddrs() []netip.Addr {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var addrs []netip.Addr
	for _, a := range list {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && !prefix.Addr().IsLinkLocalUnicast() {
			addrs = append(addrs, prefix.Addr().Unmap())
		}
	}
	return addrs
}

func ofThisMachine(addr netip.Addr) bool {
	if addr.IsLoopback() || addr.IsUnspecified() {
		return true
	}
	list, err := net.InterfaceAddrs()
	if err != nil {
		return true // then nothing is known for certain
	}
	return slices.ContainsFunc(list, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr().Unmap() == addr
	})
}

// dialTimeout bounds a connection being made.
const dialTimeout = 10 * time.Second

func (g *Guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(address)
		if err != nil {
			return ErrDenied
		}
		return g.Check(a)
	}}
	return d.DialContext(ctx, network, address)
}
