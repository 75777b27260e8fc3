// Package bench brings the parts of a rig together: the boards of rigs.yaml as
// they are plugged in, leased, with their consoles logged and their power at
// hand.
//
//	Bench   the boards of a host
//	Board   one of them, taken: nobody else has it until it is closed
//
// What this package is not: a command, and no judge of boards.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/muster/muster/rigs/control"
	"github.com/muster/muster/rigs/inventory"
	"github.com/muster/muster/rigs/lease"
	"github.com/muster/muster/rigs/power"
	"github.com/muster/muster/rigs/serial"
)

// Options say what the bench is. Zero fields mean what is stated.
type Options struct {
	// File is the path of rigs.yaml. Path().
	File string
	// Strict wants the file to exist. Else there may be none: boards go by serial
	// number or USB path then.
	Strict bool
	// Dir is where health and console logs are kept. "rigs.state" beside the file.
	Dir string
	// Tree is where the system shows its devices. [inventory.System].
	Tree inventory.Tree
	// Look lists what is plugged in, if not the Tree does.
	Look func() ([]inventory.Port, error)
	// LockDir is where the processes of this host agree. [lease.DefaultDir].
	LockDir string
	// NATS is the URL of the server where hosts agree. $MUSTER_RIG_NATS; none.
	NATS string
	// Control opens the control endpoint of a board. Linux's usbfs.
	Control func(inventory.Board) (control.Transport, error)
	// Pin opens the reset pin of a board. The modem line that rigs.yaml names.
	Pin func(inventory.Entry) (power.Pin, error)
	// Tell hears what is waited for before a board is taken; nil: nobody.
	Tell func(text string)
	// Person is where to ask somebody, and Confirm reads the answer; nil: nobody is
	// asked.
	Person  io.Writer
	Confirm func(context.Context) error
	// Times of the power ladder.
	Times power.Times
}

// NATSVariable names the variable of the environment with the URL of the server
// where hosts agree.
const NATSVariable = "MUSTER_RIG_NATS"

// Path is where rigs.yaml is: $MUSTER_RIGS, else here.
func Path() string {
	if path := os.Getenv("MUSTER_RIGS"); path != "" {
		return path
	}
	return "rigs.yaml"
}

// A Bench is the boards of a host. Its methods are safe for concurrent use.
type Bench struct {
	o      Options
	File   *inventory.File
	Bus    *inventory.Bus
	Desk   *lease.Desk
	Clinic power.Clinic
}

// Open reads the file and begins to follow what is plugged in.
func Open(ctx context.Context, o Options) (*Bench, error) {
	if o.File == "" {
		o.File = Path()
	}
	if o.Dir == "" {
		o.Dir = filepath.Join(filepath.Dir(o.File), "rigs.state")
	}
	if o.Tree == (inventory.Tree{}) {
		o.Tree = inventory.System
		if o.Look == nil {
			o.Look = inventory.Ports // where there is no tree, too
		}
	}
	if o.LockDir == "" {
		o.LockDir = lease.DefaultDir()
	}
	if o.NATS == "" {
		o.NATS = os.Getenv(NATSVariable)
	}
	file, err := inventory.Load(o.File)
	if errors.Is(err, inventory.ErrNoFile) && !o.Strict {
		file, err = &inventory.File{Path: o.File}, nil
	}
	if err != nil {
		return nil, err
	}
	b := &Bench{
		o: o, File: file, Desk: &lease.Desk{Dir: o.LockDir, Tell: o.Tell},
		Clinic: power.Clinic{Dir: filepath.Join(o.Dir, "health"), Now: time.Now},
	}
	if o.NATS != "" {
		if b.Desk.Remote, err = lease.Dial(ctx, o.NATS); err != nil {
			return nil, err
		}
	}
	if o.Look != nil {
		b.Bus = inventory.FollowPorts(o.Look)
	} else {
		b.Bus = o.Tree.Follow()
	}
	return b, nil
}

// Close ends it. Boards that are taken must be closed before.
func (b *Bench) Close() {
	b.Bus.Close()
	if b.Desk.Remote != nil {
		b.Desk.Remote.Close()
	}
}

// Locate returns what is seen of a board, and a channel that is closed when that
// may have changed.
func (b *Bench) Locate(e inventory.Entry) (inventory.Sighting, <-chan struct{}, error) {
	return b.located(e, b.Bus.Found)
}

func (b *Bench) located(e inventory.Entry, look func() (inventory.Boards, <-chan struct{}, error)) (inventory.Sighting, <-chan struct{}, error) {
	found, changed, err := look()
	if err != nil {
		return inventory.Sighting{Entry: e, State: inventory.Absent}, changed, fmt.Errorf("listing USB: %w", err)
	}
	return b.File.Locate(e, found), changed, nil
}

// Request returns the wish for a board.
func (b *Bench) Request(e inventory.Entry, reason string) (lease.Request, error) {
	s, _, err := b.Locate(e)
	if err != nil {
		return lease.Request{}, err
	}
	if s.State == inventory.Ambiguous {
		return lease.Request{}, errors.New(s.Reason())
	}
	return lease.Request{Key: s.Key(), Board: e.Name, Reason: reason}, nil
}

