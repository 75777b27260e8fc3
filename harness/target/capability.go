package target

import (
	"fmt"
	"slices"
)

// A Capability is one thing that a cloud or a device can or cannot do. What a
// target lacks makes the checks that need it unsupported, never passed.
type Capability string

// The capabilities of clouds.
const (
	CloudUDP      Capability = "udp"          // devices get in by DTLS over UDP
	CloudTCP      Capability = "tcp"          // devices get in by AES over TCP
	Resume        Capability = "resume"       // sessions go on behind a lost connection
	Functions     Capability = "functions"    // calls a function of a device when asked to
	VariableReads Capability = "variables"    // reads a variable of a device when asked to
	CloudPublish  Capability = "publish"      // publishes events of an account when asked to
	EventStream   Capability = "stream"       // tells the events of an account
	Updates       Capability = "ota"          // sends firmware when asked to
	ClaimCodes    Capability = "claims"       // gives claim codes
	Registration  Capability = "register"     // takes the keys of new devices during the run
	Restarts      Capability = "restart"      // can be stopped and started by the harness
	RESTAPI       Capability = "api"          // has the REST API of the Particle Device Cloud
	TwoAccounts   Capability = "two-accounts" // devices of two accounts take part
	Rescues       Capability = "rescues"      // sends devices in safe mode what they lack, from images that it is given
	RateLimits    Capability = "rate-limits"  // refuses who asks its API too often
	VirtualTime   Capability = "virtual-time" // runs inside the harness, in virtual time
	Insight       Capability = "insight"      // lets the harness see what it has recorded of a device
	Ledgers       Capability = "ledgers"      // keeps ledgers of devices
	Prompting     Capability = "prompting"    // asks, tells and sends devices what the harness wants it to
)

// The capabilities of devices besides.
const (
	Power      Capability = "power"       // can be switched on and off by the harness
	KeepsState Capability = "keeps-state" // goes on with its session behind a loss of power
	Commands   Capability = "commands"    // publishes, connects and disconnects when the harness says so
	Roaming    Capability = "roaming"     // changes its address or loses its network when the harness says so
	Strangers  Capability = "strangers"   // devices with other keys can be made beside it
	PowerCut   Capability = "power-cut"   // can lose its power at any moment
	Resets     Capability = "reset"       // can be reset by the harness with its power on
	Sleeps     Capability = "sleep"       // goes to sleep when the harness says so, and wakes by itself
	Flashable  Capability = "flashable"   // there is an image that it can run
	Telling    Capability = "telling"     // tells the harness what its application sees
	Tailoring  Capability = "tailoring"   // has the settings, the memory and the application that a check wants
	// Subscriptions: the application subscribes to what the suites publish.
	Subscriptions Capability = "subscriptions"
)

// Waiting is no capability of a target: a check lacks it that waits for longer than it
// has time.
const Waiting Capability = "waiting"

// capabilityTexts says what each capability is, for reports.
var capabilityTexts = map[Capability]string{
	CloudUDP:      "lets devices in by DTLS over UDP",
	CloudTCP:      "lets devices in by AES over TCP",
	Resume:        "goes on with a session behind a lost connection",
	Functions:     "functions of a device are called",
	VariableReads: "variables of a device are read",
	CloudPublish:  "events of an account are published by the cloud",
	EventStream:   "the events of an account are told",
	Updates:       "firmware is sent",
	ClaimCodes:    "gives claim codes",
	Registration:  "takes the keys of new devices during the run",
	Restarts:      "can be stopped and started by the harness",
	RESTAPI:       "has the REST API of the Particle Device Cloud",
	TwoAccounts:   "has devices of two accounts",
	Rescues:       "sends devices in safe mode what they lack, from images that it is given",
	RateLimits:    "refuses who asks its API too often",
	VirtualTime:   "runs inside the harness, in virtual time",
	Insight:       "shows the harness what it has recorded of a device",
	Ledgers:       "keeps ledgers of devices",
	Prompting:     "asks devices what the harness wants it to ask, whatever its API offers",
	Power:         "can be switched on and off by the harness",
	KeepsState:    "keeps its session when it loses its power",
	Commands:      "publishes, connects and disconnects when the harness says so",
	Roaming:       "changes its address and loses its network when the harness says so",
	Strangers:     "has relatives with other keys",
	PowerCut:      "can lose its power at any moment",
	Resets:        "can be reset by the harness with its power on",
	Sleeps:        "goes to sleep when the harness says so, and wakes by itself",
	Flashable:     "has an image that it can run",
	Subscriptions: "subscribes to the events of the suites",
	Telling:       "tells the harness what its application sees",
	Tailoring:     "has the settings, the memory and the application that a check wants",
}

// Capabilities returns all capabilities, sorted by name.
func Capabilities() []Capability {
	var all []Capability
	for c := range capabilityTexts {
		all = append(all, c)
	}
	slices.Sort(all)
	return all
}

// Text says in a few words what the capability is, "" if there is no such.
func (c Capability) Text() string { return capabilityTexts[c] }

// A Missing says that the target lacks something that was asked of it. It is no
// failure of the target: the check that gets it is unsupported.
type Missing struct {
	Capability Capability
	Why        string
}

// Error returns what is missing and why.
func (m *Missing) Error() string {
	if m.Capability == Waiting {
		return m.Why
	}
	return fmt.Sprintf("the target lacks %q: %s", m.Capability, m.Why)
}

// Lacks returns why the target lacks a capability, "" if it has it.
func (e *Env) Lacks(c Capability) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lacking[c]
}

// lack notes that the target lacks a capability.
func (e *Env) lack(why string, list ...Capability) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range list {
		if e.lacking[c] == "" {
			e.lacking[c] = why
		}
	}
}

// need returns an error, and notes it for the check that works with e, if the
// target lacks a capability.
func (e *Env) need(c Capability) error {
	if why := e.Lacks(c); why != "" {
		return e.use.note(&Missing{Capability: c, Why: why})
	}
	return nil
}

// Needs returns an error, and notes it for the check that works with e, if the
// target lacks a capability that no method of e asks for.
func (e *Env) Needs(c Capability) error { return e.need(c) }

// need does for a device what Env.need does for the target.
func (d *Device) need(c Capability) error {
	why := d.env.Lacks(c)
	if why == "" {
		return nil
	}
	m := &Missing{Capability: c, Why: why}
	if d.group == nil {
		return m
	}
	return d.group.use.Load().note(m)
}
