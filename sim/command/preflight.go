package command

import (
	"net/netip"

	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/loadtest"
	"github.com/muster/muster/sim/preflight"
)

// preflight tells what of this machine will not do for a run, or may become its
// bottleneck. "muster doctor" tells what is right, too.
func (s *settings) preflight(list []fleet.Member, cloud loadtest.Cloud, sources []netip.Addr, say *console) {
	if s.quiet {
		return
	}
	facts := preflight.Look()
	for _, f := range preflight.Problems(preflight.Check(&facts, planned(list, cloud, sources))) {
		text := "Before the run: " + f.What
		if f.Means != "" {
			text += "; " + f.Means
		}
		if f.Do != "" {
			text += " → " + f.Do
		}
		say.say("%s", text)
	}
}

// planned is what a run needs of its machine.
func planned(list []fleet.Member, cloud loadtest.Cloud, sources []netip.Addr) preflight.Plan {
	p := preflight.Plan{Devices: len(list), Sources: len(sources), Loopback: true}
	for _, m := range list {
		if !m.Profile.Board.UDP {
			p.TCP++
		}
	}
	for _, a := range []netip.AddrPort{cloud.UDP, cloud.TCP} {
		if a.IsValid() && !a.Addr().Unmap().IsLoopback() {
			p.Loopback = false
		}
	}
	return p
}
