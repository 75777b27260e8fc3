package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/muster/muster/rigs/control"
	"github.com/muster/muster/rigs/inventory"
	"github.com/muster/muster/rigs/lease"
	"github.com/muster/muster/rigs/power"
	"github.com/muster/muster/rigs/serial"
)

// A Board is one board that is taken. Its methods are safe for concurrent use,
// but one goroutine at a time should restart it.
type Board struct {
	Entry   inventory.Entry
	Lease   *lease.Lease
	Console *serial.Session
	Log     *serial.Log
	bench   *Bench
	wish    Wish

	mu    sync.Mutex
	clock time.Duration // the board's own, of its last line that told it
	at    time.Time     // host's time of that line; zero: none
	lines chan struct{} // closed at the next such line or opening

	opened time.Time     // the console, last
	told   bool          // a time, since then
	stuck  error         // why the console does not open, nil if it does
	path   string        // USB path where it was seen last
	heed   time.Duration // how long it may take to say who it is

	once   sync.Once
	closed chan struct{}
	watch  sync.WaitGroup
}

// LogPath is where the console of a board is logged.
func (b *Bench) LogPath(board string) string {
	return filepath.Join(b.o.Dir, "console", board+".log")
}

func (b *Bench) open(e inventory.Entry, l *lease.Lease, w Wish) (*Board, error) {
	log, err := serial.OpenLog(b.LogPath(e.Name))
	if err != nil {
		return nil, err
	}
	board := &Board{Entry: e, Lease: l, Log: log, bench: b, wish: w, lines: make(chan struct{}), path: e.USB, heed: askTime, closed: make(chan struct{})}
	_ = log.Note(time.Now(), fmt.Sprintf("taken by %s", l.Holder())) // the first line tells if it cannot be written
	board.Console = serial.Follow(serial.SessionOptions{
		Name: e.Name, Log: log, Options: serial.Options{Now: time.Now, Speed: e.Console.Speed, ShowSecrets: w.ShowSecrets},
		Find: func() (string, <-chan struct{}) {
			s, changed, err := b.located(e, b.Bus.Now)
			if err != nil || l.Err() != nil {
				return "", changed
			}
			return s.Port, changed
		},
		Why: func() string {
			s, _, err := b.Locate(e)
			if err != nil || s.State == inventory.Absent {
				return ""
			}
			return s.Reason()
		},
		OnLine: board.heard, OnState: board.state,
	})
	board.watch.Go(board.yield)
	return board, nil
}

// yield lets go of the console when the lease is lost: another has the board.
func (b *Board) yield() {
	select {
	case <-b.closed:
	case <-b.Lease.Done():
		b.Note(b.Lease.Err().Error())
		_ = b.Console.Close() // Close closes it too
	}
}

// Name returns the board's name.
func (b *Board) Name() string { return b.Entry.Name }

// Close gives the board back. It may be called more than once.
func (b *Board) Close() (err error) {
	b.once.Do(func() {
		close(b.closed)
		b.watch.Wait()
		err = b.Console.Close()
		_ = b.Log.Note(time.Now(), "given back") // Log.Err has told already
		err = errors.Join(err, b.Log.Close(), b.Lease.Release())
	})
	return err
}

func (b *Board) heard(l serial.Line) {
	if l.Device >= 0 {
		b.mu.Lock()
		b.clock, b.at, b.told = l.Device, l.Time, true
		close(b.lines)
		b.lines = make(chan struct{})
		b.mu.Unlock()
	}
	if b.wish.OnLine != nil {
		b.wish.OnLine(b.Entry.Name, l)
	}
}

func (b *Board) state(s serial.State) {
	b.mu.Lock()
	switch s.Kind {
	case serial.Refused:
		b.stuck = s.Err
	case serial.Opened:
		b.stuck, b.opened, b.told = nil, s.Time, false
		close(b.lines)
		b.lines = make(chan struct{})
	case serial.Gone, serial.LogBad, serial.LogGood:
	}
	b.mu.Unlock()
	if b.wish.OnState != nil {
		b.wish.OnState(b.Entry.Name, s)
	}
}

// Note logs what is done to the board, in its console's log and to who took it.
func (b *Board) Note(text string) {
	_ = b.Log.Note(time.Now(), text) // Log.Err has told already
	if b.wish.Note != nil {
		b.wish.Note(b.Entry.Name, text)
	}
}

