package loadtest

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"net/netip"
	"time"

	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/scenario"
	"github.com/muster/muster/transport/vnet"
)

// A Sink hears of a run while it goes on. Its methods are called one at a time and
// keep what they are given; the run goes on meanwhile, but measures nothing anew
// before they return.
//
// A Sink that is a [Beginner] too hears of the run before anything else.
type Sink interface {
	// Sample is what a group did in an interval, in a phase. An interval has one
	// sample for each group and phase that something happened in, and then one of
	// no group ("") that is about the generator itself and is the last of the
	// interval.
	Sample(s *record.Sample)
	// Note is something worth knowing.
	Note(n record.Note)
}

// A Beginner hears what a run is about before its first sample: groups, phases as
// they are planned, seed. It must not change it.
type Beginner interface{ Begin(r *record.Run) }

// Sinks passes everything on to each of several.
type Sinks []Sink

// Begin implements Beginner.
func (all Sinks) Begin(r *record.Run) {
	for _, s := range all {
		if b, ok := s.(Beginner); ok {
			b.Begin(r)
		}
	}
}

// Sample implements Sink.
func (all Sinks) Sample(sample *record.Sample) {
	for _, s := range all {
		s.Sample(sample)
	}
}

// Note implements Sink.
func (all Sinks) Note(n record.Note) {
	for _, s := range all {
		s.Note(n)
	}
}

// A Part is a range of the devices of a scenario. The zero Part is all of them.
type Part struct{ First, Count int }

// of completes a part of n devices.
func (p Part) of(n int) Part {
	if p == (Part{}) {
		p.Count = n
	}
	return p
}

// A Cloud is what the fleet is brought to.
type Cloud struct {
	// Name is what to call it: the address as it was given.
	Name string
	// UDP and TCP are its addresses, EC and RSA the keys that devices pin there.
	// What no device of the scenario needs may be left out.
	UDP, TCP netip.AddrPort
	EC       *ecdsa.PublicKey
	RSA      *rsa.PublicKey
	// API is the base of its REST API, such as http://127.0.0.1:8080, for callers and
	// campaigns; Token is the access token to use there. It appears in no record.
	API, Token string
}

// Options say what to run.
type Options struct {
	// Scenario is what to do. Required, and checked.
	Scenario *scenario.Scenario
	// Part is which devices of it are run here.
	Part Part
	// Cloud is where. Required, in virtual time too.
	Cloud Cloud
	// Member returns device i of the scenario's fleet, 0 to Scenario.Devices()-1: its
	// profile must be the one that the scenario gives it (see [scenario.Scenario.Profile]).
	// Required.
	Member func(i int) fleet.Member
	// Keys are the devices' private keys. Required.
	Keys *fleet.Keys
	// Sink hears of the run as it goes on; nil: nobody.
	Sink Sink

	// Seed is that of the load; 0: the scenario's, or a drawn one.
	Seed uint64
	// Began is when the first phase begins, or began: a part that joins later begins
	// in the middle, and does at once what should have arrived. Zero: now.
	Began time.Time
	// Sources are local addresses of devices whose cloud is not on this machine.
	Sources []netip.Addr
	// Tune, if not nil, changes the options of the fleet.
	Tune func(*fleet.Options)
	// Self, if not nil, tells how the generator was in the interval that has just
	// ended. It is called once an interval; Lag is filled in here.
	Self func() *record.Self
	// Folder is what file names in the scenario are relative to.
	Folder string

	// Worker, Muster and Command are for the record: the name of this worker, the
	// version of the program and the command line, without secrets.
	Worker, Muster string
	Command        []string

	// Virtual, if not nil, runs in virtual time on this network: Cloud's addresses
	// are places there. Keys must be seeded. There are no callers and campaigns then.
	Virtual *vnet.Network
}
