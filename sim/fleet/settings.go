package fleet

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/profile"
)

// settings are what the flags of the command say.
type settings struct {
	cloud                   string
	tcpPort                 uint16
	cloudKeys, profiles     []string
	devices, rsaMax         int
	mix, quiet              bool
	rate                    float64
	duration, publish       time.Duration
	keysOut, keys, register string
	seed                    uint64
}

const defaultDevices = 100

// check refuses what cannot work before anything is done.
func (s *settings) check() error {
	switch {
	case s.cloud == "" && s.keysOut == "" && s.register == "":
		return errors.New("no cloud to connect to: give --cloud HOST, or --keys-out DIR to make keys only")
	case s.keys == "" && s.keysOut == "":
		return errors.New("the cloud must know the devices: make keys with --keys-out DIR, register them, and give --keys DIR")
	case s.keys != "" && !s.seeded() && (len(s.profiles) > 0 || s.mix):
		return errors.New("--profile and --mix say what kinds of devices to make: those of a folder of keys are what they are")
	case s.cloud != "" && len(s.cloudKeys) == 0:
		return errors.New("devices pin the key of their cloud: give --cloud-key FILE, or the data directory of the reference cloud")
	case s.devices < 0 || s.rate < 0 || s.duration < 0 || s.publish < 0:
		return errors.New("--devices, --rate, --duration and --publish must not be negative")
	case s.publish > 0 && s.publish < time.Second:
		return errors.New("--publish: devices publish once a second at most; want 1s or more")
	}
	return nil
}

// members returns the devices and their keys, loaded or new.
func (s *settings) members(ctx context.Context, say *console) (*Keys, []Member, error) {
	if s.keys != "" && !s.seeded() {
		return LoadKeys(s.keys, s.devices)
	}
	profiles := profile.Mix()
	if len(s.profiles) > 0 {
		profiles = nil
	}
	for _, name := range s.profiles {
		p, err := profile.Lookup(name)
		if err != nil {
			return nil, nil, err
		}
		profiles = append(profiles, p)
	}
	n := s.devices
	if n == 0 {
		n = defaultDevices
	}
	k, mark, err := s.source()
	if err != nil {
		return nil, nil, err
	}
	list := make([]Member, 0, n)
	var tcp []device.ID
	for i := range n {
		m := Member{ID: ID(mark, i), Profile: profiles[i%len(profiles)]}
		if list = append(list, m); !m.Profile.Board.UDP {
			tcp = append(tcp, m.ID)
		}
	}
	err = k.MakeRSA(ctx, tcp, func(done, of int) { say.progress("making RSA keys, or their primes: %d of %d", done, of) })
	say.clear()
	return k, list, err
}

// seedPrefix begins the name of keys that are derived from a number.
const seedPrefix = "seed:"

// seeded reports whether the keys are derived from a number.
func (s *settings) seeded() bool { return strings.HasPrefix(s.keys, seedPrefix) }

// source returns where keys come from, and the mark of the fleet in its ids.
func (s *settings) source() (*Keys, uint32, error) {
	if s.seeded() {
		n, err := strconv.ParseUint(strings.TrimPrefix(s.keys, seedPrefix), 10, 64)
		if err != nil {
			return nil, 0, fmt.Errorf("--keys %s: want %s and a number up to 2^64-1, such as %s7", s.keys, seedPrefix, seedPrefix)
		}
		return SeededKeys(n, s.rsaMax), SeededMark(n), nil
	}
	var mark [4]byte
	if _, err := rand.Read(mark[:]); err != nil {
		return nil, 0, fmt.Errorf("fleet: drawing ids: %w", err)
	}
	return NewKeys(s.rsaMax), binary.BigEndian.Uint32(mark[:]), nil
}

// needs reports which transports the devices have.
func needs(list []Member) (udp, tcp bool) {
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
func (s *settings) pinned(list []Member) (c CloudKeys, err error) {
	for _, path := range s.cloudKeys {
		if err := c.Load(path); err != nil {
			return c, err
		}
	}
	udp, tcp := needs(list)
	switch {
	case udp && c.EC == nil:
		return c, errors.New("fleet: devices over UDP need the cloud's P-256 key: give --cloud-key server-udp.der")
	case tcp && c.RSA == nil:
		return c, errors.New("fleet: devices over TCP need the cloud's RSA key: give --cloud-key server-tcp.der")
	}
	return c, nil
}

// addresses finds the cloud.
func (s *settings) addresses(ctx context.Context) (udp, tcp netip.AddrPort, err error) {
	host, udpPort, tcpPort := s.cloud, uint16(PortUDP), uint16(PortTCP)
	if h, text, splitErr := net.SplitHostPort(s.cloud); splitErr == nil {
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil || port == 0 {
			return udp, tcp, fmt.Errorf("fleet: --cloud %s: %q is no port", s.cloud, text)
		}
		host, udpPort, tcpPort = h, uint16(port), uint16(port)
	}
	if s.tcpPort != 0 {
		tcpPort = s.tcpPort
	}
	addr, err := lookup(ctx, strings.Trim(host, "[]"))
	return netip.AddrPortFrom(addr, udpPort), netip.AddrPortFrom(addr, tcpPort), err
}

// lookup returns the address of a host, IPv4 if it has one, as boards do.
func lookup(ctx context.Context, host string) (netip.Addr, error) {
	list, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("fleet: finding the cloud: %w", err)
	}
	for _, a := range list {
		if a.Unmap().Is4() {
			return a.Unmap(), nil
		}
	}
	return list[0], nil
}

// A console shows progress and what an operator should know.
type console struct {
	w     io.Writer
	quiet bool
	live  bool // lines may be written over
	dirty bool // a line is to be written over
	last  time.Time
}

// progress shows a line in place of the one before. Where lines cannot be
// written over, it shows one now and then.
func (c *console) progress(format string, args ...any) {
	const often, seldom = 200 * time.Millisecond, 10 * time.Second
	now := time.Now()
	switch {
	case c.quiet:
	case c.live && now.Sub(c.last) >= often:
		fmt.Fprintf(c.w, "\r\x1b[K"+format, args...)
		c.last, c.dirty = now, true
	case !c.live && now.Sub(c.last) >= seldom:
		fmt.Fprintf(c.w, format+"\n", args...)
		c.last = now
	}
}

// clear takes the line away.
func (c *console) clear() {
	if c.dirty {
		fmt.Fprint(c.w, "\r\x1b[K")
		c.dirty = false
	}
}

func (c *console) say(format string, args ...any) {
	c.clear()
	if !c.quiet {
		fmt.Fprintf(c.w, format+"\n", args...)
	}
}
