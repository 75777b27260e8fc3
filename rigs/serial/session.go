package serial

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// retry is how long a Session waits before it tries again to open a port that is
// there and does not open: its permissions come a little later than itself.
const retry = 10 * time.Millisecond

// reluctance is how long a port may refuse to open before that is told.
const reluctance = 3 * time.Second

// A StateKind says what happened to the console of a board.
type StateKind uint8

// The kinds. That a board is gone is no error.
const (
	Opened  StateKind = iota // the console is open
	Gone                     // the board left the bus, or was never there
	Refused                  // the port is there and does not open; it is tried again
	LogBad                   // the log cannot be written
	LogGood                  // it can again
)

// A State is something that happened to a console.
type State struct {
	Time time.Time
	Kind StateKind
	Port string        // of Opened and Refused
	Away time.Duration // of Opened: since it was gone; 0 at the first time
	Err  error         // of Refused and LogBad
	Text string        // a sentence
}

// SessionOptions say whose console to follow.
type SessionOptions struct {
	Options
	// Name of the board, in what is told.
	Name string
	// Find returns the board's port, empty while it has none, as it is now and not
	// a moment ago; and a channel that is closed when that may have changed.
	// Required.
	Find func() (port string, changed <-chan struct{})
	// Why, if not nil, says why there is no port now; empty if that is not known.
	Why func() string
	// Log is written a line at a time, if not nil.
	Log *Log
	// OnLine and OnState hear what comes and what happens, one call at a time, if
	// not nil.
	OnLine  func(Line)
	OnState func(State)
}

// A Session follows the console of a board over restarts: it opens the port as
// soon as it is there, reads all that comes, and waits for it when it is gone.
type Session struct {
	o    SessionOptions
	stop context.CancelFunc
	over <-chan struct{} // closed by Close
	done sync.WaitGroup

	mu      sync.Mutex
	port    *Port // nil while there is none
	changed chan struct{}
	ears    map[*Ear]struct{}
	touched bool
}

// Follow begins a Session.
func Follow(o SessionOptions) *Session {
	ctx, stop := context.WithCancel(context.Background())
	s := &Session{o: o, stop: stop, over: ctx.Done(), changed: make(chan struct{}), ears: make(map[*Ear]struct{})}
	s.done.Go(func() { s.run(ctx) })
	return s
}

// Close ends it and closes the port. The log is the caller's.
func (s *Session) Close() error {
	s.stop()
	s.mu.Lock()
	p := s.port
	s.mu.Unlock()
	var err error
	if p != nil {
		err = p.Close()
	}
	s.done.Wait()
	return err
}

func (s *Session) run(ctx context.Context) {
	var away time.Time
	first := true
	for ctx.Err() == nil {
		p := s.open(ctx, first)
		if p == nil {
			return
		}
		s.set(p)
		if ctx.Err() != nil { // Close has looked before
			_ = p.Close()
			return
		}
		now := s.o.Now()
		state := State{Time: now, Kind: Opened, Port: p.Name(), Text: "console open at " + p.Name()}
		if !away.IsZero() {
			state.Away = now.Sub(away)
			state.Text = fmt.Sprintf("console open again at %s, %s after it was gone", p.Name(), state.Away.Round(time.Millisecond))
		}
		s.tell(state)
		s.read(p)
		s.set(nil)
		_ = p.Close() // it is gone, or the session ends
		away, first = s.o.Now(), false
		if ctx.Err() == nil {
			s.tell(State{Time: away, Kind: Gone, Text: "the port is gone: the board was unplugged, restarted, sleeps, or lost power"})
		}
	}
}

// open waits until the port opens. It returns nil when the session ends.
func (s *Session) open(ctx context.Context, tell bool) *Port {
	var since time.Time
	for ctx.Err() == nil {
		name, changed := s.o.Find()
		var again <-chan time.Time
		if name != "" {
			tell = true
			p, err := OpenPort(name, s.o.Speed)
			if err == nil {
				// Names are given anew when boards restart: this may be another's by now.
				if now, _ := s.o.Find(); now == name {
					return p
				}
				_ = p.Close() // nothing was read from it
				continue
			}
			switch now := s.o.Now(); {
			case since.IsZero():
				since = now
			case now.Sub(since) > reluctance:
				s.tell(State{Time: now, Kind: Refused, Port: name, Err: err, Text: err.Error()})
				since = now.Add(10 * reluctance) // once is enough for a while
			}
			again = time.After(retry)
		} else if tell {
			tell = false
			if since.IsZero() && s.firstTime() {
				why := ""
				if s.o.Why != nil {
					why = s.o.Why()
				}
				if why == "" {
					why = "the board is not there yet"
				}
				s.tell(State{Time: s.o.Now(), Kind: Gone, Text: why + ": waiting for its console"})
			}
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-again:
		}
	}
	return nil
}

