package target

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/muster/muster/harness/capture"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/sim/profile"
	"github.com/muster/muster/transport/live"
)

// newLiveStage returns a stage before a cloud that is not ours, on sockets of its own.
// Its puppet stands in for a device of the profile, which is switched off until a suite
// wants it.
func (e *Env) newLiveStage(p *profile.Profile) (*stage, *Device, error) {
	d, err := e.understudy(p)
	if err != nil {
		return nil, nil, err
	}
	host, other, err := e.newAddresses(p)
	if err != nil {
		return nil, nil, err
	}
	s := &stage{Profile: p, id: d.ID, parties: parties{
		cloudEC: parsePublic[*ecdsa.PublicKey](e.address.EC), cloudRSA: parsePublic[*rsa.PublicKey](e.address.RSA),
		salt: rand.Text()[:saltSize], home: virtualDevice, host: host, udp: e.address.UDP, tcp: e.address.TCP, epoch: e.clock.Start(),
	}}
	key := e.keys.Get(d.ID)
	s.deviceEC, _ = key.(*ecdsa.PrivateKey)
	s.deviceRSA, _ = key.(*rsa.PrivateKey)
	s.wire = newWire(nil, capture.AtDevice, reorder, func(*trace.Packet) {}, e.kept().Stage(p.String(), p.Version.Name, transportOf(p)))
	for _, a := range []netip.AddrPort{s.udp, s.tcp} {
		if a.IsValid() {
			s.wire.cloud(a)
		}
	}
	s.wire.decoder.AddDevice(trace.DeviceID(s.id), e.keys.Public(d.ID), s.deviceRSA)
	if s.deviceRSA != nil {
		s.wire.decoder.AddDeviceKey(s.deviceRSA)
	}
	network := live.New(live.Config{Clock: e.clock, Tap: s.wire.decoder.Tap(), Done: e.use.done()})
	s.venue = &liveVenue{net: network, use: e.use, pace: e.pace(), at0: live.Place{Addr: host, Name: virtualDevice, Other: other}}
	e.use.atEnd(func() {
		network.Close()
		s.wire.decoder.Flush()
	})
	return s, d, nil
}

// saltSize is short enough for a part of a name of an event.
const saltSize = 8

// understudy returns a device of the profile that the cloud knows, switched off and
// without a session: a puppet takes its place. A suite that looks at devices switches it
// on again.
func (e *Env) understudy(p *profile.Profile) (*Device, error) {
	for _, d := range slices.Backward(e.devices) {
		if d.Profile == p && d.board == nil && d.group != nil && (d.group.Absent == "" || d.group.Heard) {
			return d, d.stepDown()
		}
	}
	return nil, fmt.Errorf("target: no device %s is known to the cloud", p)
}

// stepDown switches a simulated device off and makes it forget everything.
func (d *Device) stepDown() error {
	d.mu.Lock()
	d.powered, d.online, d.replaced = false, false, true
	d.mu.Unlock()
	d.env.fleet.Replace(d.index, d.env.template().Config(d.Profile), nil)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := d.env.fleet.Memory(ctx, d.index) // when it is done
	return err
}

// Reinstate switches devices of a group on again whose places puppets took, and waits until
// they are connected or ctx ends.
func (e *Env) Reinstate(ctx context.Context, g *Group) {
	var list []*Device
	for _, d := range g.Devices {
		d.mu.Lock()
		if d.replaced {
			list = append(list, d)
		}
		d.mu.Unlock()
	}
	Each(list, func(d *Device) { d.Bring(ctx) })
}

// stages counts the live stages of the process: on loopback each has addresses of its
// own.
var stages atomic.Uint32

// The addresses of live stages on loopback: 127.201.0.7 and on.
const (
	stageNets  = 50
	stageFirst = 201
)

// newAddresses finds an address for a puppet, and those of the strangers beside it: on
// loopback of their own, else that of this machine.
func (e *Env) newAddresses(p *profile.Profile) (host netip.Addr, other func(netip.Addr) netip.Addr, err error) {
	to := e.addressOf(&Device{Profile: p})
	if to.Addr().Is4() && to.Addr().IsLoopback() {
		n := stages.Add(1)
		ours := [4]byte{127, byte(stageFirst + n/250%stageNets), byte(1 + n%250), 7}
		return netip.AddrFrom4(ours), func(name netip.Addr) netip.Addr {
			ours[3] = name.As4()[3]
			return netip.AddrFrom4(ours)
		}, nil
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to)) // which sends nothing
	if err != nil {
		return host, nil, fmt.Errorf("target: finding a way to %v: %w", to, err)
	}
	host = conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	return host, nil, conn.Close()
}

// pace is what the target takes to answer.
func (e *Env) pace() time.Duration {
	return min(max(time.Duration(e.answersIn.Load()), paceMin), paceMax)
}

// answersMeasured is how many answers of one device tell how fast a cloud is: over UDP
// those of a handshake and a Hello, over TCP that of the Hello alone, the second: RSA takes
// some clouds seconds when many devices come at once, and no script waits for it
// blindly. What a cloud says later it may say of its own accord.
func answersMeasured(udp bool) (skip, count int) {
	if udp {
		return 0, 3
	}
	return 1, 1
}

// measurePace finds out what the cloud takes to answer, from devices that have connected.
func (e *Env) measurePace(online []*Device) {
	for _, d := range online {
		var asked *trace.Packet
		skip, left := answersMeasured(d.Profile.Board.UDP)
		for _, p := range d.Packets(Mark{}) {
			switch {
			case p.Direction == trace.Up:
				asked = p
			case asked != nil && skip > 0:
				asked = nil
				skip--
			case asked != nil && left > 0:
				e.answersIn.Store(max(e.answersIn.Load(), int64(p.At.Sub(asked.At))))
				asked = nil
				left--
			}
		}
	}
}
