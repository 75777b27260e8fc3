package target

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/muster/muster/harness/capture"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/profile"
)

// startForeign brings simulated devices to a cloud that is not ours. The wire is
// tapped at the devices and read with the secrets of their sessions: those of the
// cloud are not to be had.
func (e *Env) startForeign(ctx context.Context, c *CloudSpec) error {
	for _, step := range []func(context.Context, *CloudSpec) error{e.find, e.pin, e.useAPI} {
		if err := step(ctx, c); err != nil {
			return &SpecError{err}
		}
	}
	e.lackForeign(c)
	c.Name = "the cloud at " + c.host()
	e.wire = newWire(nil, capture.AtDevice, reorder, e.listen, e.options.Evidence)
	for _, a := range []netip.AddrPort{e.address.UDP, e.address.TCP} {
		if a.IsValid() {
			e.wire.cloud(a)
		}
	}
	if err := e.addKnown(ctx, c); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, probeCloudTime)
	defer cancel()
	e.shareOut(ctx)
	return nil
}

// goneTime bounds the look at whether a cloud still listens.
const goneTime = 3 * time.Second

// Gone says that a cloud that is not ours listens no more, "" if it does or nobody knows:
// only a TCP port tells.
func (e *Env) Gone() string {
	if e.options.Spec.Judged() != CloudRole || !e.address.TCP.IsValid() {
		return ""
	}
	return gone(e.address.TCP)
}

func gone(at netip.AddrPort) string {
	conn, err := net.DialTimeout("tcp", at.String(), goneTime)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("nobody listens at %v any more", at)
	case err == nil:
		_ = conn.Close()
	}
	return ""
}

// find finds out where the cloud is.
func (e *Env) find(ctx context.Context, c *CloudSpec) (err error) {
	if e.address.UDP, err = resolve(ctx, c.UDP, fleet.PortUDP); err != nil {
		return err
	}
	e.address.TCP, err = resolve(ctx, c.TCP, fleet.PortTCP)
	return err
}

// resolve finds HOST or HOST:PORT, IPv4 if it has it, as boards do.
func resolve(ctx context.Context, text string, port uint16) (netip.AddrPort, error) {
	if text == "" {
		return netip.AddrPort{}, nil
	}
	host := text
	if h, p, err := net.SplitHostPort(text); err == nil {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return netip.AddrPort{}, fmt.Errorf("%s: %q is no port", text, p)
		}
		host, port = h, uint16(n)
	}
	list, err := net.DefaultResolver.LookupNetIP(ctx, "ip", strings.Trim(host, "[]"))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("finding the cloud: %w", err)
	}
	for _, a := range list {
		if a.Unmap().Is4() {
			return netip.AddrPortFrom(a.Unmap(), port), nil
		}
	}
	return netip.AddrPortFrom(list[0], port), nil
}

// pin loads the public keys of the cloud. A transport without a key is left out.
func (e *Env) pin(_ context.Context, c *CloudSpec) error {
	var keys fleet.CloudKeys
	for _, path := range c.Keys {
		if err := keys.Load(path); err != nil {
			return err
		}
	}
	if keys.EC != nil {
		e.address.EC = dtls.SPKI(keys.EC)
	} else if e.address.UDP.IsValid() {
		e.address.UDP = netip.AddrPort{}
		e.lack("no P-256 key of the cloud was given (--cloud-key)", CloudUDP)
	}
	if keys.RSA != nil {
		e.address.RSA = lightssl.AppendCloudSPKI(nil, keys.RSA)
	} else if e.address.TCP.IsValid() {
		e.address.TCP = netip.AddrPort{}
		e.lack("no RSA key of the cloud was given (--cloud-key)", CloudTCP)
	}
	if !e.address.UDP.IsValid() && !e.address.TCP.IsValid() {
		return errors.New("devices pin the key of their cloud: give --cloud-key FILE, P-256 for UDP and RSA-2048 for TCP")
	}
	return nil
}

// useAPI prepares what is asked of the cloud besides.
func (e *Env) useAPI(_ context.Context, c *CloudSpec) error {
	a := c.API
	if a == nil || a.URL == "" {
		e.lack("no API of the cloud was given (--api)", RESTAPI, Functions, VariableReads, CloudPublish, EventStream, Updates, ClaimCodes)
		return nil
	}
	token, err := a.Token.read()
	if err != nil {
		return err
	}
	tokens := []string{token}
	if a.Second != (Secret{}) {
		if token, err = a.Second.read(); err != nil {
			return err
		}
		tokens = append(tokens, token)
	}
	alive, cancel := context.WithCancel(context.Background())
	e.onStop = append(e.onStop, func() error { cancel(); return nil })
	e.service = newRest(alive, a.URL, tokens)
	return nil
}

