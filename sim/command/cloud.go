package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/loadtest"
	"github.com/muster/muster/sim/scenario"
)

// where finds the cloud, with the keys that the devices pin.
func (s *settings) where(ctx context.Context, sc *scenario.Scenario, list []fleet.Member) (c loadtest.Cloud, err error) {
	pinned, err := s.pinned(list)
	if err != nil {
		return c, err
	}
	c = loadtest.Cloud{Name: s.cloud, EC: pinned.EC, RSA: pinned.RSA}
	if c.UDP, c.TCP, err = s.addresses(ctx); err != nil {
		return c, err
	}
	if len(sc.Callers) == 0 && len(sc.Campaigns) == 0 {
		return c, nil
	}
	if c.API, err = s.base(); err != nil {
		return c, err
	}
	c.Token, err = s.tokenFor("the scenario has callers or campaigns, which need")
	return c, err
}

// needs reports which transports the devices have.
func needs(list []fleet.Member) (udp, tcp bool) {
	for _, m := range list {
		if m.Profile.Board.UDP {
			udp = true
		} else {
			tcp = true
		}
	}
	return udp, tcp
}

// pinned loads the keys of the cloud that the devices need.
func (s *settings) pinned(list []fleet.Member) (c fleet.CloudKeys, err error) {
	for _, path := range s.cloudKeys {
		if err := c.Load(path); err != nil {
			return c, err
		}
	}
	udp, tcp := needs(list)
	switch {
	case udp && c.EC == nil:
		return c, errors.New("devices over UDP need the cloud's P-256 key: give --cloud-key server-udp.der")
	case tcp && c.RSA == nil:
		return c, errors.New("devices over TCP need the cloud's RSA key: give --cloud-key server-tcp.der")
	}
	return c, nil
}

// host returns the host of the cloud, and its port if there is one.
func (s *settings) host() (host string, port uint16, err error) {
	h, text, splitErr := net.SplitHostPort(s.cloud)
	if splitErr != nil {
		return strings.Trim(s.cloud, "[]"), 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("--cloud %s: %q is no port", s.cloud, text)
	}
	return h, uint16(n), nil
}

// addresses finds the cloud.
func (s *settings) addresses(ctx context.Context) (udp, tcp netip.AddrPort, err error) {
	host, port, err := s.host()
	if err != nil {
		return udp, tcp, err
	}
	udpPort, tcpPort := uint16(fleet.PortUDP), uint16(fleet.PortTCP)
	if port != 0 {
		udpPort, tcpPort = port, port
	}
	if s.tcpPort != 0 {
		tcpPort = s.tcpPort
	}
	addr, err := lookup(ctx, host)
	return netip.AddrPortFrom(addr, udpPort), netip.AddrPortFrom(addr, tcpPort), err
}

// lookup returns the address of a host, IPv4 if it has one, as boards do.
func lookup(ctx context.Context, host string) (netip.Addr, error) {
	list, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("finding the cloud: %w", err)
	}
	for _, a := range list {
		if a.Unmap().Is4() {
			return a.Unmap(), nil
		}
	}
	return list[0], nil
}

// portAPI is that of the REST API of the reference cloud.
const portAPI = "8080"

// base returns the base of the cloud's API.
func (s *settings) base() (string, error) {
	if s.api == "" {
		host, _, err := s.host()
		return "http://" + net.JoinHostPort(host, portAPI), err
	}
	u, err := url.Parse(s.api)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("--api %s: want an address such as http://127.0.0.1:8080", s.api)
	}
	return strings.TrimSuffix(s.api, "/"), nil
}

// The variables of the environment with the access token. The second is that of
// "muster conform", and holds where the first is not set.
const (
	tokenVariable  = "MUSTER_TOKEN"
	tokenVariable2 = "MUSTER_API_TOKEN"
)

// errNoToken says that no token was given.
var errNoToken = errors.New("no access token")

// token returns the access token for the API.
func (s *settings) token() (string, error) {
	if s.tokenFile != "" {
		b, err := os.ReadFile(s.tokenFile)
		if err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
		for line := range strings.Lines(string(b)) { // as the reference cloud's login.txt
			if t, found := strings.CutPrefix(line, "token:"); found {
				return strings.TrimSpace(t), nil
			}
		}
		if t := strings.TrimSpace(string(b)); t != "" && !strings.ContainsAny(t, " \n\r\t") {
			return t, nil
		}
		return "", fmt.Errorf("--token-file %s: want a file with one access token and nothing else", s.tokenFile)
	}
	for _, name := range []string{tokenVariable, tokenVariable2} {
		if t := strings.TrimSpace(os.Getenv(name)); t != "" {
			return t, nil
		}
	}
	return "", errNoToken
}

// tokenFor returns the token, or says what it is wanted for.
func (s *settings) tokenFor(what string) (string, error) {
	t, err := s.token()
	if errors.Is(err, errNoToken) {
		err = fmt.Errorf("%s an access token of the cloud's API: set %s or give --token-file FILE; of the reference cloud, \"muster cloud token\" makes one", what, tokenVariable)
	}
	return t, err
}
