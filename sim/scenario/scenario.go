package scenario

import (
	"time"

	"github.com/muster/muster/sim/workload"
)

// A Scenario is what a fleet does. The tags of its fields are the reference of
// scenario files: doc says what a field means, unit what its numbers are.
type Scenario struct {
	Name        string        `yaml:"name" doc:"name of the scenario, shown in reports" need:"yes"`
	Description string        `yaml:"description" doc:"what it is for, in a sentence"`
	Seed        uint64        `yaml:"seed" doc:"seed of the load and of the simulated network; 0 or absent: drawn, and shown"`
	Interval    time.Duration `yaml:"interval" doc:"length of an interval of measurement" default:"1s"`
	Drain       time.Duration `yaml:"drain" doc:"how long the end waits for what is unacknowledged" default:"5s"`
	Groups      []Group       `yaml:"groups" doc:"devices that behave alike" need:"yes"`
	Phases      []Phase       `yaml:"phases" doc:"what happens, one after the other" need:"yes"`
	Callers     []Caller      `yaml:"callers" doc:"programs that use the cloud's API"`
	Campaigns   []Campaign    `yaml:"campaigns" doc:"updates over the air"`
	Thresholds  []Threshold   `yaml:"thresholds" doc:"what must be true in the end; decides the exit code"`

	source string // the file
}

// Source returns the text that the scenario was read from, "" when it was made
// otherwise.
func (s *Scenario) Source() string { return s.source }

// A Group is devices that behave alike.
type Group struct {
	Name      string        `yaml:"name" doc:"name of the group" need:"yes"`
	Devices   int           `yaml:"devices" doc:"how many devices" need:"yes" least:"1"`
	Profiles  []string      `yaml:"profiles" doc:"kinds of devices, such as boron@6.2.0, taken in turn; mix stands for all generations" default:"mix"`
	RSAKeys   int           `yaml:"rsa-keys" doc:"most RSA keys to make for devices over TCP, which then share them; 0: one a device"`
	KeepAlive time.Duration `yaml:"keep-alive" doc:"interval of pings; absent: that of the device's profile"`
	Publish   []Publish     `yaml:"publish" doc:"events that the devices publish"`
	Sleep     *Sleep        `yaml:"sleep" doc:"sleep and wake"`
	Reconnect *Reconnect    `yaml:"reconnect" doc:"restarts of devices, that connect again"`
	Functions []Function    `yaml:"functions" doc:"functions that the cloud can call"`
	Variables []Variable    `yaml:"variables" doc:"variables that the cloud can read"`
	Subscribe []string      `yaml:"subscribe" doc:"prefixes of events that the devices subscribe to"`
	Network   *Network      `yaml:"network" doc:"the network between the devices and the cloud"`
}

// Publish is a kind of events that devices publish.
type Publish struct {
	Event   string          `yaml:"event" doc:"name of the event" default:"muster/fleet"`
	Every   workload.Spread `yaml:"every" doc:"interval between two events of one device" unit:"duration"`
	Rate    float64         `yaml:"rate" doc:"events of the whole group, instead of every" unit:"rate"`
	Spacing workload.Kind   `yaml:"spacing" doc:"with rate: how intervals are distributed" default:"exponential" oneof:"constant exponential"`
	On      string          `yaml:"on" doc:"publish when this happens, instead of every or rate" oneof:"online"`
	Size    workload.Spread `yaml:"size" doc:"size of the event's data" unit:"bytes" default:"32"`
	Data    string          `yaml:"data" doc:"the event's data, instead of size"`
	Ack     *bool           `yaml:"ack" doc:"wait for the cloud's acknowledgement (WITH_ACK); false: do not ask for one (NO_ACK)" default:"true"`
	Offline string          `yaml:"offline" doc:"what becomes of events while the device is offline: drop them, or keep up to eight until it is online again" default:"drop" oneof:"drop keep"`
}

// Acked reports whether the events want to be acknowledged.
func (p *Publish) Acked() bool { return p.Ack == nil || *p.Ack }

// Sleep says how devices sleep and wake.
type Sleep struct {
	Awake  workload.Spread `yaml:"awake" doc:"how long a device stays awake, connecting included" unit:"duration" need:"yes"`
	Asleep workload.Spread `yaml:"asleep" doc:"how long it sleeps then" unit:"duration" need:"yes"`
}

