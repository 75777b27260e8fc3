package target

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster/muster/protocol/keyblob"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/rigs/bench"
	"github.com/muster/muster/rigs/control"
	"github.com/muster/muster/rigs/dfu"
	"github.com/muster/muster/rigs/handle"
	"github.com/muster/muster/rigs/inventory"
	"github.com/muster/muster/rigs/lease"
	"github.com/muster/muster/rigs/power"
	"github.com/muster/muster/rigs/provision"
	"github.com/muster/muster/rigs/serial"
	"github.com/muster/muster/sim/profile"
)

// RigOptions say which bench "--device rig:NAME" means. Zero fields mean this
// machine's.
type RigOptions struct {
	Bench bench.Options
	// Host is how to reach boards by USB.
	Host handle.Host
	// Journal is the folder with what boards are owed.
	Journal string
	// Cloud is the address of this machine where boards find the cloud; invalid:
	// $MUSTER_RIG_HOST, else that of the default route.
	Cloud netip.Addr
	// AnyImage says that the boards take images that are made up: fake ones do.
	AnyImage bool
	// Away is how long a board may be off the bus while it restarts, applies an image or
	// sleeps: longer, and it counts as unplugged. One minute.
	Away time.Duration
}

// The sources of what a rig says, see [BoardLog].
const (
	RigSource   = "rig"   // what is done to a board
	USBSource   = "usb"   // its console comes and goes
	PowerSource = "power" // its power
	// HarnessSource is what failed that was to be done to it.
	HarnessSource = "harness"
)

// hostVariable names the address of this machine at which boards find the cloud.
const hostVariable = "MUSTER_RIG_HOST"

// cloudAddr returns where boards find the cloud.
func (o *RigOptions) cloudAddr() (netip.Addr, error) {
	if o.Cloud.IsValid() {
		return o.Cloud, nil
	}
	if text := os.Getenv(hostVariable); text != "" {
		a, err := netip.ParseAddr(text)
		if err != nil || !a.Is4() || a.IsUnspecified() {
			return a, &SpecError{fmt.Errorf("$%s is %q: want an IPv4 address of this machine that boards reach", hostVariable, text)}
		}
		return a, nil
	}
	// Connecting a datagram socket sends nothing; it asks which way leads out. The
	// address is one for documentation (RFC 5737).
	c, err := net.Dial("udp4", "192.0.2.1:9")
	if err != nil {
		return netip.Addr{}, fmt.Errorf("where boards find this machine is not known: say it in $%s, as an IPv4 address (%w)", hostVariable, err)
	}
	local, _ := c.LocalAddr().(*net.UDPAddr)
	return local.AddrPort().Addr(), c.Close()
}

// A rig is the bench of a run.
type rig struct {
	*bench.Bench
	o       *RigOptions
	journal *provision.Journal
	log     BoardLog
	mu      sync.Mutex
	open    int // boards
}

// openRig returns the boards of a rig, leased and not changed yet: one by name,
// "pool=NAME" for one of a pool, "pool=NAME*3" for three.
func openRig(ctx context.Context, name string, o *RigOptions, log BoardLog) ([]Board, error) {
	if o == nil {
		o = &RigOptions{}
	}
	which, times, counted := strings.Cut(name, "*")
	count := 1
	if counted {
		n, err := strconv.Atoi(times)
		if err != nil || n < 1 || !strings.HasPrefix(which, "pool=") {
			return nil, fmt.Errorf("rig:%s: want rig:NAME, rig:pool=NAME or rig:pool=NAME*COUNT", name)
		}
		count = n
	}
	r := &rig{o: o, log: log}
	var err error
	if r.journal, err = provision.OpenJournal(firstOf(o.Journal, provision.DefaultDir())); err != nil {
		return nil, err
	}
	r.journal.Public(filepath.Join(firstOf(o.Bench.LockDir, lease.DefaultDir()), "owed"))
	options := o.Bench
	options.Tell = func(text string) { log(RigSource, text) }
	if r.Bench, err = bench.Open(ctx, options); err != nil {
		return nil, err
	}
	taken, err := r.Take(ctx, bench.Wish{
		Which: which, Count: count, Reason: "muster conform",
		OnLine: func(board string, l serial.Line) { log(board, l.Text) },
		OnState: func(board string, s serial.State) {
			log(USBSource, board+": "+s.Text)
		},
		Note: func(board, text string) {
			if rest, ok := strings.CutPrefix(text, "power: "); ok {
				log(PowerSource, board+": "+rest)
				return
			}
			log(RigSource, board+": "+text)
		},
	})
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("rig:%s: %w", name, err)
	}
	var boards []Board
	for _, b := range taken {
		boards = append(boards, &rigBoard{rig: r, board: b})
	}
	r.open = len(boards)
	return boards, nil
}

