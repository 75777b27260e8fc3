package vdev

import (
	"bufio"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/keyblob"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/profile"
)

// A config is who the device is.
type config struct {
	id       device.ID
	profile  *profile.Profile
	key      crypto.PrivateKey
	cloud    netip.Addr
	cloudKey crypto.PublicKey
	// yes makes it answer calls of functions that it does not have, bare leaves the
	// application out, dies ends it so often before it connects.
	yes, bare bool
	dies      int
	verbosity int
}

// The options, by the names that the virtual device has for them. What it does not
// have is for tests.
type options struct {
	deviceID, deviceKey, serverKey, protocol, release, board string

	verbosity int
	yes, bare bool
	dies      int
}

// tests are the options that only the stand-in has.
var tests = []string{"release", "board", "yes", "bare", "dies"}

// configFile holds options, a line each.
const configFile = "vdev.conf"

// configure reads the options. What stands in the file counts before the command
// line, and that before the environment: the first that names a value keeps it.
func configure(args []string) (*config, error) {
	o := options{deviceKey: "device_key.der", serverKey: "server_key.der", release: "6.2.0"}
	f := flag.NewFlagSet("vdev", flag.ContinueOnError)
	f.StringVar(&o.deviceID, "device_id", "", "24 hex digits")
	f.StringVar(&o.deviceKey, "device_key", o.deviceKey, "file")
	f.StringVar(&o.serverKey, "server_key", o.serverKey, "file")
	f.StringVar(&o.protocol, "protocol", "", "tcp or udp; tcp")
	f.IntVar(&o.verbosity, "v", 0, "how much to log, 0 (nothing) to 70")
	f.IntVar(&o.verbosity, "verbosity", 0, "the same")
	f.Int("platform_id", 3, "not simulated")
	f.Int("product_version", 0xffff, "not simulated")
	f.String("describe", "", "not simulated")
	f.StringVar(&o.release, "release", o.release, "of Device OS")
	f.StringVar(&o.board, "board", "", "of another kind than the virtual device")
	f.BoolVar(&o.yes, "yes", false, "answer everything")
	f.BoolVar(&o.bare, "bare", false, "register nothing")
	f.IntVar(&o.dies, "dies", 0, "end so often at the start")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("too many positional options: %q", f.Args())
	}
	if o.verbosity < 0 || o.verbosity > 70 {
		return nil, fmt.Errorf("verbosity %d: want 0 to 70", o.verbosity)
	}
	given := make(map[string]bool)
	f.Visit(func(one *flag.Flag) { given[one.Name] = true })
	if err := fromEnvironment(f, given); err != nil {
		return nil, err
	}
	if err := fromFile(f); err != nil {
		return nil, err
	}
	return o.load()
}

// short are options that have one letter, which only the command line knows.
var short = []string{"v"}

// fromEnvironment takes the variables VDEV_…, none of which may be unknown.
func fromEnvironment(f *flag.FlagSet, given map[string]bool) error {
	for _, pair := range os.Environ() {
		variable, value, _ := strings.Cut(pair, "=")
		name, ours := strings.CutPrefix(variable, "VDEV_")
		if name = strings.ToLower(name); !ours || given[name] {
			continue
		}
		if f.Lookup(name) == nil || slices.Contains(short, name) {
			return fmt.Errorf("unrecognised option '%s'", name)
		}
		if err := f.Set(name, value); err != nil {
			return fmt.Errorf("%s: %w", variable, err)
		}
	}
	return nil
}

func fromFile(f *flag.FlagSet) error {
	file, err := os.Open(configFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, value, _ := strings.Cut(line, "=")
		if name = strings.TrimSpace(name); slices.Contains(tests, name) || slices.Contains(short, name) {
			return fmt.Errorf("%s: unrecognised option '%s'", configFile, name)
		}
		if err := f.Set(name, strings.TrimSpace(value)); err != nil {
			return fmt.Errorf("%s: %w", configFile, err)
		}
	}
	return nil
}

func (o *options) load() (*config, error) {
	c := &config{yes: o.yes, bare: o.bare, dies: o.dies, verbosity: o.verbosity}
	id, err := hex.DecodeString(o.deviceID)
	if err != nil || len(id) != len(c.id) {
		return nil, fmt.Errorf("device_id %q: want 24 hex digits", o.deviceID)
	}
	c.id = device.ID(id)
	board := "gcc"
	if o.protocol == "udp" {
		board = "gcc-udp"
	}
	board = cmp.Or(o.board, board)
	if c.profile, err = profile.Lookup(board + "@" + o.release); err != nil {
		return nil, err
	}
	der, err := os.ReadFile(o.deviceKey)
	if err != nil {
		return nil, err
	}
	blob, err := os.ReadFile(o.serverKey)
	if err != nil {
		return nil, err
	}
	parsed, err := keyblob.Parse(blob)
	if err != nil {
		return nil, err
	}
	c.cloud = netip.AddrFrom4(parsed.Address.IPv4)
	return c, c.keys(der, parsed.Key)
}

// keys reads the own key and the cloud's.
func (c *config) keys(own, cloud []byte) (err error) {
	if c.profile.Board.UDP {
		var ok bool
		var key *ecdsa.PublicKey
		if key, ok = dtls.ParseSPKI(cloud); !ok {
			return errors.New("server_key: no P-256 key")
		}
		c.cloudKey = key
		c.key, err = x509.ParseECPrivateKey(own)
		return err
	}
	var key *rsa.PublicKey
	if key, err = lightssl.ParseCloudSPKI(cloud); err != nil {
		return err
	}
	c.cloudKey = key
	c.key, err = lightssl.ParseDeviceKey(own)
	return err
}
