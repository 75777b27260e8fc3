package cloudref

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
)

// A Refusal is what was refused to one device, or one address, for one reason.
type Refusal struct {
	Device    store.DeviceID `json:"-"`
	Peer      string         `json:"peer,omitempty"` // the last address and port
	Transport string         `json:"transport,omitempty"`
	Reason    string         `json:"reason"`
	Detail    string         `json:"detail"` // of the last time
	Count     int            `json:"count"`
	First     time.Time      `json:"first"`
	Last      time.Time      `json:"last"`
}

// refusals are the refusals of late: what is asked for when a board does not
// connect. Their number is bounded; the oldest gives way.
type refusals struct {
	mu   sync.Mutex
	list map[refusalKey]*Refusal
	// lines bounds how many lines of the log they take: whoever can make the cloud
	// refuse can make it write.
	lines     *rate.Limiter
	unwritten int
}

type refusalKey struct {
	device store.DeviceID
	host   string
	reason endpoint.Reason
}

const (
	refusalsMax = 1000
	// refusalLines a second are written to the log, refusalBurst at once.
	refusalLines, refusalBurst = 20, 200
)

func (x *refusals) init() {
	x.list = make(map[refusalKey]*Refusal)
	x.lines = rate.NewLimiter(refusalLines, refusalBurst)
}

// note remembers a refusal. It reports whether the log takes it, and how many it
// did not take since the last one.
func (x *refusals) note(o endpoint.Observation, at time.Time) (write bool, unwritten int) {
	key := refusalKey{device: o.Device, host: hostOf(o.Session.Peer), reason: o.Why}
	x.mu.Lock()
	defer x.mu.Unlock()
	r := x.list[key]
	if r == nil {
		if len(x.list) >= refusalsMax {
			x.forgetOldest()
		}
		r = &Refusal{Device: o.Device, Reason: o.Why.String(), First: at}
		x.list[key] = r
	}
	r.Peer, r.Transport, r.Detail, r.Last = o.Session.Peer, o.Session.Transport, o.Detail, at
	r.Count++
	if !x.lines.AllowN(at, 1) {
		x.unwritten++
		return false, 0
	}
	unwritten, x.unwritten = x.unwritten, 0
	return true, unwritten
}

func (x *refusals) forgetOldest() {
	var oldest refusalKey
	var at time.Time
	for key, r := range x.list {
		if at.IsZero() || r.Last.Before(at) {
			oldest, at = key, r.Last
		}
	}
	delete(x.list, oldest)
}

// recent returns the refusals, the newest first.
func (x *refusals) recent() []Refusal {
	x.mu.Lock()
	defer x.mu.Unlock()
	list := make([]Refusal, 0, len(x.list))
	for _, r := range x.list {
		list = append(list, *r)
	}
	slices.SortFunc(list, func(a, b Refusal) int { return b.Last.Compare(a.Last) })
	return list
}

// hostOf returns the address without the port.
func hostOf(peer string) string {
	a, err := netip.ParseAddrPort(peer)
	if err != nil {
		return peer
	}
	return a.Addr().String()
}
