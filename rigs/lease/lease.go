// Package lease sees to it that one party at a time has a board: two processes,
// two people, two hosts.
//
//	Desk    hands out leases: by a lock file on this host, and by a key-value
//	        bucket of NATS among hosts, if it has one
//	Lease   one board, held
//	Holder  who, why, since when and until when
//
// A lease of a process ends with the process, however that ends: the system
// lets go of the lock, and other hosts see the heartbeat stop. A kept lease
// outlives the command that took it, until its time is over, it is released, or
// the process that it is bound to has ended.
//
// What this package is not: an inventory. It knows boards by a key only.
package lease

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"sync"
	"time"
)

// Times of leases.
const (
	// DefaultTTL is how long a lease holds without a sign of life.
	DefaultTTL = time.Minute
	// MaxTTL is the longest that a lease may be kept.
	MaxTTL = 7 * 24 * time.Hour
	// again is how long one who waits for a board waits before asking again.
	again = 500 * time.Millisecond
	// leftTime is how long to wait for a program that a killed process left: as long
	// as the slowest writes to a board take.
	leftTime = 2 * time.Minute
)

// A Holder is who has a board.
type Holder struct {
	Owner  string    `json:"owner"` // user@host
	Reason string    `json:"reason,omitempty"`
	Job    string    `json:"job,omitempty"` // of a build server
	Host   string    `json:"host"`
	PID    int       `json:"pid"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"` // without another sign of life

	// Kept says that it outlives its process.
	Kept bool `json:"kept,omitempty"`
	// Bound is the process with which a kept lease ends, 0 for none, and BoundSince
	// tells it from a later one with its number.
	Bound      int    `json:"bound,omitempty"`
	BoundSince string `json:"bound_since,omitempty"`
	// Desk names the folder of lock files where it was taken, see [Desk.id].
	Desk string `json:"desk,omitempty"`
	// Left are the programs that a killed process has left at work on the board, as
	// "dfu-util (process 12)". It is found out, and never stored.
	Left string `json:"left,omitempty"`

	TTL   time.Duration `json:"ttl_ns"`
	Token string        `json:"token"` // tells leases of one owner apart
}

// String says who it is, in words.
func (h Holder) String() string {
	s := h.Owner
	if h.Reason != "" {
		s += fmt.Sprintf(" (%s)", h.Reason)
	}
	if h.Job != "" {
		s += ", job " + h.Job
	}
	switch {
	case h.Left != "":
		return s + ", which was killed and left " + h.Left + " at work"
	case h.Kept && h.Bound == h.PID:
		return s + fmt.Sprintf(", while process %d on %s runs, since %s", h.PID, h.Host, h.Since.Local().Format("2006-01-02 15:04"))
	case h.Kept:
		return s + ", kept until " + h.Until.Local().Format("2006-01-02 15:04")
	}
	return fmt.Sprintf("%s, process %d on %s, since %s", s, h.PID, h.Host, h.Since.Local().Format("2006-01-02 15:04"))
}

// A HeldError says that somebody else has the board.
type HeldError struct {
	Board  string
	Holder Holder
}

// Error says who has it and what to do.
func (e *HeldError) Error() string {
	wait := fmt.Sprintf("wait for it (\"muster rig lease %s --wait 1h -- COMMAND\")", e.Board)
	what := wait + ", or take another of its pool"
	switch {
	case e.Holder.Left != "":
		what = "it is not done yet; if it never is, unplug the board, or end that process"
	case e.Holder.Kept:
		what = fmt.Sprintf("%s, ask %s, or end it with \"muster rig release %s --force\"", wait, e.Holder.Owner, e.Board)
	}
	return fmt.Sprintf("board %s is taken by %s: %s", e.Board, e.Holder, what)
}

// ErrLost is why a Lease ends before it was released.
var ErrLost = errors.New("the lease is lost")

// A Desk hands out leases. Its fields must not change while it is used.
type Desk struct {
	// Dir holds the lock files. All processes of a host must agree on it.
	Dir string
	// Remote, if not nil, is where hosts agree.
	Remote *Remote
	// Now is the time; nil: the system's.
	Now func() time.Time
	// Tell hears what is waited for, if not nil.
	Tell func(text string)
}

// A Request is a wish for a lease.
type Request struct {
	Key    string // of the board, the same everywhere
	Board  string // its name, for errors
	Owner  string // "": Me()
	Reason string
	TTL    time.Duration // 0: DefaultTTL

	// Keep makes the lease outlive this process for the TTL; Bound is the process
	// with which it ends, 0 for none.
	Keep  bool
	Bound int
	// Beat, for a kept lease that this process outlives: among hosts it holds for
	// that long without a sign of life, which this process gives until Release. 0:
	// none, it holds for the TTL.
	Beat time.Duration
}

