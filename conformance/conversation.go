package conformance

import (
	"context"
	"fmt"

	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

// A Conversation is what one device and its cloud said to one another, as far as
// somebody saw it. It is all that a passive check gets: so the same function
// judges the devices of a run ("muster conform") and traffic that somebody else
// recorded ("muster judge").
type Conversation struct {
	// Device names it in findings: 24 hex digits, or an address where the id is
	// not known.
	Device string
	// Transport is "udp" or "tcp".
	Transport string
	// Release is what is known of the Device OS release.
	Release Release
	// Packets in the order in which they were seen.
	Packets []*trace.Packet
	// Whole says that nothing is missing: the conversation was seen from its first
	// packet on, each packet that was sent arrived, and all answers have come.
	// Only then the absence of something is a finding. Without it a check judges
	// what is there.
	Whole bool
	// Far says that it was seen at the cloud: what the device had sent can be on its
	// way when the cloud says something.
	Far bool
}

// conversation returns all that a device of the target and its cloud said.
func conversation(g *target.Group, d *target.Device) *Conversation {
	return &Conversation{
		Device: d.Hex(), Transport: g.Transport, Release: exactly(g.System), Packets: d.Packets(start), Whole: true, Far: d.SeenAtCloud(),
	}
}

// since returns the conversation from a mark on.
func (c *Conversation) since(mark target.Mark) *Conversation {
	later := *c
	later.Packets = nil
	for _, p := range c.Packets {
		if p.At >= mark.At {
			later.Packets = append(later.Packets, p)
		}
	}
	return &later
}

// judgeAlone makes a check that only reads packets one that runs: it looks at
// every device of the group.
func judgeAlone(judge func(*Conversation, *Recorder)) func(context.Context, *target.Env, *target.Group, *Recorder) error {
	return func(_ context.Context, _ *target.Env, g *target.Group, r *Recorder) error {
		for _, d := range g.Devices {
			judge(conversation(g, d), r)
		}
		return nil
	}
}

// A Release is what is known of a device's Device OS release: the system module
// version lies between Since and Until, both included. They are equal when it is
// known exactly.
type Release struct{ Since, Until uint16 }

// exactly is a release that is known.
func exactly(system uint16) Release { return Release{system, system} }

// atLeast reports whether the release is the given one or a later one, and whether
// that is known.
func (r Release) atLeast(system uint16) (yes, known bool) {
	return r.Since >= system, r.Since >= system || r.Until < system
}

// knownBy reports whether atLeast knows the answer for each of the versions.
func (r Release) knownBy(systems ...uint16) bool {
	for _, v := range systems {
		if _, known := r.atLeast(v); !known {
			return false
		}
	}
	return true
}

// String returns "6.2.0", "3.1.0 or later", or "unknown".
func (r Release) String() string {
	switch {
	case r.Since == r.Until:
		return pdc.Release(r.Since)
	case r.Since > 0 && r.Until == ^uint16(0):
		return fmt.Sprintf("%s or later", series(r.Since))
	case r.Since > 0:
		return fmt.Sprintf("%s to below %s", series(r.Since), series(r.Until+1))
	case r.Until < ^uint16(0):
		return fmt.Sprintf("below %s", series(r.Until+1))
	}
	return "unknown"
}

// series names the series of releases that begins with a system version.
func series(system uint16) string {
	for _, v := range pdc.SystemVersions() {
		if v.Module >= system {
			return v.Release
		}
	}
	return pdc.Release(system)
}

// An opening is one handshake as far as it was seen, up to the first
// message under its keys.
type opening struct {
	packets []*trace.Packet
	// begun is true if the first packet of the handshake was seen, done if a
	// message under its keys was.
	begun, done bool
}

// openings returns the handshakes of a conversation, those of which nothing but
// messages were seen excepted.
func (c *Conversation) openings() []*opening {
	var list []*opening
	by := make(map[uint32]*opening)
	for _, p := range c.Packets {
		if p.Association == 0 {
			continue
		}
		o := by[p.Association]
		if o == nil {
			o = &opening{begun: begins(p)}
			by[p.Association] = o
			list = append(list, o)
		}
		if o.done {
			continue
		}
		o.packets = append(o.packets, p)
		o.done = len(p.Messages()) > 0
	}
	kept := list[:0]
	for _, o := range list {
		if len(o.packets) > 1 || !o.done {
			kept = append(kept, o)
		}
	}
	return kept
}

// begins reports whether a packet is the first of a handshake.
func begins(p *trace.Packet) bool {
	for i := range p.Records {
		rec := &p.Records[i]
		if rec.Unit == trace.Nonce {
			return true
		}
		for _, h := range rec.Handshake {
			if h.Type == trace.ClientHello && h.Seq == 0 {
				return true
			}
		}
	}
	return false
}

// first returns the handshake that led to the first message: on a busy machine a
// device may need two attempts. If there was no message it is the first attempt,
// nil if there was none either.
func (c *Conversation) first() *opening {
	all := c.openings()
	for _, o := range all {
		if o.done {
			return o
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[0]
}
