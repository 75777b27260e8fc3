package target

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/muster/muster/cloudref"
	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/harness/capture"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/profile"
)

// startBoards brings devices that are not simulated to the reference cloud. The
// wire is tapped at the cloud.
func (e *Env) startBoards(ctx context.Context, d *DeviceSpec) error {
	boards, err := e.openBoards(ctx, d)
	if err != nil {
		return &SpecError{err}
	}
	for _, b := range boards {
		e.onStop = append(e.onStop, b.Close)
	}
	if err := e.findImage(d); err != nil {
		return &SpecError{err}
	}
	if err := e.startCloudForBoards(ctx, d); err != nil {
		return err
	}
	e.floor.turn = make(chan struct{}, 1)
	e.onStop = append(e.onStop, e.pump())
	e.lack("the check holds time still or lets it run, which only a simulated device lets it do (--device sim:…)", VirtualTime)
	e.lack("the harness does not see into a device that is not simulated", Telling)
	e.lack("the check sets up the device's memory, settings or application, and a board or a program has its own", Tailoring)
	e.lack("the check makes devices of its own for this, which cannot be done beside a board or a program", Strangers, Registration, ClaimCodes, Rescues)
	e.lack("the check moves the device to another address, or cuts its network, and nothing here does that to a board or a program", Roaming)
	for i, b := range boards {
		if err := e.attach(ctx, b, i); err != nil {
			return err
		}
	}
	if len(boards) < 2 {
		e.lack("there is one device", TwoAccounts)
	}
	return nil
}

// SeenAtCloud reports whether the packets of the device are seen at the cloud: those
// of simulated ones are seen at the device.
func (d *Device) SeenAtCloud() bool { return d.board != nil }

// pump tells the decoder that time passes, until stop: it holds the last packet back
// that could have been overtaken, and boards are known by what it tells. When nobody
// talks, nobody else would.
func (e *Env) pump() (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			e.wire.decoder.Advance(e.clock.Now())
			select {
			case <-time.After(reorder):
			case <-ctx.Done():
			}
		}
	}()
	return func() error {
		cancel()
		<-ended
		return nil
	}
}

// openBoards opens what the spec names.
func (e *Env) openBoards(ctx context.Context, d *DeviceSpec) ([]Board, error) {
	if d.Rig != "" {
		return openRig(ctx, d.Rig, e.options.Rig, e.options.Log)
	}
	p, err := profile.Lookup(firstOf(d.Profile, defaultProgram))
	if err != nil {
		return nil, err
	}
	programs, err := openPrograms(d.Process, p, e.options.Log)
	if err != nil {
		return nil, err
	}
	var boards []Board
	for _, p := range programs {
		boards = append(boards, p)
	}
	return boards, nil
}

// defaultProgram is what a program is said to be if nothing else is said: the
// virtual device of the newest Device OS, over UDP.
const defaultProgram = "gcc-udp@6.2.0"

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// startCloudForBoards runs the cloud where the boards look for it.
//
// Device OS: from 1.1 on devices take no port for UDP: it is always 5684
// (TRN-6.1). So that clouds on this machine do not collide, this one has an address
// of the loopback network of its own.
func (e *Env) startCloudForBoards(ctx context.Context, d *DeviceSpec) error {
	if d.Rig != "" {
		rig := e.options.Rig
		if rig == nil {
			rig = &RigOptions{}
		}
		a, err := rig.cloudAddr()
		if err != nil {
			return err
		}
		e.options.Log(RigSource, "boards find the cloud at "+a.String())
		err = e.startCloudAt(ctx, func() (netip.Addr, error) { return a, nil })
		if errors.Is(err, syscall.EADDRNOTAVAIL) {
			return &SpecError{fmt.Errorf("$%s is %s, which is no address of this machine: want one that boards reach", hostVariable, a)}
		}
		if err != nil {
			return fmt.Errorf("boards look for their cloud at the ports 5684 and 5683 of %s (another cloud may have them; $MUSTER_RIG_HOST names another address): %w", a, err)
		}
		return nil
	}
	err := e.startCloudAt(ctx, func() (netip.Addr, error) {
		var b [3]byte
		if _, err := rand.Read(b[:]); err != nil {
			return netip.Addr{}, fmt.Errorf("target: drawing an address: %w", err)
		}
		return netip.AddrFrom4([4]byte{127, 128 | b[0]&0x7f, b[1], 1 + b[2]%250}), nil
	})
	if err != nil {
		return fmt.Errorf("programs look for their cloud on the ports 5684 and 5683, which something holds on every address of this machine (stop it, perhaps a cloud on 0.0.0.0): %w", err)
	}
	return nil
}