// Reconnect says how devices restart.
type Reconnect struct {
	Every workload.Spread `yaml:"every" doc:"interval between two restarts of one device" unit:"duration"`
	Rate  float64         `yaml:"rate" doc:"restarts in the whole group, instead of every" unit:"rate"`
	Full  float64         `yaml:"full" doc:"share of restarts after which the session is lost, so that a full handshake is needed; the others resume" unit:"share"`
}

// A Function is a function of the devices.
type Function struct {
	Name    string          `yaml:"name" doc:"name of the function" need:"yes"`
	Returns workload.Spread `yaml:"returns" doc:"what it returns; absent: the length of its argument" unit:"number"`
	Delay   workload.Spread `yaml:"delay" doc:"how long it runs" unit:"duration"`
	Fails   float64         `yaml:"fails" doc:"share of calls that are never answered" unit:"share"`
}

// A Variable is a variable of the devices.
type Variable struct {
	Name  string          `yaml:"name" doc:"name of the variable" need:"yes"`
	Type  string          `yaml:"type" doc:"type of the variable" default:"double" oneof:"int double string bool"`
	Value workload.Spread `yaml:"value" doc:"its value when it is read; of a string, its length" unit:"number"`
}

// Network is what happens to packets between devices and the cloud.
type Network struct {
	Loss   float64         `yaml:"loss" doc:"share of datagrams that are lost, each way; over TCP of segments, which come again a retransmission later" unit:"share"`
	Delay  time.Duration   `yaml:"delay" doc:"how long each datagram or segment takes, each way"`
	Jitter time.Duration   `yaml:"jitter" doc:"the most that one takes longer; datagrams may overtake others"`
	Rebind workload.Spread `yaml:"rebind" doc:"interval at which a NAT forgets a device: its next packet comes from another address; over TCP nothing comes through any more, and nobody is told" unit:"duration"`
	Reset  workload.Spread `yaml:"reset" doc:"interval at which something on the way resets the TCP connection of a device, for both ends" unit:"duration"`
	MTU    int             `yaml:"mtu" doc:"largest IP packet; larger datagrams are lost, and the devices know of it" unit:"bytes" least:"576"`
}

// A Phase is a part of the run.
type Phase struct {
	Name     string        `yaml:"name" doc:"name of the phase" need:"yes"`
	Duration time.Duration `yaml:"duration" doc:"how long it lasts" need:"yes"`
	Groups   []string      `yaml:"groups" doc:"groups that arrive, outage, load and network are about; absent: all"`
	Arrive   *Arrive       `yaml:"arrive" doc:"devices that are switched on"`
	Load     *Load         `yaml:"load" doc:"how much of the usual is published, called and restarted; absent: 100%"`
	Outage   string        `yaml:"outage" doc:"all through the phase: network: no packet arrives; power: the devices are off, and are switched on all at once in the end" oneof:"network power"`
	Network  *Network      `yaml:"network" doc:"another network for this phase"`
}

// Arrive says when devices are switched on. Only those are that were not before.
type Arrive struct {
	Devices int           `yaml:"devices" doc:"how many of each group; absent: all that are left"`
	Rate    float64       `yaml:"rate" doc:"devices per second, all groups together" unit:"rate"`
	Over    time.Duration `yaml:"over" doc:"spread evenly over this time, instead of rate"`
	Ramp    *Ramp         `yaml:"ramp" doc:"a rate that grows or falls, instead of rate"`
	Spike   *Spike        `yaml:"spike" doc:"a rate with a peak, instead of rate"`
	AtOnce  bool          `yaml:"at-once" doc:"all at the beginning of the phase, instead of rate"`
	Spacing workload.Kind `yaml:"spacing" doc:"exponential: at random times with that rate (Poisson)" default:"constant" oneof:"constant exponential"`
}

// Ramp is a rate that changes steadily, over its phase.
type Ramp struct {
	From float64 `yaml:"from" doc:"rate at the beginning of the phase" unit:"rate"`
	To   float64 `yaml:"to" doc:"rate at its end" unit:"rate"`
}

