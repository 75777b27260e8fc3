package target

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/harness/capture"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/sim/profile"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/live"
)

// The floor is where devices that are not simulated look for their cloud: one address,
// one key. The reference cloud stands there and makes way for puppets, of which one plays
// at a time. It comes back when somebody asks for it, see [Env.Reopen].
type floor struct {
	turn chan struct{} // capacity 1: full while a check has the floor

	mu     sync.Mutex
	holder *Usage        // of the check that has it
	scene  *live.Network // of the puppet that played last
	away   bool          // the reference cloud is
}

// take gives a check the floor until it has ended, and closes what it played before.
func (e *Env) takeFloor() error {
	f := &e.floor
	f.mu.Lock()
	mine := e.use != nil && f.holder == e.use
	f.mu.Unlock()
	if !mine {
		select {
		case f.turn <- struct{}{}:
		case <-e.use.done():
			return errors.New("target: another check had the puppet's place for all the time of this one")
		}
		f.mu.Lock()
		f.holder = e.use
		f.mu.Unlock()
		e.use.atEnd(e.leaveFloor)
	}
	e.clearFloor()
	if e.use != nil && e.use.ended() {
		return errors.New("target: the time of the check is over")
	}
	return nil
}

// clearFloor switches the devices off, and takes whoever stood there away.
func (e *Env) clearFloor() {
	for _, d := range e.devices {
		if d.board != nil {
			d.retire()
		}
	}
	f := &e.floor
	f.mu.Lock()
	scene := f.scene
	f.scene = nil
	f.mu.Unlock()
	if scene != nil {
		scene.Close()
	}
}

// leaveFloor ends what a check played.
func (e *Env) leaveFloor() {
	e.clearFloor()
	f := &e.floor
	f.mu.Lock()
	f.holder = nil
	f.mu.Unlock()
	<-f.turn
}

// makeWay stops the reference cloud: what it knows is stored.
func (e *Env) makeWay() error {
	f := &e.floor
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return nil
	}
	for _, d := range e.devices {
		if st, known := e.cloud.Node().Status(store.DeviceID(d.ID)); known && st.Describe != nil {
			d.registers = slices.Clone(st.Describe.Application.Functions)
			for _, v := range st.Describe.Application.Variables {
				d.registers = append(d.registers, v.Name)
			}
		}
	}
	f.away = true
	if err := e.cloud.Stop(); err != nil {
		return fmt.Errorf("target: stopping the reference cloud for a puppet: %w", err)
	}
	return nil
}

// Reopen brings the reference cloud back, if puppets have taken its place, and waits until
// the devices are connected to it or ctx ends.
func (e *Env) Reopen(ctx context.Context) error {
	f := &e.floor
	if f.turn == nil {
		return nil
	}
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.away {
		return nil
	}
	if err := e.startCloud(ctx, e.address.UDP, e.address.TCP); err != nil {
		return fmt.Errorf("target: bringing the reference cloud back: %w", err)
	}
	f.away = false
	Each(e.Devices(), func(d *Device) {
		switch {
		case d.board == nil:
		case e.Lacks(Power) == "":
			d.Bring(ctx)
		default: // it was never off, and may wait long before it tries again
			if mark, err := d.Reset(ctx); err == nil {
				_, _ = d.AwaitOnline(ctx, mark) // who does not come is for checks to tell
			}
		}
	})
	return nil
}

// gone reports whether the reference cloud was stopped for a puppet.
func (f *floor) gone() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.away
}

// playsBoards reports whether puppet clouds play before boards and programs.
func (e *Env) playsBoards() bool { return e.world != nil && e.floor.turn != nil }

// OneAtATime reports whether checks that bring stages of their own wait for one another:
// their time should not pass meanwhile.
func (e *Env) OneAtATime() bool { return e.playsBoards() }

// boardFor returns the device of a profile that is to play, with the means to start it
// afresh.
func (e *Env) boardFor(p *profile.Profile) (*Device, error) {
	d := likeliest(e.devices, p)
	if d == nil {
		return nil, fmt.Errorf("target: no device is a %s", p)
	}
	if e.Lacks(Power) == "" {
		return d, nil
	}
	// A reset does for one that forgets its session, if nobody else talks.
	if e.Lacks(Resets) == "" && e.Lacks(KeepsState) != "" && len(e.devices) == 1 {
		return d, nil
	}
	return nil, e.need(Power)
}

