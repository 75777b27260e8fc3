package evidence

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/protocol/trace"
)

// A party is one device, with all addresses that it had, or an address of which
// nobody knows whose it is.
type party struct {
	device  trace.DeviceID
	first   netip.AddrPort
	size    int64 // what it takes in a bundle, about, in bytes
	packets int
	rank    int // 0 first
}

// lineSize is what a packet takes in traffic.pcapng and trace.jsonl besides its
// bytes, about.
const lineSize = 700

// A choice is what a bundle holds of the packets of a run.
type choice struct {
	addresses map[netip.AddrPort]bool
	places    map[netip.AddrPort]int // how soon an address is taken, where there is little room
	devices   int
	packets   int
	leftOut   []string
}

// has reports whether the packets of an address are in the bundle. One that was
// sighted and never decoded is not worth leaving out.
func (c *choice) has(a netip.AddrPort) bool {
	in, known := c.addresses[a]
	return in || !known
}

// place is how soon the packets of a device are taken.
func (c *choice) place(p *trace.Packet) int {
	a, err := netip.ParseAddrPort(p.DeviceAddress)
	if err != nil {
		return len(c.places)
	}
	return c.places[a]
}

// choose picks the parties whose packets go into the bundle: first those that
// findings are about, then those with measured extremes, then whom nobody knows,
// then all others in the order of their addresses while there is room. c is
// locked.
func (c *Collector) choose(run *report.Run) *choice {
	owner, parties := c.parties()
	ranks := ranksOf(run)
	for _, p := range parties {
		rank, named := ranks[p.device.String()]
		switch {
		case named:
			p.rank = rank
		case p.device == (trace.DeviceID{}):
			p.rank = 2
		default:
			p.rank = 3
		}
	}
	slices.SortFunc(parties, func(a, b *party) int { return cmp.Or(cmp.Compare(a.rank, b.rank), a.first.Compare(b.first)) })
	room, in := c.cfg.Limit, make(map[*party]bool)
	out := &choice{addresses: make(map[netip.AddrPort]bool), places: make(map[netip.AddrPort]int)}
	order := make(map[*party]int)
	omitted, omittedPackets := 0, 0
	for i, p := range parties {
		order[p] = i
		if p.rank > 0 && p.size > room {
			omitted++
			omittedPackets += p.packets
			continue
		}
		room -= p.size
		in[p] = true
		out.packets += p.packets
		if p.device != (trace.DeviceID{}) {
			out.devices++
		}
	}
	for a, p := range owner {
		out.addresses[a], out.places[a] = in[p], order[p]
	}
	if omitted > 0 {
		out.leftOut = append(out.leftOut, fmt.Sprintf("%d packets of %d devices: the bundle is limited to %d MiB (--evidence-limit); all that findings are about is in it", omittedPackets, omitted, c.cfg.Limit>>20))
	}
	if c.spool.dropped > 0 {
		out.leftOut = append(out.leftOut, fmt.Sprintf("%d packets at the end of the run have no bytes in traffic.pcapng: %d MiB were kept while it went on; trace.jsonl has them", c.spool.dropped, c.cfg.Spool>>20))
	}
	if c.virtual.left > 0 {
		out.leftOut = append(out.leftOut, fmt.Sprintf("the packets of %d virtual networks whose checks did not pass: those of the first %d are in it, a replay gives all", c.virtual.left, networksKept))
	}
	return out
}

// parties returns the owners of addresses, and each of them once.
func (c *Collector) parties() (owner map[netip.AddrPort]*party, parties []*party) {
	owner = make(map[netip.AddrPort]*party)
	of := make(map[trace.DeviceID]*party)
	take := func(a netip.AddrPort, id trace.DeviceID) *party {
		p := of[id]
		if p == nil || id == (trace.DeviceID{}) {
			p = &party{device: id, first: a}
			parties = append(parties, p)
			of[id] = p
		}
		return p
	}
	var unknown []netip.AddrPort
	counts := make(map[netip.AddrPort]int)
	for _, packet := range c.packets {
		a, err := netip.ParseAddrPort(packet.DeviceAddress)
		if err != nil {
			continue
		}
		counts[a]++
		switch {
		case owner[a] != nil:
		case packet.Device != (trace.DeviceID{}):
			owner[a] = take(a, packet.Device)
		case counts[a] == 1:
			unknown = append(unknown, a)
		}
	}
	for _, a := range unknown {
		if owner[a] == nil {
			owner[a] = take(a, trace.DeviceID{})
		}
	}
	for a, n := range counts {
		p := owner[a]
		p.packets += n
		p.size += c.sizes[a] + int64(n)*lineSize
		if a.Compare(p.first) < 0 {
			p.first = a
		}
	}
	return owner, parties
}

// ranksOf returns how urgently a device belongs into the bundle, by its id in hex.
func ranksOf(run *report.Run) map[string]int {
	ranks := make(map[string]int)
	for _, r := range run.Results {
		for _, m := range r.Measurements {
			for _, s := range m.Samples {
				if _, known := ranks[s.Device]; !known && s.Device != "" {
					ranks[s.Device] = 1
				}
			}
		}
	}
	for _, r := range run.Results {
		findings := r.Findings
		for _, a := range r.Attempts {
			findings = append(slices.Clone(findings), a.Findings...)
		}
		for _, f := range findings {
			if f.Device != "" {
				ranks[f.Device] = 0
			}
		}
	}
	return ranks
}
