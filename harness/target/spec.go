package target

import (
	"fmt"
	"strings"
)

// A Spec says what is judged. The zero value is the reference cloud and simulated
// devices, both. With a Cloud, that is judged, and the simulated devices provoke
// it; with a Device, that is, and the reference cloud provokes it.
//
// It is what a target file holds, see [LoadSpec].
type Spec struct {
	// Name of the target, in reports and baselines: "reference", if it is empty.
	Name   string      `yaml:"name"`
	Cloud  *CloudSpec  `yaml:"cloud"`
	Device *DeviceSpec `yaml:"device"`
	// Capabilities are what the target is declared to have and to lack. Those that
	// can be probed are; a contradiction is a failure.
	Capabilities map[Capability]bool `yaml:"capabilities"`
}

// A CloudSpec is a cloud that is judged.
type CloudSpec struct {
	Name string `yaml:"-"`
	// UDP and TCP are where devices connect, HOST or HOST:PORT; at least one.
	UDP string `yaml:"udp"`
	TCP string `yaml:"tcp"`
	// Keys are files with the public keys of the cloud: PEM, DER, or a key blob;
	// P-256 for UDP, RSA-2048 for TCP; or the data directory of the reference cloud.
	Keys []string `yaml:"keys"`
	// Devices is a folder with the keys of devices that the cloud knows, as "muster
	// fleet --keys-out" makes it.
	Devices string   `yaml:"devices"`
	API     *APISpec `yaml:"api"`
}

// An APISpec is the REST API of a cloud.
type APISpec struct {
	// URL is the base, without /v1.
	URL string `yaml:"url"`
	// Token is the access token of the account that owns the devices. Second, if it
	// is given, is that of another account, which owns some of them: then it can be
	// judged whether accounts are kept apart.
	Token  Secret `yaml:"token"`
	Second Secret `yaml:"second"`
}

// A Secret names where a secret is. It is never written down itself.
type Secret struct {
	File string `yaml:"file"` // a file that holds it and nothing else
	Env  string `yaml:"env"`  // a variable of the environment
}

// A DeviceSpec is a device, or several of a kind, that is judged alone.
type DeviceSpec struct {
	// Profile is the board and the Device OS version, such as "boron@6.2.0": what
	// is simulated, or what a program or a board is said to be.
	Profile string       `yaml:"profile"`
	Process *ProcessSpec `yaml:"process"`
	Rig     string       `yaml:"rig"`
	// Image is a file with an application that the board can run: updates send it.
	// A board on a rig gets no other; programs get one that is made up.
	Image string `yaml:"image"`
	// CutAt are the moments at which updates are cut off by a reset and by a loss of
	// power, "chunk:17" or "50%", each in an update of its own; none: see UpdateMoment.
	CutAt []string `yaml:"cut-at"`
}

// A ProcessSpec is a program that is a device. It runs in a folder of its own,
// which holds its keys and a vdev.conf that says who it is.
type ProcessSpec struct {
	// Command is run by the shell's rules for words, without a shell. {id}, {key},
	// {server-key}, {protocol}, {dir}, {host} and {port} are replaced.
	Command string `yaml:"command"`
	// Devices are the programs to run, side by side; none: one with a new key.
	Devices []ProgramSpec `yaml:"devices"`
	// Dir is where the folders are; empty: a new one, removed at the end.
	Dir string `yaml:"dir"`
	// Pipe gives the programs a pipe as their console, instead of a terminal.
	Pipe bool `yaml:"pipe"`
	// SharedNetwork lets the programs see the network of this machine. Else one over
	// UDP has a network of its own, where the system allows that: it reaches its cloud
	// and nothing else.
	SharedNetwork bool `yaml:"shared-network"`
	// Commands says that the application takes lines on its console.
	Commands bool `yaml:"commands"`
}

// A ProgramSpec is one program of a ProcessSpec.
type ProgramSpec struct {
	ID string `yaml:"id"`
	// Key is a file with its private key, DER or PEM; empty: a new one is made.
	Key string `yaml:"key"`
}

// A SpecError says that what was said of the target is wrong: nothing was run.
type SpecError struct{ Err error }

// Error returns what is wrong.
func (e *SpecError) Error() string { return e.Err.Error() }

// Unwrap returns the error.
func (e *SpecError) Unwrap() error { return e.Err }

// The kinds of devices, as in "--device KIND[:REST]".
const (
	kindSim     = "sim"
	kindProcess = "process"
	kindRig     = "rig"
)

// ParseDevice reads the value of "--device": sim, sim:PROFILE, process:COMMAND,
// rig:NAME.
func ParseDevice(text string) (*DeviceSpec, error) {
	kind, rest, _ := strings.Cut(text, ":")
	switch {
	case kind == kindSim:
		return &DeviceSpec{Profile: rest}, nil
	case kind == kindProcess && rest != "":
		return &DeviceSpec{Process: &ProcessSpec{Command: rest}}, nil
	case kind == kindRig && rest != "":
		return &DeviceSpec{Rig: rest}, nil
	}
	return nil, fmt.Errorf("--device %s: want sim, sim:BOARD@VERSION, process:COMMAND or rig:NAME", text)
}

// String says in words what the device is.
func (d *DeviceSpec) String() string {
	switch {
	case d.Process != nil:
		return "the program " + d.Process.Command
	case d.Rig != "":
		return "the board on rig " + d.Rig
	case d.Profile != "":
		return "a simulated " + d.Profile
	default:
		return "simulated devices"
	}
}

// boards reports whether the devices are no simulated ones.
func (s *Spec) boards() bool {
	return s.Device != nil && (s.Device.Process != nil || s.Device.Rig != "")
}

// A Role is a party that can be judged.
type Role string

// The roles.
const (
	CloudRole  Role = "cloud"
	DeviceRole Role = "device"
)

// Judged returns which party is judged, "" for both.
func (s *Spec) Judged() Role {
	switch {
	case s == nil:
		return ""
	case s.Cloud != nil:
		return CloudRole
	case s.Device != nil:
		return DeviceRole
	}
	return ""
}

// Title is the name of the target for reports and baselines.
func (s *Spec) Title() string {
	switch {
	case s == nil:
		return referenceName
	case s.Name != "":
		return s.Name
	case s.Cloud != nil:
		return s.Cloud.host()
	case s.Device != nil:
		return s.Device.String()
	}
	return referenceName
}

// referenceName names the reference cloud with simulated devices.
const referenceName = "reference"

func (c *CloudSpec) host() string {
	if c.UDP != "" {
		return c.UDP
	}
	return c.TCP
}