// A Wish is which boards a run wants.
type Wish struct {
	// Which is a board's name, or pool=NAME.
	Which string
	// Count of boards of the pool; 0: one.
	Count  int
	Reason string
	Wait   time.Duration // for boards that others have
	// Sick takes boards in quarantine too, to look after them.
	Sick bool
	// ShowSecrets leaves secrets in consoles and logs.
	ShowSecrets bool
	// OnLine and OnState hear the consoles, if not nil; Note hears what is done to
	// boards. Board is its name.
	OnLine  func(board string, l serial.Line)
	OnState func(board string, s serial.State)
	Note    func(board, text string)
}

// Entry returns the board that a person means: by its name in the file, else by
// serial number or USB path, whether the file has it or not.
func (b *Bench) Entry(which string) (inventory.Entry, error) {
	e, unknown := b.File.Entry(which)
	if unknown == nil {
		return e, nil
	}
	found, _, err := b.Bus.Now()
	if err != nil {
		return e, fmt.Errorf("listing USB: %w", err)
	}
	for _, e := range b.File.Boards {
		s := b.File.Locate(e, found)
		if which != "" && (strings.EqualFold(e.Serial, which) && s.State != inventory.Ambiguous || s.Board != nil && s.Board.Path == which) {
			return e, nil
		}
	}
	var hits []inventory.Board
	for _, p := range found.Boards {
		if which != "" && (strings.EqualFold(p.Serial, which) || p.Path == which) {
			hits = append(hits, p)
		}
	}
	switch len(hits) {
	case 1:
		return inventory.Entry{Name: which, Serial: hits[0].Serial, USB: hits[0].Path, Platform: hits[0].Platform}, nil
	case 0:
		if isDeviceID.MatchString(which) || isPath.MatchString(which) {
			return e, fmt.Errorf("no board %s is plugged in, and %s: \"muster rig scan\" lists what is", which, unknown.Error())
		}
		return e, fmt.Errorf("%w, and no board with that serial number or USB path is plugged in: \"muster rig scan\" lists what is", unknown)
	}
	return e, fmt.Errorf("%d boards have the serial number %s: name one by USB path, as %s", len(hits), which, hits[0].Path)
}

// What could be a board that is away: a device id, a USB path.
var (
	isDeviceID = regexp.MustCompile(`^[0-9A-Fa-f]{24}$`)
	isPath     = regexp.MustCompile(`^[0-9]+-[0-9.]+$`)
)

// candidates returns the boards that a wish may mean, without the sick ones.
func (b *Bench) candidates(w Wish) ([]inventory.Entry, error) {
	pool, isPool := strings.CutPrefix(w.Which, "pool=")
	if !isPool {
		e, err := b.Entry(w.Which)
		if err == nil && !w.Sick {
			err = b.Clinic.Check(e.Name)
		}
		return []inventory.Entry{e}, err
	}
	all, err := b.File.Pool(pool)
	if err != nil {
		return nil, err
	}
	var well []inventory.Entry
	var why []error
	for _, e := range all {
		s, _, err := b.Locate(e)
		if err == nil && !w.Sick {
			err = b.Clinic.Check(e.Name)
		}
		if err == nil && (s.State == inventory.Absent || s.State == inventory.Ambiguous) {
			err = errors.New(s.Reason())
		}
		if err != nil {
			why = append(why, err)
			continue
		}
		well = append(well, e)
	}
	if len(well) < max(w.Count, 1) {
		can := fmt.Sprintf("%d boards that can", len(well))
		if len(well) == 1 {
			can = "1 board that can"
		}
		err := fmt.Errorf("pool %s has %s be used, and %d are wanted", pool, can, max(w.Count, 1))
		if len(why) > 0 {
			err = fmt.Errorf("%w: %w", err, errors.Join(why...))
		}
		return nil, err
	}
	return well, nil
}

// Requests returns what to ask the Desk for: any Count of them grants the wish.
func (b *Bench) Requests(w Wish) ([]lease.Request, error) {
	list, err := b.candidates(w)
	if err != nil {
		return nil, err
	}
	return b.requests(list, w)
}

func (b *Bench) requests(list []inventory.Entry, w Wish) ([]lease.Request, error) {
	var requests []lease.Request
	for _, e := range list {
		r, err := b.Request(e, w.Reason)
		if err != nil {
			return nil, err
		}
		requests = append(requests, r)
	}
	return requests, nil
}

// Means returns how a board can be restarted, without taking it: to be shown,
// not used.
func (b *Bench) Means(e inventory.Entry) []power.Means {
	return (&Board{Entry: e, bench: b, path: e.USB}).Ladder().Means
}

// Take leases boards and opens their consoles. A board that is not there is
// taken all the same: it may come.
func (b *Bench) Take(ctx context.Context, w Wish) ([]*Board, error) {
	list, err := b.candidates(w)
	if err != nil {
		return nil, err
	}
	requests, err := b.requests(list, w)
	if err != nil {
		return nil, err
	}
	leases, err := b.Desk.AcquireAny(ctx, max(w.Count, 1), w.Wait, requests)
	if err != nil {
		return nil, err
	}
	var boards []*Board
	for _, l := range leases {
		at := slices.IndexFunc(list, func(e inventory.Entry) bool { return e.Name == l.Board() })
		board, err := b.open(list[at], l, w)
		if err != nil {
			return nil, errors.Join(err, CloseAll(boards), lease.ReleaseAll(leases))
		}
		boards = append(boards, board)
	}
	return boards, nil
}

// CloseAll gives boards back.
func CloseAll(boards []*Board) error {
	var errs []error
	for _, b := range boards {
		errs = append(errs, b.Close())
	}
	return errors.Join(errs...)
}