// done ends the bench behind its last board.
func (r *rig) done() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open--; r.open == 0 {
		r.Close()
	}
}

// A rigBoard is hardware on a bench, as a Board.
type rigBoard struct {
	*rig
	board   *bench.Board
	host    handle.Host
	pointed bool        // at our cloud
	cut     atomic.Bool // its power, unverified
	off     atomic.Bool // it was switched off
}

func (b *rigBoard) tell(stage string) { b.log(RigSource, b.board.Name()+": "+stage) }

// Attach implements Board: it saves the board's keys, writes the server key, and
// restarts the board, which then connects.
func (b *rigBoard) Attach(ctx context.Context, cloud Address) (Identity, error) {
	h, err := b.handle(ctx)
	if err != nil {
		return Identity{}, err
	}
	plan, err := planFor(h.Platform, cloud)
	if err != nil {
		return Identity{}, err
	}
	who := Identity{Name: b.board.Name(), Commands: b.board.Entry.Console.Commands}
	if who.Profile, err = b.profile(ctx, h); err != nil {
		return Identity{}, err
	}
	if who.ID, err = parseID(h.DeviceID()); err != nil {
		return Identity{}, err
	}
	if b.CanReset() == "" {
		who.KeepsState, who.Why = keeps(h.Platform)
	}
	plan.Known = func(ctx context.Context, key []byte) error {
		who.Key = key
		if cloud.Admit == nil {
			return nil
		}
		return cloud.Admit(ctx, who)
	}
	plan.Leased = true
	b.pointed = true // from now on, whatever happens
	p := &provision.Provisioner{Journal: b.journal}
	err = b.revived(ctx, func() error { return p.Provision(ctx, h, plan, b.tell) })
	if err != nil {
		return Identity{}, fmt.Errorf("board %s: %w", b.board.Name(), err)
	}
	return who, nil
}

// revived does something with the board, and again when it hung and could be
// restarted. One that cannot is quarantined, as every board that nothing brings back.
func (b *rigBoard) revived(ctx context.Context, do func() error) error {
	err := do()
	if !errors.Is(err, handle.ErrHangs) || ctx.Err() != nil {
		return err
	}
	b.tell("it hangs: restarting it")
	if failed := b.board.Recover(ctx, power.Soft); failed != nil {
		return errors.Join(failed, err)
	}
	return do()
}

// handle returns the board for what happens over USB, when it is there.
func (b *rigBoard) handle(ctx context.Context) (*handle.Board, error) {
	wait, cancel := context.WithTimeout(ctx, b.AwayMax())
	defer cancel()
	for {
		s, changed, err := b.board.Sighting()
		if err != nil {
			return nil, err
		}
		if s.Board != nil {
			break
		}
		select {
		case <-changed:
		case <-wait.Done():
			return nil, errors.New(s.Reason())
		}
	}
	b.host = *b.o.Host.Holding(b.board.Lease.File())
	if b.host.Look == nil {
		b.host.Look = inventory.Ports
	}
	// The console is ours: a touch goes through it.
	b.host.Console = func(_ string, speed int, _ time.Duration) (handle.Console, error) {
		return touch{b.board.Console}, b.board.Console.Touch(speed)
	}
	return b.host.Find(b.board.Path())
}

