package mutants

import (
	"slices"
	"strings"
	"time"

	"github.com/muster/muster/conformance/requirements"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/coap"
)

// A Mutant is the reference cloud or the simulated devices with one fault.
type Mutant struct {
	// Name begins with whom it is: "cloud/no-cookie", "device/no-ping".
	Name string
	// Text says what it does wrong, as the end of a sentence: "takes any cookie".
	Text string
	// Breaks are the requirements that it breaks.
	Breaks []string
	// Cloud and Device give the fault.
	Cloud  func(c *target.CloudConfig)
	Device func(c *target.DeviceConfig)
	// Again gives the cloud the fault only when it is restarted.
	Again bool
	// On are the profiles that it is run with; nil: one of the newest release over
	// UDP.
	On []string
	// Run are the checks and suites that it is run against.
	Run []string
	// Fails are the checks that must fail, on at least one generation; Also those
	// that may, because they look at the same.
	Fails, Also []string
	// Patience bounds each check; 0: that of the run.
	Patience time.Duration
}

// Role is whom it replaces.
func (m *Mutant) Role() requirements.Role {
	role, _, _ := strings.Cut(m.Name, "/")
	return requirements.Role(role)
}

// Profiles are the names of the profiles that it is run with.
func (m *Mutant) Profiles() []string {
	if m.On == nil {
		return modern
	}
	return m.On
}

// All returns all mutants, in the order of the suites that find them.
func All() []Mutant {
	return slices.Concat(
		handshakeMutants, pubsubMutants, functionsMutants, variablesMutants, otaMutants, resumeMutants,
		sessionMutants, hostileMutants, timersMutants, networkMutants,
		tcpMutants, dtlsMutants, recordsMutants, restoreMutants, livenessMutants, benchMutants,
		deviceMutants, receivingMutants, cloudMutants, sendingMutants,
		legacyMutants, ledgersMutants, apiMutants,
	)
}

// The profiles of mutants: one of each transport and generation that matters.
var (
	modern  = []string{"boron@6.2.0"}
	middle  = []string{"boron@2.3.1"}
	old     = []string{"electron@1.4.4"}
	tcp     = []string{"photon@3.1.0"}
	both    = []string{"boron@6.2.0", "photon@3.1.0"}
	threeOf = []string{"boron@6.2.0", "electron@1.4.4", "photon@3.1.0"}
)

// faulty gives devices faults.
func faulty(f func(*target.DeviceFaults)) func(*target.DeviceConfig) {
	return func(c *target.DeviceConfig) {
		if c.Faults == nil {
			c.Faults = new(target.DeviceFaults)
		}
		f(c.Faults)
	}
}

// exchangeFaults gives the message layer of the cloud faults.
func exchangeFaults(f coap.Faults) func(*target.CloudConfig) {
	return func(c *target.CloudConfig) { c.ExchangeFaults = &f }
}
