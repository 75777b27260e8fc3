//go:build unix

package fleet

import (
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/muster/muster/sim/profile"
)

// More devices with a socket each than there can be are refused before one of them
// finds out; on loopback devices over UDP need none.
func TestDescriptors(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	before := limit
	limit.Cur = otherDescriptors + 103
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before) })
	f, err := NewReal(Options{UDP: netip.MustParseAddrPort("127.0.0.1:9"), TCP: netip.MustParseAddrPort("127.0.0.1:9")})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	template := Template{Keys: SeededKeys(1, 1), EC: &cloudEC.PublicKey, RSA: newScripted(NewKeys(1)).RSA()}
	kind := func(name string, first, n int) (list []Spec) {
		p, err := profile.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			list = append(list, Spec{Config: template.Config(p), ID: ID(1, first+i)})
		}
		return list
	}
	if _, err := f.Add(kind("boron@6.2.0", 0, 1000)...); err != nil {
		t.Error(err)
	}
	if _, err := f.Add(kind("photon@3.1.0", 1000, 103)...); err != nil {
		t.Error(err)
	}
	if _, err := f.Add(kind("photon@3.1.0", 2000, 1)...); err == nil || !strings.Contains(err.Error(), "ulimit") || f.Len() != 1103 {
		t.Errorf("%v, with %d devices", err, f.Len())
	}
}
