package inventory

import (
	"reflect"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// poll is how often a Bus looks when nothing tells it to.
const poll = 250 * time.Millisecond

// settling is when a Bus looks again after it was told: what belongs to one
// board does not come at one instant, and its permissions come last.
var settling = []time.Duration{0, time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond, 80 * time.Millisecond}

// A Bus follows what is plugged in. One serves all boards of a bench. Its
// methods are safe for concurrent use.
type Bus struct {
	look    func() ([]Port, error)
	watcher *fsnotify.Watcher // nil where nothing tells
	stop    chan struct{}
	done    sync.WaitGroup

	mu      sync.Mutex
	found   Boards
	err     error
	changed chan struct{}
	looked  time.Time
}

// Follow begins to follow a tree.
func (t Tree) Follow() *Bus { return follow(t.Ports, t.Dev) }

// FollowPorts begins to follow what look finds on this machine.
func FollowPorts(look func() ([]Port, error)) *Bus { return follow(look, System.Dev) }

func follow(look func() ([]Port, error), dev string) *Bus {
	b := &Bus{look: look}
	if w, err := fsnotify.NewWatcher(); err == nil {
		if w.Add(dev) == nil {
			b.watcher = w
		} else {
			_ = w.Close() // polling goes on
		}
	}
	return b.start()
}

func (b *Bus) start() *Bus {
	b.stop, b.changed = make(chan struct{}), make(chan struct{})
	b.scan()
	b.done.Go(b.run)
	return b
}

// Close ends it.
func (b *Bus) Close() {
	close(b.stop)
	b.done.Wait()
	if b.watcher != nil {
		_ = b.watcher.Close() // nothing is lost
	}
}

// Now is Found as of this instant: for those who open a port by its name.
func (b *Bus) Now() (Boards, <-chan struct{}, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lookAgain()
	return b.found, b.changed, b.err
}

// fresh is how old what is returned may be. When something happens, all who
// wait ask at once.
const fresh = 5 * time.Millisecond

// Found returns what was plugged in some milliseconds ago at most, and a channel
// that is closed when that changes.
func (b *Bus) Found() (Boards, <-chan struct{}, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Since(b.looked) > fresh {
		b.lookAgain()
	}
	return b.found, b.changed, b.err
}

func (b *Bus) run() {
	var told <-chan fsnotify.Event
	var failed <-chan error
	if b.watcher != nil {
		told, failed = b.watcher.Events, b.watcher.Errors
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		select {
		case <-b.stop:
			return
		case <-tick.C:
			b.scan()
		case <-failed: // events were lost: look
			b.scan()
		case <-told:
			b.settle(told)
		}
	}
}

// settle looks several times in short order.
func (b *Bus) settle(told <-chan fsnotify.Event) {
	for _, d := range settling {
		select {
		case <-b.stop:
			return
		case <-time.After(d):
			b.scan()
		}
	}
	for {
		select {
		case <-told:
		default:
			return
		}
	}
}

func (b *Bus) scan() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lookAgain()
}

// lookAgain is called with b.mu held.
func (b *Bus) lookAgain() {
	defer func() { b.looked = time.Now() }()
	ports, err := b.look()
	found := Find(ports)
	if err != nil {
		found = b.found // what was seen last
	}
	if reflect.DeepEqual(found, b.found) && (err == nil) == (b.err == nil) {
		return
	}
	b.found, b.err = found, err
	close(b.changed)
	b.changed = make(chan struct{})
}
