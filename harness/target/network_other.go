//go:build !linux

package target

import (
	"errors"
	"net"
	"net/netip"
	"os/exec"
)

// MainIfAsked does nothing: programs share this machine's network here.
func MainIfAsked() {}

// A network is that of one program.
type network struct{}

func ownNetwork(*exec.Cmd, string, netip.Addr, netip.AddrPort) (*network, error) {
	return nil, errors.ErrUnsupported
}

func (*network) started()     {}
func (*network) close() error { return nil }

func noNetwork(error) bool { return true }

func yieldPort(*net.UDPConn) error { return nil }
