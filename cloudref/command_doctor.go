package cloudref

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cloudref/doctor"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/keyblob"
)

// errUnwell is the end of a doctor who found something wrong. It was told.
type errUnwell struct{}

// Error is for those who do not know the exit code.
func (errUnwell) Error() string { return "something is wrong" }

// ExitCode returns the exit code.
func (errUnwell) ExitCode() int { return 1 }

func (s *settings) doctorCommand() *cobra.Command {
	var probe string
	cmd := &cobra.Command{
		Use: "doctor [DEVICE_ID]", Short: "Find out why a board does not connect", Args: cobra.MaximumNArgs(1), SilenceUsage: true,
		Long: `Find out why boards, or one board, do not connect: ask the running cloud what it refused
and why, look at its addresses, at the files for boards and at the ways to boards, and
say for each finding what to do.

With --probe it asks from where it runs whether a cloud answers at an address, which
needs no cloud on this machine: run it in the network of the board.

Exit codes: 0 nothing is wrong, 1 something is, 2 wrong usage.`,
		Example: `  muster cloud doctor
  muster cloud doctor e00fce68a1b2c3d4e5f60718
  muster cloud doctor --probe 192.168.1.20       from the network of the board`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.examine(cmd.Context(), args, probe)
			if err != nil {
				return err
			}
			return tellFindings(cmd.OutOrStdout(), doctor.Judge(c))
		},
	}
	cmd.Flags().StringVar(&probe, "probe", "", "only ask whether a cloud answers at this address or name")
	return cmd
}

// tellFindings prints the findings. The error says that something is wrong.
func tellFindings(w io.Writer, findings []doctor.Finding) error {
	unwell := false
	for _, f := range findings {
		unwell = unwell || f.Level == doctor.Bad
		fmt.Fprintf(w, "%-5s  %s\n", f.Level, f.What)
		if f.Do != "" {
			fmt.Fprintf(w, "       → %s\n", f.Do)
		}
	}
	if unwell {
		return errUnwell{}
	}
	return nil
}

// examine finds out what there is to find out.
func (s *settings) examine(ctx context.Context, args []string, probe string) (*doctor.Case, error) {
	c := &doctor.Case{Now: time.Now()}
	if probe != "" {
		if len(args) > 0 {
			return nil, &UsageError{errors.New("--probe asks an address, not for a device")}
		}
		c.Probes = []doctor.Probe{doctor.ProbeUDP(ctx, doctor.HostPort(probe, PortUDP)), doctor.ProbeTCP(ctx, doctor.HostPort(probe, PortTCP))}
		return c, nil
	}
	c.Data, c.Own = s.data, ownAddresses()
	c.BlobHost, c.BlobUDP = blobAddress(s.data)
	query := ""
	if len(args) > 0 {
		id, err := store.ParseDeviceID(args[0])
		if err != nil {
			return nil, &UsageError{fmt.Errorf("device %q: an id has 24 hexadecimal digits", args[0])}
		}
		query = "?device=" + url.QueryEscape(id.String())
	}
	client, running := dialSocket(ctx, s.data)
	if !running {
		c.Ports = takenPorts(ctx)
		return c, nil
	}
	defer client.close()
	c.Report = &doctor.Report{}
	if err := client.do(ctx, http.MethodGet, "/report"+query, nil, c.Report); err != nil {
		return nil, err
	}
	probeAddresses(ctx, c)
	return c, nil
}

// probeAddresses asks the addresses of the running cloud from this machine, and the
// system about the ways to the boards that were refused.
func probeAddresses(ctx context.Context, c *doctor.Case) {
	if a, err := netip.ParseAddrPort(c.Report.UDP); err == nil {
		c.Probes = append(c.Probes, doctor.ProbeUDP(ctx, reachable(a, c.BlobHost)))
	}
	if a, err := netip.ParseAddrPort(c.Report.TCP); err == nil {
		c.Probes = append(c.Probes, doctor.ProbeTCP(ctx, reachable(a, c.BlobHost)))
	}
	seen := map[string]bool{}
	for _, r := range c.Report.Refusals {
		if host := hostOf(r.Peer); host != "" && !seen[host] && len(seen) < refusedRoutes {
			seen[host] = true
			c.Routes = append(c.Routes, doctor.Route(ctx, r.Peer))
		}
	}
	if d := c.Report.Device; d != nil && d.Peer != "" && !seen[hostOf(d.Peer)] {
		c.Routes = append(c.Routes, doctor.Route(ctx, d.Peer))
	}
}

// refusedRoutes bounds how many ways to boards are looked at.
const refusedRoutes = 20

// reachable returns where a listener can be reached: for every address of this
// machine at the one that boards are told, as far as it is of this machine.
func reachable(a netip.AddrPort, host string) string {
	if !a.Addr().IsUnspecified() {
		return a.String()
	}
	told, err := netip.ParseAddr(host)
	for _, own := range ownAddresses() {
		if err == nil && own.Unmap() == told {
			return netip.AddrPortFrom(told, a.Port()).String()
		}
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), a.Port()).String()
}

// takenPorts returns those of the ports without flags that are taken.
func takenPorts(ctx context.Context) (ports []doctor.Port) {
	for _, p := range []doctor.Port{
		{What: "UDP", Address: netip.AddrPortFrom(netip.IPv4Unspecified(), PortUDP), Flag: "--udp"},
		{What: "TCP", Address: netip.AddrPortFrom(netip.IPv4Unspecified(), PortTCP), Flag: "--tcp"},
		{What: "HTTP", Address: netip.MustParseAddrPort(fmt.Sprintf("127.0.0.1:%d", PortHTTP)), Flag: "--http"},
	} {
		network := "tcp4"
		if p.What == "UDP" {
			network = "udp4"
		}
		if taken, by := doctor.PortTaken(ctx, network, p.Address); taken {
			p.By = by
			ports = append(ports, p)
		}
	}
	return ports
}

// blobAddress returns the address in the server-key file for boards over UDP, ""
// if there is none.
func blobAddress(dir string) (host string, port uint16) {
	b, err := os.ReadFile(filepath.Join(dir, fileBlobUDP))
	if err != nil {
		return "", 0
	}
	blob, err := keyblob.Parse(b)
	switch {
	case err != nil:
		return "", 0
	case blob.Address.Domain != "":
		return blob.Address.Domain, blob.Address.Port
	default:
		return netip.AddrFrom4(blob.Address.IPv4).String(), blob.Address.Port
	}
}

// ownAddresses are the addresses of this machine.
func ownAddresses() (list []netip.Addr) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			list = append(list, prefix.Addr())
		}
	}
	return list
}