// Spike is a rate with a peak in the middle of its phase.
type Spike struct {
	Base  float64       `yaml:"base" doc:"rate before and after" unit:"rate"`
	Peak  float64       `yaml:"peak" doc:"rate at the peak" unit:"rate" need:"yes"`
	Width time.Duration `yaml:"width" doc:"how long the peak takes to rise and fall" need:"yes"`
}

// Load is how much of the usual is done: from the beginning of its phase to the
// end. In a file it is one share, or from and to.
type Load struct {
	From float64 `yaml:"from" doc:"share at the beginning of the phase" unit:"share" most:"none"`
	To   float64 `yaml:"to" doc:"share at its end" unit:"share" most:"none"`
}

// A Caller is a program that uses the cloud's API.
type Caller struct {
	Name     string        `yaml:"name" doc:"name of the caller" need:"yes"`
	Do       string        `yaml:"do" doc:"what it does" need:"yes" oneof:"function variable publish ping"`
	Group    string        `yaml:"group" doc:"group whose devices it calls, one drawn for each call" need:"yes"`
	Target   string        `yaml:"target" doc:"name of the function, variable or event"`
	Argument string        `yaml:"argument" doc:"argument of the function, or data of the event"`
	Rate     float64       `yaml:"rate" doc:"calls per second" unit:"rate" need:"yes"`
	Spacing  workload.Kind `yaml:"spacing" doc:"how intervals are distributed" default:"exponential" oneof:"constant exponential"`
	Phases   []string      `yaml:"phases" doc:"phases in which it calls; absent: all"`
	Timeout  time.Duration `yaml:"timeout" doc:"how long it waits for an answer" default:"30s"`
}

// A Campaign updates the devices of a group, in waves.
type Campaign struct {
	Name    string        `yaml:"name" doc:"name of the campaign" need:"yes"`
	Group   string        `yaml:"group" doc:"group whose devices are updated" need:"yes"`
	Phase   string        `yaml:"phase" doc:"phase at whose beginning it begins" need:"yes"`
	Version int           `yaml:"version" doc:"version of the application's module that is made" default:"2" least:"1" most:"65535"`
	Size    int           `yaml:"size" doc:"size of the module that is made" unit:"bytes" default:"16KiB"`
	File    string        `yaml:"file" doc:"module to send instead, of one platform; relative to the scenario file"`
	Waves   []float64     `yaml:"waves" doc:"share of the group that has been begun after each wave" unit:"share" default:"[1%, 10%, 50%, 100%]"`
	Rate    float64       `yaml:"rate" doc:"updates begun per second" unit:"rate" default:"10/s"`
	Pause   time.Duration `yaml:"pause" doc:"how long to look at a wave when it is done, before the next" default:"10s"`
	Timeout time.Duration `yaml:"timeout" doc:"how long one update may take" default:"5m"`
	Budget  *float64      `yaml:"budget" doc:"share of the updates begun that may fail; beyond, the campaign stops" unit:"share" default:"5%"`
}

// FailureBudget returns the share of updates that may fail.
func (c *Campaign) FailureBudget() float64 {
	if c.Budget == nil {
		return defaultBudget
	}
	return *c.Budget
}

const defaultBudget = 0.05

// Devices returns the number of devices of all groups.
func (s *Scenario) Devices() (n int) {
	for i := range s.Groups {
		n += s.Groups[i].Devices
	}
	return n
}

// Duration returns how long all phases last.
func (s *Scenario) Duration() (d time.Duration) {
	for i := range s.Phases {
		d += s.Phases[i].Duration
	}
	return d
}

// First returns the index of the first device of a group in the fleet.
func (s *Scenario) First(group int) (n int) {
	for i := range group {
		n += s.Groups[i].Devices
	}
	return n
}

// GroupOf returns the group of a device, by its index in the fleet.
func (s *Scenario) GroupOf(device int) int {
	for i := range s.Groups {
		if device -= s.Groups[i].Devices; device < 0 {
			return i
		}
	}
	panic("scenario: no such device")
}

// Concerns reports whether a phase is about a group.
func (p *Phase) Concerns(group string) bool {
	if len(p.Groups) == 0 {
		return true
	}
	for _, g := range p.Groups {
		if g == group {
			return true
		}
	}
	return false
}