// Sighting returns what is seen of the board.
func (b *Board) Sighting() (inventory.Sighting, <-chan struct{}, error) {
	s, changed, err := b.bench.Locate(b.Entry)
	if s.Board != nil && s.Board.Path != "" {
		b.mu.Lock()
		b.path = s.Board.Path
		b.mu.Unlock()
	}
	return s, changed, err
}

// Ready waits until the board runs and its console is open, or says what it is
// instead.
func (b *Board) Ready(ctx context.Context) error {
	err := b.Console.Open(ctx)
	if err == nil {
		return nil
	}
	b.mu.Lock()
	stuck := b.stuck
	b.mu.Unlock()
	if stuck != nil {
		return stuck
	}
	if s, _, look := b.Sighting(); look != nil || s.Reason() != "" {
		return errors.Join(look, errors.New(s.Reason()))
	}
	return err
}

// Path returns the USB path where the board was seen last.
func (b *Board) Path() string {
	_, _, _ = b.Sighting()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.path
}

// Control opens the control endpoint of the board.
func (b *Board) Control() (control.Transport, error) {
	s, _, err := b.Sighting()
	if err != nil {
		return nil, err
	}
	if s.Board == nil {
		return nil, absentError(s.Reason())
	}
	if b.bench.o.Control != nil {
		return b.bench.o.Control(*s.Board)
	}
	return control.OpenUSB(s.Board.Path)
}

// An absentError says why a board is not where it could be asked. To callers it is
// gone, as if it had left in the middle of a request.
type absentError string

func (e absentError) Error() string { return string(e) }

func (absentError) Is(target error) bool { return target == control.ErrGone }

// Look implements power.Witness.
func (b *Board) Look() (power.Presence, <-chan struct{}) {
	s, changed, err := b.Sighting()
	if err != nil || s.Board == nil {
		return power.Presence{}, changed
	}
	return power.Presence{Present: true, Number: s.Board.Number}, changed
}

// Clock implements power.Witness.
func (b *Board) Clock() (since time.Duration, at time.Time, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.clock, b.at, !b.at.IsZero()
}

// Answers implements power.Witness: the console was opened anew, and where the
// board told its time before, it tells it again. A board that prints nothing is
// taken at that.
func (b *Board) Answers(ctx context.Context, since time.Time) error {
	for {
		if err := b.Ready(ctx); err != nil {
			return err
		}
		b.mu.Lock()
		anew, prints, told, lines := b.opened.After(since), !b.at.IsZero(), b.told, b.lines
		b.mu.Unlock()
		if anew && (told || !prints) {
			return b.ask(ctx, told)
		}
		select {
		case <-lines:
		case <-ctx.Done():
			if anew {
				return errors.New("it printed lines before, and prints none now")
			}
			return errors.New("its console is not open again")
		}
	}
}

// ask asks the board who it is, where it may be asked by control request: one
// that hangs is on the bus and says nothing. A board without such requests, or
// whose endpoint may not be opened, is taken at what it has shown; so is one that
// prints, and whose system does not come to the request.
//
// Device OS: without a system thread a blocking application, or a modem that looks for
// a network, keeps requests waiting, for minutes on Electrons.
func (b *Board) ask(ctx context.Context, prints bool) error {
	if c := b.Entry.Power.Control; c != nil && !*c {
		return nil
	}
	pending := 0
	for {
		t, err := b.Control()
		if err == nil {
			d := control.New(t, b.heed)
			_, err = d.DeviceID(ctx)
			err = errors.Join(err, d.Close())
		}
		// Device OS: a board is on the bus a second before it takes requests. One
		// whose time is over in the middle of a request has not answered it.
		unheard := errors.Is(err, control.ErrSilent) || errors.Is(err, control.ErrGone) || err != nil && ctx.Err() != nil
		if !unheard {
			return nil
		}
		if errors.Is(err, control.ErrPending) {
			if pending++; pending == 1 {
				b.Note("it takes control requests and does none yet: its application or its modem keeps its system busy; waiting")
			}
		}
		if prints && pending >= enough {
			b.Note("it runs and prints: taken as well, though it does no control request yet")
			return nil
		}
		select {
		case <-time.After(askPause):
		case <-ctx.Done():
			return fmt.Errorf("it answers no control request: %w", err)
		}
	}
}

