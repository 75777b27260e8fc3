package fleet

import (
	"context"
	"crypto/x509"
	"net/netip"
	"testing"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/standin"
)

// A scripted is a cloud that answers what keeps devices happy, and no more.
type scripted struct {
	*standin.Cloud
	keys *Keys
}

var cloudEC = standin.EC

func newScripted(keys *Keys) *scripted {
	rsaKey, err := x509.ParsePKCS1PrivateKey(fixtures.ByName("v3.1.0-tcp-session").ServerKey)
	if err != nil {
		panic(err)
	}
	return &scripted{standin.New(keys, rsaKey), keys}
}

// serve runs the cloud on loopback until the test ends.
func (c *scripted) serve(t testing.TB) (udp, tcp netip.AddrPort) {
	t.Helper()
	udp, tcp, serve, err := c.Open()
	if err != nil {
		t.Fatal(err)
	}
	run(t, serve)
	return udp, tcp
}

// run runs f until the test ends.
func run(t testing.TB, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func (c *scripted) count(k pdc.Kind) int { return c.Count(k) }
func (c *scripted) forget()              { c.Forget() }