// read returns the secret. An error never quotes it.
func (s Secret) read() (string, error) {
	switch {
	case s.File != "":
		b, err := os.ReadFile(s.File)
		if err != nil {
			return "", fmt.Errorf("the token of the API: %w", err)
		}
		for line := range strings.Lines(string(b)) { // as the reference cloud's login.txt
			if token, found := strings.CutPrefix(line, "token:"); found {
				return strings.TrimSpace(token), nil
			}
		}
		switch token := strings.TrimSpace(string(b)); {
		case token == "":
			return "", fmt.Errorf("the token of the API: %s is empty", s.File)
		case !strings.ContainsAny(token, " \n\r\t"):
			return token, nil
		}
		return "", fmt.Errorf("the token of the API: %s holds more than one access token: want a file with that and nothing else", s.File)
	case s.Env != "":
		if token := strings.TrimSpace(os.Getenv(s.Env)); token != "" {
			return token, nil
		}
		if token := strings.TrimSpace(os.Getenv(TokenEnvElse)); token != "" && s.Env == TokenEnv {
			return token, nil
		}
		return "", fmt.Errorf("the token of the API: the variable %s is not set", s.Env)
	}
	return "", errors.New("the API wants a token: give --api-token-file FILE, or set " + TokenEnv)
}

// TokenEnv is the variable of the environment that holds the token of the API,
// where no other is named.
const TokenEnv = "MUSTER_API_TOKEN"

// TokenEnvElse is the variable of the other commands that use an API; it holds where
// TokenEnv is not set.
const TokenEnvElse = "MUSTER_TOKEN"

// lackForeign notes what the harness cannot do with a cloud that is not its own.
func (e *Env) lackForeign(c *CloudSpec) {
	e.lack("the harness cannot restart a cloud that is not its own", Restarts)
	e.lack("the harness does not ask a cloud that is not its own too often", RateLimits)
	e.lack("a cloud that is not the harness's own runs in real time", VirtualTime)
	e.lack("what a cloud that is not the harness's own has recorded is not to be seen", Insight)
	e.lack("a cloud that is not the harness's own asks devices what it wants to", Prompting)
	e.lack("the harness cannot register devices with a cloud that is not its own", Registration, ClaimCodes, Rescues)
	if c.API == nil || c.API.Second == (Secret{}) {
		e.lack("one account was given", TwoAccounts)
	}
	if c.UDP == "" {
		e.lack("no UDP address was given", CloudUDP)
	}
	if c.TCP == "" {
		e.lack("no TCP address was given", CloudTCP)
	}
}

// addKnown puts the devices that the cloud knows into the fleet.
func (e *Env) addKnown(ctx context.Context, c *CloudSpec) error {
	if c.Devices == "" {
		return &SpecError{errors.New("the cloud must know the devices: make keys with muster fleet --keys-out DIR, register them with it, and give --keys DIR")}
	}
	keys, list, err := fleet.LoadKeys(c.Devices, 0)
	if err != nil {
		return &SpecError{err}
	}
	e.keys = keys
	if err := e.startFleet(); err != nil {
		return err
	}
	only, err := e.options.only()
	if err != nil {
		return err
	}
	template := e.template()
	for _, m := range list {
		if !only(m.Profile) || len(e.devices) >= e.options.Devices {
			continue
		}
		d := e.newDevice(m.ID, m.Profile)
		if why := e.absent(m.Profile); why != "" {
			e.group(d) // it stands in the report with the reason, and nowhere else
			d.group.Absent = why
			continue
		}
		e.tellOwner(d)
		e.admit(d)
		if err := e.place(ctx, d, fleet.Spec{Config: template.Config(m.Profile), ID: d.ID}); err != nil {
			return err
		}
	}
	if len(e.devices) == 0 {
		return &SpecError{fmt.Errorf("none of the devices in %s can take part: give the cloud's key for their transport, and see --device-os", c.Devices)}
	}
	return nil
}

// shareOut gives devices to the account that owns them, where there are two.
func (e *Env) shareOut(ctx context.Context) {
	api, ok := e.service.(*rest)
	if !ok || len(api.tokens) < 2 {
		return
	}
	second, err := api.owned(ctx, 1)
	if err != nil {
		e.lack("the API does not tell which devices the second account owns: "+err.Error(), TwoAccounts)
		return
	}
	n := 0
	for _, d := range e.devices {
		if second[d.Hex()] {
			d.Account = 1
			n++
		}
	}
	if n == 0 || n == len(e.devices) {
		e.lack(fmt.Sprintf("%d of %d devices belong to the second account: both need some", n, len(e.devices)), TwoAccounts)
	}
}

// absent says why devices of a profile cannot take part, "" if they can.
func (e *Env) absent(p *profile.Profile) string {
	if p.Board.UDP {
		return e.Lacks(CloudUDP)
	}
	return e.Lacks(CloudTCP)
}
