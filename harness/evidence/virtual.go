package evidence

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"slices"

	"github.com/muster/muster/harness/capture"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/transport"
)

// What is kept of virtual networks until their check has ended, and of those that
// did not pass.
const (
	networkBytes = 1 << 20 // of packets, of one network
	networksKept = 64      // whose packets are in a bundle
)

// A NetworkLine is one virtual network in virtual.jsonl. The digest is a hash of
// every packet on it, with its time and addresses: in a replay it is the same.
type NetworkLine struct {
	Check     string `json:"check"`
	Device    string `json:"device"` // board and release, "boron@6.2.0"
	DeviceOS  string `json:"device_os"`
	Transport string `json:"transport"`
	Number    int    `json:"number"` // among those of this check and device, from 1
	Packets   int    `json:"packets"`
	Digest    string `json:"digest"`
	// File is the name of its packets and its trace, without the ending, if they
	// are in the bundle; LeftOut how many packets are not in them.
	File    string `json:"file,omitempty"`
	LeftOut int    `json:"left_out,omitempty"`
}

// A Network observes one virtual network. A nil Network takes nothing.
type Network struct {
	line    NetworkLine
	digest  hash.Hash
	seen    []transport.Sighting
	size    int
	packets []*trace.Packet
	secrets []capture.Secrets
	keep    bool
	live    bool // on sockets: no replay can compare it
}

// virtuals are the virtual networks of a run.
type virtuals struct {
	check string
	open  []*Network
	done  []*Network
	kept  int
	left  int // networks that did not pass and found no room
	// staged are packets of networks of sockets, for the timeline: they are of the time of
	// the run. unstaged is how many found no room.
	staged   []stagedPacket
	unstaged int
}

// A stagedPacket is one that a check had to itself.
type stagedPacket struct {
	check string
	*trace.Packet
}

// stagedMax bounds them.
const stagedMax = 20_000

// Network returns the observer of a new virtual network with a device of the given
// profile, release and transport. It is used by one goroutine.
func (c *Collector) Network(profile, deviceOS, transport string) *Network {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := &Network{digest: sha256.New(), line: NetworkLine{Check: c.virtual.check, Device: profile, DeviceOS: deviceOS, Transport: transport}}
	c.virtual.open = append(c.virtual.open, n)
	return n
}

// Stage does what Network does for a network of sockets that one check has to itself.
// No replay compares it.
func (c *Collector) Stage(profile, deviceOS, transport string) *Network {
	n := c.Network(profile, deviceOS, transport)
	if n != nil {
		n.live = true
	}
	return n
}

// Sight takes a sighting.
func (n *Network) Sight(s transport.Sighting) {
	if n == nil {
		return
	}
	var head [18]byte
	binary.BigEndian.PutUint64(head[:], uint64(s.At))
	binary.BigEndian.PutUint64(head[8:], uint64(len(s.Data)))
	head[16] = byte(s.Kind)
	if s.Sent {
		head[17] = 1
	}
	for _, part := range [][]byte{head[:], []byte(s.Local.String()), []byte(s.Peer.String()), []byte(s.Lost), s.Data} {
		_, _ = n.digest.Write(part) // a hash takes everything
	}
	if len(s.Data) > 0 {
		n.line.Packets++
	}
	if n.size += len(s.Data) + 64; n.size > networkBytes {
		n.line.LeftOut++
		return
	}
	s.Data = slices.Clone(s.Data)
	n.seen = append(n.seen, s)
}

// Packet takes a decoded packet.
func (n *Network) Packet(p *trace.Packet) {
	if n != nil && n.size <= networkBytes {
		n.packets = append(n.packets, p)
	}
}

// Secrets takes the secrets of a session.
func (n *Network) Secrets(s capture.Secrets) {
	if n != nil {
		n.secrets = append(n.secrets, s)
	}
}

// close ends the networks of a check and lets go of what is not kept.
func (v *virtuals) close(check string, results []report.Result, all bool) {
	var open []*Network
	for _, n := range v.open {
		if n.line.Check != check {
			open = append(open, n)
			continue
		}
		n.line.Digest = hex.EncodeToString(n.digest.Sum(nil))
		v.stage(n)
		n.keep = all || slices.ContainsFunc(results, func(r report.Result) bool {
			return r.DeviceOS == n.line.DeviceOS && r.Transport == n.line.Transport && (r.Verdict >= report.PassWithRemark || len(r.Attempts) > 1)
		})
		if n.keep && v.kept >= networksKept {
			n.keep = false
			v.left++
		}
		if n.keep {
			v.kept++
		} else {
			n.seen, n.packets, n.secrets, n.line.LeftOut = nil, nil, nil, 0
		}
		v.done = append(v.done, n)
	}
	v.open = open
}

// stage keeps the packets of a network of sockets for the timeline, whatever came of the
// check: what a board printed then is there, too.
func (v *virtuals) stage(n *Network) {
	if !n.live {
		return
	}
	for _, p := range n.packets {
		if len(v.staged) == stagedMax {
			v.unstaged++
			continue
		}
		v.staged = append(v.staged, stagedPacket{n.line.Check, p})
	}
	v.unstaged += n.line.LeftOut
}

// number puts the networks in order and numbers them. Checks may make those of one
// device in any order, so it goes by their digests.
func (v *virtuals) number() {
	slices.SortStableFunc(v.done, func(a, b *Network) int {
		return cmp.Or(cmp.Compare(a.line.Check, b.line.Check), cmp.Compare(a.line.Device, b.line.Device), cmp.Compare(a.line.Digest, b.line.Digest))
	})
	for i, n := range v.done {
		n.line.Number = 1
		if i > 0 {
			if before := v.done[i-1].line; before.Check == n.line.Check && before.Device == n.line.Device {
				n.line.Number = before.Number + 1
			}
		}
	}
}
