package target

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A program that has a network of its own runs below this very program, which is
// started again for that: inside the network it takes what the program sends to the
// cloud, and hands it out through a socket that it inherits.
//
// Device OS: the virtual device binds port 5684 of all addresses, so of two on one
// network each takes what is meant for the other.
const (
	networkVariable = "MUSTER_OWN_NETWORK" // where the program looks for its cloud
	commandVariable = "MUSTER_OWN_COMMAND" // what it runs
	networkFailed   = 125                  // exit code
)

// MainIfAsked must be the first call of a program that runs programs as devices: it
// is started again to be the network of one. Otherwise it returns at once.
func MainIfAsked() {
	mayBeAsked = true
	at, command := os.Getenv(networkVariable), os.Getenv(commandVariable)
	if at == "" {
		return
	}
	code, err := beNetwork(at, command)
	if err != nil {
		fmt.Fprintln(os.Stderr, "muster: a network for a program:", err)
		code = networkFailed
	}
	os.Exit(code)
}

// mayBeAsked is true in programs that call MainIfAsked: others would begin anew.
var mayBeAsked bool

// beNetwork runs a command in this network, which nobody else has, and returns its
// exit code.
func beNetwork(at, command string) (code int, err error) {
	cloud, err := netip.ParseAddrPort(at)
	if err != nil {
		return 0, err
	}
	if err := loopbackUp(); err != nil {
		return 0, fmt.Errorf("its loopback: %w", err)
	}
	inside, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(cloud))
	if err != nil {
		return 0, err
	}
	if err := yieldPort(inside); err != nil {
		return 0, err
	}
	outside, err := inherited()
	if err != nil {
		return 0, err
	}
	go exchange(inside, outside)
	cmd := exec.Command("/bin/sh", "-c", command) //nolint:gosec // it is what the user asked for
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, networkVariable+"=") && !strings.HasPrefix(v, commandVariable+"=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	var ended *exec.ExitError
	if err = cmd.Run(); errors.As(err, &ended) {
		return max(ended.ExitCode(), 1), nil
	}
	return 0, err
}

// inherited returns the way out, which the parent gave.
func inherited() (net.Conn, error) {
	f := os.NewFile(3, "network")
	defer f.Close()
	return net.FileConn(f)
}

// exchange carries datagrams between a program inside and whoever is outside. Between the
// two a byte is in front of each: of an empty message nobody can tell that it is not the
// end.
func exchange(inside *net.UDPConn, outside net.Conn) {
	peers := make(chan netip.AddrPort, 1)
	go func() {
		b := make([]byte, 1<<16)
		var to netip.AddrPort
		for {
			n, err := outside.Read(b)
			if err != nil || n == 0 {
				return
			}
			select {
			case to = <-peers:
			default:
			}
			if to.IsValid() {
				_, _ = inside.WriteToUDPAddrPort(b[1:n], to) // it may get lost, as datagrams do
			}
		}
	}()
	b := make([]byte, 1<<16)
	var last netip.AddrPort
	for {
		n, from, err := inside.ReadFromUDPAddrPort(b[1:])
		if err != nil {
			return
		}
		if from != last {
			last = from
			select {
			case <-peers:
			default:
			}
			peers <- from
		}
		if _, err := outside.Write(b[:1+n]); err != nil {
			return
		}
	}
}

// yieldPort lets a program bind the port on all addresses, if it says that it shares
// it.
func yieldPort(c *net.UDPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
	return errors.Join(err, failed)
}

// loopbackUp switches the loopback of a new network on.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // it has done its part
	r, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, r); err != nil {
		return err
	}
	r.SetUint16(r.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
}

// A network is that of one program, seen from outside.
type network struct {
	way   *os.File // inherited by the program
	mine  net.Conn
	cloud *net.UDPConn
}

// ownNetwork makes a command run in a network of its own, at whose loopback the cloud
// is found. From outside the program has the address from.
func ownNetwork(cmd *exec.Cmd, command string, from netip.Addr, cloud netip.AddrPort) (*network, error) {
	if !mayBeAsked {
		return nil, fmt.Errorf("%w: call target.MainIfAsked first in main or TestMain", errors.ErrUnsupported)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	n := &network{way: os.NewFile(uintptr(pair[1]), "network")}
	mine := os.NewFile(uintptr(pair[0]), "network")
	n.mine, err = net.FileConn(mine)
	if err = errors.Join(err, mine.Close()); err != nil {
		return nil, errors.Join(err, n.way.Close())
	}
	if n.cloud, err = net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), net.UDPAddrFromAddrPort(cloud)); err != nil {
		return nil, errors.Join(err, n.mine.Close(), n.way.Close())
	}
	cmd.Path, cmd.Args = self, []string{self}
	cmd.Env = append(cmd.Env, networkVariable+"="+cloud.String(), commandVariable+"="+command)
	cmd.ExtraFiles = []*os.File{n.way}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return n, nil
}

// started carries datagrams until close.
func (n *network) started() {
	_ = n.way.Close() // the program has it
	go func() {
		b := make([]byte, 1<<16)
		for {
			k, err := n.cloud.Read(b[1:])
			switch {
			case errors.Is(err, net.ErrClosed):
				return
			case err != nil:
				continue // the cloud is away for a moment
			}
			if _, err := n.mine.Write(b[:1+k]); err != nil {
				return
			}
		}
	}()
	b := make([]byte, 1<<16)
	for {
		k, err := n.mine.Read(b)
		if err != nil || k == 0 {
			return
		}
		_, _ = n.cloud.Write(b[1:k]) // it may get lost, as datagrams do
	}
}

func (n *network) close() error {
	return errors.Join(n.mine.Close(), n.cloud.Close())
}

// noNetwork reports whether an error says that the system gives no networks to
// whoever asks.
func noNetwork(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EACCES)
}