// How often, and after how long, ports are tried again that somebody has: for a
// moment, perhaps, as "muster cloud doctor" does that looks whether it can have them.
const (
	portTries = 16
	portPause = 250 * time.Millisecond
)

// startCloudAt runs the cloud on the ports of boards, at an address that is drawn for
// each try.
func (e *Env) startCloudAt(ctx context.Context, draw func() (netip.Addr, error)) error {
	for try := 1; ; try++ {
		a, err := draw()
		if err != nil {
			return err
		}
		err = e.startOwnCloud(ctx, netip.AddrPortFrom(a, cloudref.PortUDP), netip.AddrPortFrom(a, cloudref.PortTCP), capture.AtCloud)
		if !errors.Is(err, syscall.EADDRINUSE) || try == portTries {
			return err
		}
		select {
		case <-time.After(portPause):
		case <-ctx.Done():
			return err
		}
	}
}

// attach registers a board and makes it a device.
func (e *Env) attach(ctx context.Context, b Board, n int) error {
	admitted := false
	cloud := e.address
	cloud.Admit = func(ctx context.Context, who Identity) error {
		admitted = true
		return e.admitBoard(ctx, b, n, who)
	}
	who, err := b.Attach(ctx, cloud)
	if err != nil {
		return err
	}
	if !admitted {
		if err := cloud.Admit(ctx, who); err != nil {
			return err
		}
	}
	if who.KeepsState == No {
		e.lack(who.Why, KeepsState)
	}
	e.knows = e.knows || who.KeepsState == Yes
	for _, one := range []struct {
		c   Capability
		why func() string
	}{{Resets, b.CanReset}, {PowerCut, b.CanCut}} {
		if why := one.why(); why != "" {
			e.lack(why, one.c)
		}
	}
	if !who.Commands {
		e.lack("the application takes no commands on its console", Commands)
	}
	return nil
}

// admitBoard makes the cloud and the wire know a board.
func (e *Env) admitBoard(ctx context.Context, b Board, n int, who Identity) error {
	d := e.newDevice(who.ID, who.Profile)
	d.board, d.who, d.Account = b, who, n%2
	r := cloudref.Registration{ID: store.DeviceID(d.ID), Name: firstOf(who.Name, "device-"+d.Hex()), Owner: e.accounts[d.Account]}
	if who.Profile.Board.UDP {
		r.P256 = who.Key
	} else {
		r.RSA = who.Key
	}
	e.wire.decoder.AddDevice(trace.DeviceID(d.ID), who.Key, who.Private)
	e.admit(d) // before it gets in
	return e.cloud.Register(ctx, r)
}

// boardTime bounds what a board is asked to do, other than to connect.
const boardTime = 30 * time.Second

// boardDo does something to a board, if the target has the capability.
func (d *Device) boardDo(c Capability, do func(Board, context.Context) error) {
	if d.need(c) != nil {
		return
	}
	d.boarding.Lock()
	defer d.boarding.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), boardTime)
	defer cancel()
	if err := do(d.board, ctx); err != nil {
		d.boardFailed(c, err)
	}
}