// Me is the user and the host of this process.
func Me() string {
	if owner := os.Getenv("MUSTER_OWNER"); owner != "" {
		return owner
	}
	name := "somebody"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return name + "@" + host()
}

func host() string {
	h, err := os.Hostname()
	if err != nil || h == "" {
		return "this-host"
	}
	return h
}

// job names the job of a build server that this process is part of.
func job() string {
	for _, name := range []string{"GITHUB_RUN_ID", "CI_JOB_ID", "BUILD_TAG", "BUILDKITE_JOB_ID", "CIRCLE_BUILD_NUM", "TF_BUILD"} {
		if v := os.Getenv(name); v != "" {
			return v
		}
	}
	return ""
}

func (d *Desk) now() time.Time {
	if d.Now != nil {
		return d.Now()
	}
	return time.Now()
}

// Acquire takes a board or says at once why not, in a [*HeldError]. A lease that
// the same owner keeps is used, and stays kept behind the end of this one.
//
// A board whose run was killed is held for as long as a program that inherited
// the lock ([Lease.File]) is at work on it.
func (d *Desk) Acquire(ctx context.Context, r Request) (*Lease, error) {
	if r.TTL == 0 {
		r.TTL = DefaultTTL
	}
	if r.TTL < time.Second || r.TTL > MaxTTL {
		return nil, fmt.Errorf("a lease lasts from one second to seven days, not %s", r.TTL)
	}
	if r.Owner == "" {
		r.Owner = Me()
	}
	now := d.now().UTC()
	h := Holder{
		Owner: r.Owner, Reason: r.Reason, Job: job(), Host: host(), PID: os.Getpid(), Since: now, Until: now.Add(r.TTL),
		Kept: r.Keep, TTL: r.TTL, Token: token(), Desk: d.id(),
	}
	if r.Keep && r.Bound != 0 {
		h.Bound, h.BoundSince = r.Bound, startOf(r.Bound)
		if h.BoundSince == "" {
			return nil, fmt.Errorf("a lease cannot be bound to process %d: there is none", r.Bound)
		}
	}
	local, under, err := d.lock(r, h)
	if err != nil {
		return nil, err
	}
	if r.Beat > 0 {
		h.TTL = r.Beat // what the other hosts see
	}
	if under != nil && !r.Keep {
		h = *under
	}
	l := &Lease{desk: d, request: r, holder: h, local: local, under: under != nil && !r.Keep, done: make(chan struct{}), stop: make(chan struct{})}
	if d.Remote != nil {
		if err := d.Remote.acquire(ctx, l); err != nil {
			return nil, errors.Join(err, local.abandon(under))
		}
	}
	if r.Keep {
		if d.Remote != nil && r.Beat > 0 {
			l.beat.Go(l.remoteHeartbeat)
		}
		return l, local.leave()
	}
	l.beat.Go(l.heartbeat)
	return l, nil
}

// AcquireAny takes n of the boards, waiting for them at most so long. It takes
// none if it does not get all. For programs that killed runs have left at work it
// waits in any case.
func (d *Desk) AcquireAny(ctx context.Context, n int, wait time.Duration, from []Request) ([]*Lease, error) {
	if n > len(from) {
		return nil, fmt.Errorf("%d boards are wanted, and there are %d", n, len(from))
	}
	began := d.now()
	told := false
	for turn := randomStart(); ; turn++ {
		leases, held, err := d.tryAny(ctx, n, rotate(from, turn))
		if err == nil || len(held) == 0 {
			return leases, err
		}
		patience := wait
		if left := slices.IndexFunc(held, func(e *HeldError) bool { return e.Holder.Left != "" }); left >= 0 {
			patience = max(wait, leftTime)
			if !told && d.Tell != nil {
				d.Tell(fmt.Sprintf("%s: a run that was killed has left %s at work: waiting until it is done", held[left].Board, held[left].Holder.Left))
			}
			told = true
		}
		if patience <= 0 || d.now().Sub(began) > patience {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), err)
		case <-time.After(again):
		}
	}
}

// rotate lets runs begin at different boards of a pool.
func rotate(from []Request, n int) []Request {
	n %= len(from)
	return slices.Concat(from[n:], from[:n])
}

// tryAny does not wait; held are those that others have.
func (d *Desk) tryAny(ctx context.Context, n int, from []Request) (got []*Lease, held []*HeldError, err error) {
	var refused []error
	for _, r := range from {
		if len(got) == n {
			break
		}
		l, err := d.Acquire(ctx, r)
		var other *HeldError
		switch {
		case err == nil:
			got = append(got, l)
		case errors.As(err, &other):
			held = append(held, other)
			refused = append(refused, err)
		default:
			return nil, nil, errors.Join(err, ReleaseAll(got))
		}
	}
	if len(got) == n {
		return got, nil, nil
	}
	return nil, held, errors.Join(errors.Join(refused...), ReleaseAll(got))
}

