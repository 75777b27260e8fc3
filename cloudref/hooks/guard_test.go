package hooks

import (
	"errors"
	"net"
	"net/netip"
	"testing"
)

func TestGuard(t *testing.T) {
	g := Guard{Deny: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	g.Own(netip.MustParseAddrPort("0.0.0.0:8080"))
	g.Own(netip.MustParseAddrPort("127.0.0.1:9090"))
	for address, denied := range map[string]bool{
		"127.0.0.1:8080":           true,
		"127.9.9.9:8080":           true,
		"0.0.0.0:8080":             true,
		"[::1]:8080":               true,
		"[::]:9090":                true,
		"[::ffff:127.0.0.1]:8080":  true,
		"127.0.0.1:8081":           false,
		"93.184.216.34:8080":       false,
		"10.1.2.3:80":              true,
		"[::ffff:10.1.2.3]:80":     true,
		"169.254.169.254:80":       true, // where virtual machines keep their secrets
		"[::ffff:169.254.1.1]:80":  true,
		"[fe80::1%eth0]:80":        true,
		"[fd00:ec2::254]:80":       true,
		"100.100.100.200:80":       true,
		"[2606:2800:220:1::1]:443": false,
	} {
		if err := g.Check(netip.MustParseAddrPort(address)); errors.Is(err, ErrDenied) != denied {
			t.Errorf("%s: %v", address, err)
		}
	}
	g = Guard{Deny: PrivateNetworks}
	for _, address := range []string{
		"127.0.0.1:80", "192.168.1.1:80", "[::1]:80", "[fd00::1]:80", "100.64.1.1:80", "[64:ff9b::a00:1]:80", "[::127.0.0.1]:80",
		"[2002:7f00:1::]:80", "[fec0::1]:80",
	} {
		if g.Check(netip.MustParseAddrPort(address)) == nil {
			t.Errorf("%s is no private address", address)
		}
	}
}

// A machine's own public address is as near as its loopback.
func TestGuardDeniesThisMachine(t *testing.T) {
	g := Guard{DenyOwn: true}
	list, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		if g.Check(netip.AddrPortFrom(prefix.Addr(), 22)) == nil {
			t.Errorf("%v is this machine's", prefix.Addr())
		}
	}
	if err := g.Check(netip.MustParseAddrPort("93.184.216.34:80")); err != nil {
		t.Error(err)
	}
}

// Webhooks do not reach the other nodes of the cloud: by loopback neither, where their
// machine is this one.
func TestGuardOfOtherNodes(t *testing.T) {
	far, here := netip.MustParseAddr("192.0.2.1"), netip.Addr{}
	for _, a := range MachineAddrs() {
		if !a.IsLoopback() {
			here = a
		}
	}
	var g Guard
	loopback := netip.MustParseAddr("127.0.0.1")
	places := []struct {
		addrs []netip.Addr
		ports []uint16
	}{{[]netip.Addr{loopback, far}, []uint16{8080, 9090}}, {[]netip.Addr{loopback}, []uint16{7070}}}
	if here.IsValid() {
		places[1].addrs = append(places[1].addrs, here)
	}
	g.Others(func(yield func([]netip.Addr, []uint16) bool) {
		for _, p := range places {
			if !yield(p.addrs, p.ports) {
				return
			}
		}
	})
	for address, denied := range map[string]bool{
		"192.0.2.1:8080": true, "[::ffff:192.0.2.1]:9090": true, "192.0.2.1:443": false, "192.0.2.2:8080": false,
		"127.0.0.1:7070": true, "127.1.2.3:7070": true, "0.0.0.0:7070": true, "[::1]:7070": true, "127.0.0.1:7071": false,
	} {
		if err := g.Check(netip.MustParseAddrPort(address)); errors.Is(err, ErrDenied) != denied {
			t.Errorf("%s: %v", address, err)
		}
	}
	// What listens on the loopback of another machine is not what answers here.
	if err := g.Check(netip.MustParseAddrPort("127.0.0.1:9090")); err != nil {
		t.Errorf("127.0.0.1:9090: %v", err)
	}
}