// A touch is a console that was opened for its speed.
type touch struct{ session *serial.Session }

func (touch) Read([]byte) (int, error)  { return 0, errors.ErrUnsupported }
func (touch) Write([]byte) (int, error) { return 0, errors.ErrUnsupported }
func (t touch) Close() error            { return nil }
func parseID(hex string) (DeviceID, error) {
	var id DeviceID
	if len(hex) != 2*len(id) {
		return id, fmt.Errorf("%q is no device id", hex)
	}
	for i := range id {
		v, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			return id, fmt.Errorf("%q is no device id", hex)
		}
		id[i] = byte(v)
	}
	return id, nil
}

// planFor is what a board of a platform is pointed at.
func planFor(platform pdc.Platform, cloud Address) (provision.Plan, error) {
	plan := provision.Plan{Transport: dfu.TransportOf(platform), ServerKey: cloud.EC}
	at := cloud.UDP
	if plan.Transport == keyblob.TCP {
		plan.ServerKey, at = cloud.RSA, cloud.TCP
	}
	host := firstOf(cloud.Host, at.Addr().String())
	var err error
	plan.Address, err = provision.ParseHost(net.JoinHostPort(host, strconv.Itoa(int(at.Port()))), plan.Transport)
	return plan, err
}

// profile returns what the board is said to be, or says itself.
func (b *rigBoard) profile(ctx context.Context, h *handle.Board) (*profile.Profile, error) {
	version := b.board.Entry.DeviceOS
	if version == "" {
		err := h.AskOnceUp(ctx, func(d *control.Device) (err error) {
			version, err = d.Version(ctx)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("board %s does not tell its Device OS: write \"device_os\" into rigs.yaml (%w)", b.board.Name(), err)
		}
	}
	udp := dfu.TransportOf(h.Platform) == keyblob.UDP
	for _, kind := range profile.Boards() {
		if kind.Platform == h.Platform && kind.UDP == udp && !kind.Virtual {
			return profile.Lookup(kind.Name + "@" + version)
		}
	}
	return nil, fmt.Errorf("board %s: a %s is in no profile: it cannot be judged", b.board.Name(), h.Platform)
}

// PowerOn implements Board.
func (b *rigBoard) PowerOn(ctx context.Context) error {
	if s, _, err := b.board.Sighting(); err == nil && b.runs(s.Board != nil) {
		return nil
	}
	gone := b.board.Ladder().Gone(ctx)
	b.cut.Store(false)
	b.off.Store(false)
	err := b.board.Ladder().On(ctx)
	if !gone {
		err = errors.Join(power.ErrNoEffect, err)
	}
	return err
}

// runs reports whether a board runs that is on the bus or not. One whose power was taken
// may still be seen for a moment: it was restarting just then, or the look is older.
func (b *rigBoard) runs(seen bool) bool { return seen && !b.cut.Load() && !b.off.Load() }

// Absent implements absentee.
func (b *rigBoard) Absent() string {
	s, _, err := b.board.Sighting()
	if err != nil || s.State != inventory.Absent || b.cut.Load() || b.off.Load() {
		return ""
	}
	return s.Reason()
}

// AwayMax implements absentee.
func (b *rigBoard) AwayMax() time.Duration { return cmp.Or(b.o.Away, awayMax) }

// PowerOff implements Board. Where no means can keep the board off, or every one
// lies, it is unsupported.
func (b *rigBoard) PowerOff(ctx context.Context) error {
	if s, _, err := b.board.Sighting(); err == nil && s.Board == nil && b.off.Load() {
		return nil
	}
	l := b.board.Ladder()
	err := l.Off(ctx)
	b.off.Store(err == nil)
	if errors.Is(err, power.ErrNoMeans) || errors.Is(err, power.ErrNoEffect) || errors.Is(err, power.ErrLied) || errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	return err
}

// OffTime is how long its capacitors may hold it.
func (b *rigBoard) OffTime() time.Duration { return b.board.Ladder().OffTime() }

// CutPower takes the power by the first means that can, at once: a moment of the
// protocol does not wait for a proof.
func (b *rigBoard) CutPower(ctx context.Context) error {
	b.cut.Store(true) // and may still show on the bus
	_, err := b.board.Ladder().Cut(ctx)
	if errors.Is(err, power.ErrNoMeans) {
		return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	return err
}

// CanReset implements Board.
func (b *rigBoard) CanReset() string {
	if b.board.Ladder().Resets() {
		return ""
	}
	return "rigs.yaml names nothing that resets the board: a control request, lines, or the console's reset"
}

// CanCut implements Board.
func (b *rigBoard) CanCut() string {
	switch {
	case b.board.Ladder().Cuts():
		return ""
	case b.board.Entry.Power.Battery:
		return "the board has a battery, and rigs.yaml names no relay that cuts it off"
	}
	return "rigs.yaml names nothing that can take the board's power: a hub port, a relay or a PDU"
}

// Reset implements Board.
func (b *rigBoard) Reset(ctx context.Context, used func()) (time.Time, error) {
	l := b.board.Ladder()
	l.Used = used
	a, err := l.Reset(ctx)
	return a.At.Add(max(a.Back, 0)), err
}

// keeps says whether boards of a platform go on with their session when they were
// reset with their power on (TRN-3.2): it is in memory that a reset leaves alone, but
// for the RTL872x boards, which drop it.
func keeps(p pdc.Platform) (k Knowledge, why string) {
	switch p {
	case pdc.Photon, pdc.P1, pdc.Core:
		return No, "the TCP transport has no sessions to keep"
	case pdc.P2, pdc.TrackerM, pdc.MSoM:
		return No, "boards with an RTL872x drop their session in a reset"
	case pdc.Electron, pdc.Argon, pdc.Boron, pdc.Xenon, pdc.ESoMX, pdc.ASoM, pdc.BSoM, pdc.B5SoM, pdc.Tracker:
		return Yes, "boards of this platform keep their session in a reset"
	default:
		return NotKnown, ""
	}
}

// Command implements Board.
func (b *rigBoard) Command(ctx context.Context, line string) error {
	if !b.board.Entry.Console.Commands {
		return errors.ErrUnsupported
	}
	if err := b.board.Ready(ctx); err != nil {
		return err
	}
	return b.board.Console.Write(ctx, []byte(line+"\n"))
}

// restoreTime bounds putting back what a board had.
const restoreTime = 5 * time.Minute

// Close implements Board: the board gets its own server key back. If that fails
// the journal remembers it.
func (b *rigBoard) Close() error {
	defer b.done()
	return errors.Join(b.restore(), b.board.Log.Err(), b.board.Close())
}

func (b *rigBoard) restore() error {
	if !b.pointed {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), restoreTime)
	defer cancel()
	if err := b.PowerOn(ctx); err != nil {
		b.tell("it does not come back: " + err.Error())
	}
	h, err := b.handle(ctx)
	if err != nil {
		return b.owed(err)
	}
	record, err := b.journal.OwedTo(h)
	if err != nil || record == nil {
		return err
	}
	p := &provision.Provisioner{Journal: b.journal}
	err = b.revived(ctx, func() error { return p.Restore(ctx, &b.host, record, b.tell) })
	if err != nil && !provision.IsNothingOwed(err) {
		return b.owed(err)
	}
	b.tell("it has its own server key back")
	return nil
}

func (b *rigBoard) owed(err error) error {
	return fmt.Errorf("board %s does not have its own server key back: \"muster rig restore\" does that when it is plugged in: %w", b.board.Name(), err)
}