// ReleaseAll gives boards back.
func ReleaseAll(leases []*Lease) error {
	var errs []error
	for _, l := range leases {
		errs = append(errs, l.Release())
	}
	return errors.Join(errs...)
}

// A Lease is a board that is held.
type Lease struct {
	desk    *Desk
	request Request
	holder  Holder
	local   *lockFile
	under   bool   // a kept lease of the same owner
	remote  uint64 // revision of the entry, 0: none

	beat sync.WaitGroup
	stop chan struct{}
	once sync.Once
	end  sync.Once
	done chan struct{}
	err  error
}

// Board returns the name of the board.
func (l *Lease) Board() string { return l.request.Board }

// Holder returns who holds it.
func (l *Lease) Holder() Holder { return l.holder }

// File is for programs that this process starts to inherit. When this process is
// killed such a program holds the board until it has ended, so that what is half
// written to a board is finished before somebody else has it. nil where files are
// not locked that way, and for a lease that is kept.
func (l *Lease) File() *os.File { return l.local.work }

// Done is closed when the lease is lost. Err then says why.
func (l *Lease) Done() <-chan struct{} { return l.done }

// Err returns why the lease is lost, nil while it is not.
func (l *Lease) Err() error {
	select {
	case <-l.done:
		return l.err
	default:
		return nil
	}
}

// Context returns a context that ends when the lease is lost, with the cause.
func (l *Lease) Context(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	go func() {
		select {
		case <-l.done:
			cancel(l.err)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}

func (l *Lease) lose(why error) {
	l.end.Do(func() {
		l.err = fmt.Errorf("board %s: %w: %w", l.request.Board, ErrLost, why)
		close(l.done)
	})
}

// heartbeat gives signs of life until the lease ends.
func (l *Lease) heartbeat() {
	if l.under {
		return // what is kept needs none
	}
	tick := time.NewTicker(l.request.TTL / 3)
	defer tick.Stop()
	good := time.Now() // monotonic: the last sign that was taken
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		h := l.holder
		h.Until = l.desk.now().UTC().Add(l.request.TTL)
		if err := l.local.write(h); err != nil {
			l.lose(err)
			return
		}
		if l.desk.Remote == nil {
			continue
		}
		sent := time.Now()
		taken, err := l.desk.Remote.renew(l, h)
		switch {
		case err == nil:
			good = sent
		case taken:
			l.lose(err)
			return
		case time.Since(good) > l.request.TTL-l.request.TTL/6:
			l.lose(fmt.Errorf("no sign of life reached the other hosts for %s: %w", l.request.TTL, err))
			return
		}
	}
}

// remoteHeartbeat gives signs of life to the other hosts only: on this one it is
// known whether the process lives to which the lease is bound.
func (l *Lease) remoteHeartbeat() {
	tick := time.NewTicker(l.request.Beat / 3)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		if taken, err := l.desk.Remote.renew(l, l.holder); taken {
			l.lose(err)
			return
		}
	}
}

// Release gives the board back. What is kept stays kept: see [Desk.Release].
func (l *Lease) Release() error {
	var err error
	l.once.Do(func() {
		close(l.stop)
		l.beat.Wait()
		if l.request.Keep {
			return
		}
		if l.desk.Remote != nil && !l.under {
			err = l.desk.Remote.release(l)
		}
		err = errors.Join(err, l.local.release(l.under))
	})
	return err
}

// Release ends a kept lease. Only its owner may, and others with force.
func (d *Desk) Release(ctx context.Context, r Request, force bool) error {
	if r.Owner == "" {
		r.Owner = Me()
	}
	h, held, err := d.Holder(ctx, r.Key)
	switch {
	case err != nil:
		return err
	case !held:
		return fmt.Errorf("board %s is free", r.Board)
	case !h.Kept:
		return fmt.Errorf("board %s is in use by %s: it is free when that process ends", r.Board, h)
	case h.Owner != r.Owner && !force:
		return fmt.Errorf("board %s is kept by %s: only they release it, or anybody with --force", r.Board, h)
	}
	if err := d.unkeep(r); err != nil {
		return err
	}
	if d.Remote != nil {
		return d.Remote.unkeep(ctx, r.Key, h)
	}
	return nil
}

// Holder returns who has the board of a key, on this host or another.
func (d *Desk) Holder(ctx context.Context, key string) (Holder, bool, error) {
	h, held, err := d.localHolder(key)
	if err != nil || held || d.Remote == nil {
		return h, held, err
	}
	return d.Remote.holder(ctx, key, d.id())
}

// name makes a key fit for a file name and for a bucket.
func name(key string) string {
	var s strings.Builder
	for _, b := range []byte(key) {
		switch {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', b == '-':
			s.WriteByte(b)
		default:
			fmt.Fprintf(&s, "_%02x", b)
		}
	}
	return s.String()
}
