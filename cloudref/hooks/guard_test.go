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