func (s *Session) firstTime() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.touched
	s.touched = true
	return !was
}

// read reads until the port is gone.
func (s *Session) read(p *Port) {
	c := newConsole(p.Name(), tee{p, s}, s.o.Options)
	for {
		line, err := c.Next()
		if err != nil {
			return
		}
		s.log(line)
		if s.o.OnLine != nil {
			s.o.OnLine(line)
		}
	}
}

// log writes a line to the log.
func (s *Session) log(l Line) {
	if s.o.Log == nil {
		return
	}
	wasBad := s.o.Log.Err() != nil
	err := s.o.Log.Line(l)
	switch {
	case err != nil && !wasBad:
		s.hear(State{Time: l.Time, Kind: LogBad, Err: err, Text: err.Error()})
	case err == nil && wasBad:
		s.hear(State{Time: l.Time, Kind: LogGood, Text: "the log can be written again; lines are missing from it"})
	}
}

// tell notes a state in the log and tells it.
func (s *Session) tell(st State) {
	if s.o.Log != nil {
		_ = s.o.Log.Note(st.Time, st.Text) // a line will find out too
	}
	s.hear(st)
}

func (s *Session) hear(st State) {
	if s.o.OnState != nil {
		s.o.OnState(st)
	}
}

func (s *Session) set(p *Port) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.port = p
	close(s.changed)
	s.changed = make(chan struct{})
	if p == nil {
		for e := range s.ears {
			e.end(ErrGone)
		}
	}
}

// Open waits until the console is open.
func (s *Session) Open(ctx context.Context) error {
	for {
		s.mu.Lock()
		p, changed := s.port, s.changed
		s.mu.Unlock()
		if p != nil {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("board %s: its console does not open: %w", s.o.Name, context.Cause(ctx))
		}
	}
}

// current returns the open port.
func (s *Session) current() (*Port, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.port == nil {
		return nil, fmt.Errorf("board %s has no console now: %w", s.o.Name, ErrGone)
	}
	return s.port, nil
}

// Write sends b to the board.
func (s *Session) Write(ctx context.Context, b []byte) error {
	p, err := s.current()
	if err != nil {
		return err
	}
	return s.why(p.Write(ctx, b))
}

// why says of a port that was closed under somebody's hands that the board has gone,
// unless Close has closed it.
func (s *Session) why(err error) error {
	if !errors.Is(err, ErrClosed) {
		return err
	}
	select {
	case <-s.over:
		return err
	default:
		return fmt.Errorf("board %s: %w", s.o.Name, ErrGone)
	}
}

// Touch sets a speed that the board takes as a command. Another speed first
// makes sure that it is a change, or drivers would tell the board nothing. The
// board may be gone before that returns, which is no error.
func (s *Session) Touch(speed int) error {
	p, err := s.current()
	if err != nil {
		return err
	}
	other := DefaultSpeed
	if s.o.Speed != 0 && s.o.Speed != speed {
		other = s.o.Speed
	}
	if err := p.SetSpeed(other); err != nil {
		return s.why(err)
	}
	if err := p.SetSpeed(speed); err != nil {
		return s.why(err)
	}
	return nil
}

// Calm sets the usual speed again, if the board is still there.
func (s *Session) Calm() {
	if p, err := s.current(); err == nil {
		speed := s.o.Speed
		if speed == 0 {
			speed = DefaultSpeed
		}
		_ = p.SetSpeed(speed) // it may be gone by now
	}
}

// A tee gives what is read to the ears of a session too.
type tee struct {
	*Port
	s *Session
}

func (t tee) Read(b []byte) (int, error) {
	n, err := t.Port.Read(b)
	if n > 0 {
		t.s.mu.Lock()
		for e := range t.s.ears {
			e.add(b[:n])
		}
		t.s.mu.Unlock()
	}
	return n, err
}

// ErrQuiet says that nothing came in time.
var ErrQuiet = errors.New("the board says nothing")