// likeliest returns the board of a profile against which the least speaks, nil if none
// is of that profile.
func likeliest(devices []*Device, p *profile.Profile) (best *Device) {
	for _, one := range devices {
		if one.board != nil && one.Profile.Equal(p) && (best == nil || one.doubt() < best.doubt()) {
			best = one
		}
	}
	return best
}

// doubt is how much speaks against taking a board for a puppet where there are others: it
// is not there, or did not come the last time.
func (d *Device) doubt() int {
	d.mu.Lock()
	doubt := d.stoodUp
	d.mu.Unlock()
	if d.Absent() != "" {
		doubt += 1 << 16
	}
	return doubt
}

// newFloorStage returns a stage on sockets with a device that is not simulated, switched
// off, and nobody yet in the place of its cloud.
func (e *Env) newFloorStage(p *profile.Profile) (*stage, *Device, error) {
	d, err := e.boardFor(p)
	if err != nil {
		return nil, nil, err
	}
	if err := e.takeFloor(); err != nil {
		return nil, nil, err
	}
	if _, err := e.boardFor(p); err != nil {
		return nil, nil, err // it turned out that nothing switches it off
	}
	if err := e.makeWay(); err != nil {
		return nil, nil, err
	}
	if err := d.forget(); err != nil {
		return nil, nil, err
	}
	d.mu.Lock()
	host, _ := netip.ParseAddr(d.host)
	d.mu.Unlock()
	s := &stage{Profile: p, id: d.ID, parties: parties{
		deviceRSA: d.rsaKey(), cloudEC: &e.ecKey.PublicKey, cloudRSA: &e.rsaKey.PublicKey, own: cloudKeys{e.ecKey, e.rsaKey},
		salt: rand.Text()[:saltSize], home: host, host: host, udp: e.address.UDP, tcp: e.address.TCP, epoch: e.clock.Start(),
	}}
	s.wire = newWire(e.rsaKey, capture.AtCloud, reorder, func(*trace.Packet) {}, e.kept().Stage(p.String(), p.Version.Name, transportOf(p)))
	s.whole = true
	s.wire.cloud(s.udp)
	s.wire.cloud(s.tcp)
	s.wire.decoder.AddDevice(trace.DeviceID(s.id), d.who.Key, d.who.Private)
	network := live.New(live.Config{Clock: e.clock, Tap: s.wire.decoder.Tap(), Done: e.use.done()})
	s.venue = &liveVenue{net: network, use: e.use, pace: e.pace()}
	e.floor.mu.Lock()
	e.floor.scene = network
	e.floor.mu.Unlock()
	e.use.atEnd(s.wire.decoder.Flush)
	return s, d, nil
}

// enter puts a host in the cloud's place.
func (s *stage) enter(h transport.Host) (place, error) {
	network := s.venue.(*liveVenue).net
	node := network.Attach(h, live.Place{Addr: s.udp.Addr()})
	if s.Profile.Board.UDP {
		conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(s.udp))
		if err != nil {
			return nil, fmt.Errorf("target: a puppet in the place of the cloud: %w", err)
		}
		if err := yieldPort(conn); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		node.TakeUDP(conn, s.udp)
		return node, nil
	}
	if _, err := node.ListenTCP(s.tcp); err != nil {
		return nil, fmt.Errorf("target: a puppet in the place of the cloud: %w", err)
	}
	return node, nil
}

// open has a puppet hear, and the wire see from now on what it does not.
func open(p place) {
	p.SetOnline(true)
	if node, ok := p.(*live.Node); ok {
		node.Watch()
	}
}

// rsaKey returns the key of a board over TCP: its public half, if the harness has no other.
func (d *Device) rsaKey() *rsa.PrivateKey {
	if d.Profile.Board.UDP || d.who.Private != nil {
		return d.who.Private
	}
	key, err := x509.ParsePKIXPublicKey(d.who.Key)
	if public, ok := key.(*rsa.PublicKey); err == nil && ok {
		return &rsa.PrivateKey{PublicKey: *public}
	}
	return nil
}