// Release returns the Device OS that the board says by control request that it runs,
// as "6.2.0"; empty if it cannot be asked.
func (b *Board) Release(ctx context.Context) (version string) {
	b.consult(func(d *control.Device) (err error) {
		version, err = d.Version(ctx)
		return err
	})
	return version
}

// RunsApplication reports whether the board says, by control request, that it is not
// in listening mode. One that cannot be asked has not said so.
func (b *Board) RunsApplication(ctx context.Context) bool {
	mode := control.Listening
	said := b.consult(func(d *control.Device) (err error) {
		mode, err = d.Mode(ctx)
		return err
	})
	return said && mode == control.Normal
}

// consult asks the board something that it need not answer, and reports whether it
// did.
func (b *Board) consult(ask func(*control.Device) error) bool {
	if c := b.Entry.Power.Control; c != nil && !*c {
		return false
	}
	t, err := b.Control()
	if err != nil {
		return false
	}
	d := control.New(t, b.heed)
	return errors.Join(ask(d), d.Close()) == nil
}

// How long a board may take to say who it is, and when to ask again.
const (
	askTime  = 3 * time.Second
	askPause = 100 * time.Millisecond
	enough   = 3 // requests in vain of a board that prints
)

// Ladder returns the means to restart the board.
func (b *Board) Ladder() *power.Ladder {
	e, p := b.Entry, b.Entry.Power
	times := b.bench.o.Times
	if p.Off != 0 {
		times.Off = time.Duration(p.Off)
	}
	l := &power.Ladder{Board: e.Name, Witness: b, Times: times, Note: b.Note}
	add := func(m power.Means) { l.Means = append(l.Means, m) }
	yes := func(setting *bool) bool { return setting == nil || *setting }
	if e.Console.Reset != "" {
		add(power.Means{Rung: power.Soft, Text: "text on the console", Restart: func(ctx context.Context) error {
			return b.Console.Write(ctx, []byte(e.Console.Reset))
		}})
	}
	if yes(p.Control) {
		add(power.Means{Rung: power.Control, Text: "USB control request", Restart: b.requestReset})
	}
	if p.Lines != nil {
		text := fmt.Sprintf("%s of %s", strings.ToUpper(p.Lines.Line), p.Lines.Adapter)
		add(power.ResetPin(text, func() (power.Pin, error) { return b.bench.pin(e) }, time.Duration(p.Lines.Hold)))
	}
	if p.Relay != nil {
		add(power.Commands(power.Relay, e, *p.Relay))
	}
	if yes(p.Hub) && !p.Battery && b.Path() != "" {
		add(power.SwitchHub(b.bench.o.Tree, b.Path))
	}
	if p.PDU != nil {
		add(power.Commands(power.PDU, e, *p.PDU))
	}
	if yes(p.Person) {
		add(power.AskPerson(e.Name, b.bench.o.Person, b.bench.o.Confirm))
	}
	return l
}

// requestReset asks for a restart in an orderly way, and if the board's threads
// hang, without a reply.
func (b *Board) requestReset(ctx context.Context) error {
	t, err := b.Control()
	if err != nil {
		return err
	}
	const patience = 5 * time.Second
	d := control.New(t, patience)
	err = d.Simple(ctx, control.Reset)
	if err != nil && ctx.Err() == nil {
		if forced := d.ForceReset(); forced == nil {
			err = nil
		}
	}
	return errors.Join(err, d.Close())
}

// Recover brings the board back to where it answers, by the gentlest means from
// a rung on, and remembers what it took.
func (b *Board) Recover(ctx context.Context, from power.Rung) error {
	tried, err := b.Ladder().Climb(ctx, from)
	if ctx.Err() != nil {
		return err // stopped, which says nothing about the board
	}
	h, remember := b.bench.Clinic.Record(b.Entry.Name, tried)
	if h.Quarantine != nil {
		b.Note("quarantine: " + h.Quarantine.Reason)
		err = errors.Join(err, &power.QuarantineError{Board: b.Entry.Name, Quarantine: *h.Quarantine})
	}
	if remember != nil && err == nil {
		remember = fmt.Errorf("board %s was restarted and is well, but that cannot be remembered: %w", b.Entry.Name, remember)
	}
	return errors.Join(err, remember)
}
