package command

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/profile"
	"github.com/muster/muster/sim/scenario"
	"github.com/muster/muster/sim/workers"
)

// settings are what the flags of the commands say.
type settings struct {
	// Of all commands.
	keysOut, keys, register string
	rsaMax, devices         int
	quiet                   bool
	// Of those that run.
	cloud          string
	tcpPort        uint16
	cloudKeys      []string
	api, tokenFile string
	sources        []string
	seed           uint64
	watchFlags
	workers workers.RunFlags
	// Of the run without a scenario.
	profiles          []string
	mix               bool
	rate              float64
	duration, publish time.Duration
	noAck             bool

	// What was loaded from a folder of keys.
	loadedKeys *fleet.Keys
	loadedList []fleet.Member
}

// keyFlags are those about devices and their keys.
func (s *settings) keyFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.keysOut, "keys-out", "", "folder for new keys; without --cloud nothing else is done")
	f.StringVar(&s.keys, "keys", "", "folder with keys that --keys-out made; or seed:NUMBER, for tests only: all keys follow from the number")
	f.StringVar(&s.register, "register", "", "where to put the public keys: the URL of the cloud's REST API, which takes each for the account of the token; a file that ends in .jsonl or .csv; or a folder of PEM files, such as DATA/devices of the reference cloud")
	f.StringVar(&s.tokenFile, "token-file", "", "file with an access token for the API, such as DATA/login.txt of the reference cloud (default: the variable "+tokenVariable+")")
	f.IntVar(&s.rsaMax, "rsa-keys", 0, "most RSA keys to make, 20 ms of CPU each, for devices over TCP, which then share them: not with the reference cloud (default: one a device)")
	f.BoolVarP(&s.quiet, "quiet", "q", false, "no progress")
	cmd.MarkFlagsMutuallyExclusive("keys", "keys-out")
}

// runFlags are those about a run.
func (s *settings) runFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.cloud, "cloud", "", "HOST or HOST:PORT of the cloud (ports: UDP 5684, TCP 5683)")
	f.Uint16Var(&s.tcpPort, "tcp-port", 0, "port for devices over TCP, if it is not that of --cloud")
	f.StringArrayVar(&s.cloudKeys, "cloud-key", nil, "public key of the cloud: a file (key blob, DER, PEM) or the cloud's data directory; repeatable")
	f.StringArrayVar(&s.sources, "source", nil, "local address to send from, towards a cloud on another machine; repeatable, taken in turn (default: the system's choice)")
	f.Uint64Var(&s.seed, "seed", 0, "seed of the load and of the devices' jitter (default: the scenario's, or drawn)")
	s.add(cmd)
}

// profilesOf are the kinds of devices of a run without a scenario.
func (s *settings) profilesOf() ([]string, error) {
	if len(s.profiles) == 0 {
		return []string{"mix"}, nil
	}
	for _, name := range s.profiles {
		if _, err := profile.Lookup(name); err != nil {
			return nil, err
		}
	}
	return s.profiles, nil
}

const defaultDevices = 100

// endless is how long a run lasts that is to go on until it is interrupted.
const endless = 30 * 24 * time.Hour

// quick makes the scenario of a run without one.
func (s *settings) quick() (*scenario.Scenario, error) {
	q := scenario.Quick{Devices: s.devices, Rate: s.rate, Duration: s.duration, Publish: s.publish, NoAck: s.noAck}
	if q.Duration == 0 {
		q.Duration = endless
	}
	var err error
	if q.Profiles, err = s.profilesOf(); err != nil {
		return nil, err
	}
	if s.keys != "" && !s.seeded() { // the devices are what they are
		if s.loadedKeys, s.loadedList, err = fleet.LoadKeys(s.keys, s.devices); err != nil {
			return nil, err
		}
		q.Devices, q.Profiles = len(s.loadedList), period(s.loadedList)
	}
	if q.Devices == 0 {
		q.Devices = defaultDevices
	}
	sc := q.Scenario()
	return sc, sc.Check()
}

// period returns the shortest list of profiles that devices have in turn.
func period(list []fleet.Member) (names []string) {
	for _, m := range list {
		names = append(names, m.Profile.String())
	}
	for n := 1; n < len(names); n++ {
		repeats := true
		for i := n; i < len(names) && repeats; i++ {
			repeats = names[i] == names[i%n]
		}
		if repeats {
			return names[:n]
		}
	}
	return names
}

// checkQuick refuses what cannot work before anything is done.
func (s *settings) checkQuick() error {
	switch {
	case s.cloud == "" && s.keysOut == "" && s.register == "":
		return errors.New("no cloud to connect to: give --cloud HOST, or --keys-out DIR to make keys only; \"muster fleet run SCENARIO\" runs a scenario file")
	case s.keys != "" && !s.seeded() && (len(s.profiles) > 0 || s.mix):
		return errors.New("--profile and --mix say what kinds of devices to make: those of a folder of keys are what they are")
	case s.devices < 0 || s.rate < 0 || s.duration < 0 || s.publish < 0:
		return errors.New("--devices, --rate, --duration and --publish must not be negative")
	case s.publish > 0 && s.publish < time.Second:
		return errors.New("--publish: devices publish once a second at most; want 1s or more")
	}
	return s.checkCloud()
}

// checkCloud refuses what cannot work with a cloud.
func (s *settings) checkCloud() error {
	switch {
	case s.keys == "" && s.keysOut == "" && s.register == "":
		return errors.New("the cloud must know the devices: make keys with --keys-out DIR, register them, and give --keys DIR; or give --register DIR, for keys of this run alone")
	case s.cloud != "" && len(s.cloudKeys) == 0:
		return errors.New("devices pin the key of their cloud: give --cloud-key FILE, or the data directory of the reference cloud")
	}
	if _, err := s.sourcesOf(); err != nil {
		return err
	}
	return s.check()
}

// sourcesOf reads the local addresses.
func (s *settings) sourcesOf() (list []netip.Addr, err error) {
	for _, text := range s.sources {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("--source %s: want an IP address of this machine", text)
		}
		list = append(list, a)
	}
	return list, nil
}
