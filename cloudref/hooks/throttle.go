package hooks

import (
	"sync"
	"time"

	"github.com/muster/muster/cloudref/store"
)

// errSleeping is what the service says of a host that fails all the time.
const errSleeping = "Sleeping, too many errors, please wait and try again"

// hostsMax bounds the hosts that are remembered; with more, they begin anew.
const hostsMax = 10_000

// A throttle spares hosts that fail: after so many failures in a row it lets one
// call a minute through, until one succeeds. It keeps a slow host, and an account with
// many of them, from taking all places, too.
type throttle struct {
	after   int           // failures
	pause   time.Duration // between calls then
	perHost int           // calls under way
	atOnce  int           // calls under way to all hosts

	mu    sync.Mutex
	hosts map[string]*host
	// accounts has how many calls of each are under way, total of all.
	accounts map[store.AccountID]int
	total    int
}

type host struct {
	failures int // in a row
	next     time.Time
	underWay int
}

// A verdict says whether a call may be made.
type verdict uint8

const (
	admitted verdict = iota
	crowded          // as many as may are under way
	sleeping         // it failed too often
)

// enter asks for a call of an account to a host. If it is admitted, leave must follow.
// An account gets as many places as it leaves free: alone half of them, and of two a
// third each.
func (t *throttle) enter(account store.AccountID, name string, now time.Time) verdict {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.hosts[name]
	if h == nil {
		if len(t.hosts) >= hostsMax || t.hosts == nil {
			t.hosts = make(map[string]*host)
		}
		h = new(host)
		t.hosts[name] = h
	}
	switch {
	case h.failures >= t.after && now.Before(h.next):
		return sleeping
	case h.underWay >= t.perHost:
		return crowded
	case t.accounts[account] > 0 && t.accounts[account] >= t.atOnce-t.total:
		return crowded
	}
	if h.failures >= t.after {
		h.next = now.Add(t.pause)
	}
	h.underWay++
	if t.accounts == nil {
		t.accounts = make(map[store.AccountID]int)
	}
	t.accounts[account]++
	t.total++
	return admitted
}

// leave says what became of a call.
func (t *throttle) leave(account store.AccountID, name string, failed bool, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total--
	if t.accounts[account]--; t.accounts[account] == 0 {
		delete(t.accounts, account)
	}
	h := t.hosts[name]
	if h == nil {
		return // forgotten meanwhile
	}
	h.underWay = max(0, h.underWay-1)
	if !failed {
		h.failures = 0
		return
	}
	if h.failures++; h.failures == t.after {
		h.next = now.Add(t.pause)
	}
}