// boardCommand gives a line to the application.
func (d *Device) boardCommand(line string) error {
	if err := d.need(Commands); err != nil {
		return err
	}
	d.boarding.Lock()
	defer d.boarding.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), boardTime)
	defer cancel()
	err := d.board.Command(ctx, line)
	if err != nil {
		d.boardFailed(Commands, err)
	}
	return err
}

func (d *Device) boardFailed(c Capability, err error) {
	if errors.Is(err, errors.ErrUnsupported) {
		d.env.lack("the driver of the device cannot do it", c)
		_ = d.need(c) // the check is told
		return
	}
	d.env.options.Log(HarnessSource, fmt.Sprintf("%s: %v", d, err))
}

// foundAt notes where the packets of a board come from.
func (d *Device) foundAt(peer string) {
	host, _, err := net.SplitHostPort(peer)
	if err != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.host = host
}

// noteSession takes what the cloud saw of a board for what the board says of
// itself: it has no other voice.
func (d *Device) noteSession(at clock.Instant, o endpoint.Observation) {
	kind := device.Offline
	if o.What == endpoint.Online {
		kind = device.Online
	}
	d.note(at, Event{Kind: kind, Resumed: o.Session.Resumed})
}

// heard takes what a board did from the wire, for those who wait for it.
func (e *Env) heard(p *trace.Packet) {
	d := e.boardOf(p.Device)
	if d == nil {
		return
	}
	for _, m := range p.Messages() {
		switch {
		case m.Repeat > 0:
		case p.Direction == trace.Down && m.Kind == pdc.KindEventDelivery:
			d.delivering(m)
			if p.Transport == trace.TCP {
				d.delivered(p.At, m.Exchange) // nothing acknowledges it
			}
		case p.Direction == trace.Up && m.Of == pdc.KindEventDelivery:
			d.delivered(p.At, m.Exchange)
		case p.Direction == trace.Up && m.Kind == pdc.KindFunctionResult:
			d.note(p.At, Event{Kind: device.FunctionCalled})
		}
	}
}

// A delivery is an event that is on its way to a board.
type delivery struct {
	name string
	data []byte
}

func (d *Device) delivering(m *trace.Message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.deliveries == nil {
		d.deliveries = make(map[uint64]delivery)
	}
	d.deliveries[m.Exchange] = delivery{m.Event, m.CoAP.Payload}
}

func (d *Device) delivered(at clock.Instant, exchange uint64) {
	d.mu.Lock()
	one, known := d.deliveries[exchange]
	delete(d.deliveries, exchange)
	d.mu.Unlock()
	if known {
		d.note(at, Event{Kind: device.EventReceived, Name: one.name, Data: one.data})
	}
}

// applied notes the end of an update of a board.
func (d *Device) applied(at clock.Instant, p app.FlashProgress) {
	if p.Stage == app.FlashDone {
		d.note(at, Event{Kind: device.UpdateApplied})
	}
}

// offers notes for the check that the application of a board lacks what all
// simulated devices have, if that is why the cloud refused.
func (e *Env) offers(d *Device, c Capability, name string, ours bool, err error) error {
	var failure *app.Failure
	if d.board == nil || !ours || !errors.As(err, &failure) || failure.Reason != app.NoSuchName {
		return err
	}
	return e.use.note(&Missing{Capability: c, Why: fmt.Sprintf("the application of the device registers no %q", name)})
}

// subscribed returns an error, and notes it for the check, if no board subscribes
// to what all simulated devices subscribe to.
func (e *Env) subscribed(event string) error {
	if !e.options.Spec.boards() || !strings.HasPrefix(event, SubscribedTo) {
		return nil
	}
	for _, d := range e.devices {
		for _, p := range d.Packets(Mark{}) {
			for _, m := range p.Messages() {
				if m.Kind == pdc.KindSubscribe && strings.HasPrefix(event, m.Event) {
					return nil
				}
			}
		}
	}
	return e.use.note(&Missing{Capability: Subscriptions, Why: fmt.Sprintf("the application of the device does not subscribe to %q", SubscribedTo)})
}
