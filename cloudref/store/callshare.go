package store

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The queue of webhook calls has room for so many bytes, and it is all accounts'. One
// account may have as much in it as a quarter of what nobody uses: alone it fills a fifth
// of the queue. However many fill their share, something is left for the next.
const (
	callBytesMax = 1 << 30
	callShare    = 4 // one in so many of the free bytes

	// callOverhead is what the queue needs for a call besides its body, at most.
	callOverhead = 256
	// callUnit is the smallest size that is told apart. Sizes are rounded up to a power
	// of two, so that the queue counts them by few subjects.
	callUnit = 1 << 10

	// callRecount is how often what waits is counted anew: other nodes take calls too.
	callRecount = 5 * time.Second
)

// ErrShareFull means that the calls of an account's webhooks that wait fill the
// account's share of the queue.
var ErrShareFull = errors.New("store: the webhook calls of this account that wait fill its share of the queue")

// callClass returns the class of the size of a call: its place in the queue is
// callUnit << class bytes.
func callClass(body int) int {
	units := (body + callOverhead + callUnit - 1) / callUnit
	return bits.Len(uint(units - 1))
}

// callKey names the part of the queue for calls of a hook in a class of sizes.
func callKey(hook DeviceID, class int) string { return hook.String() + "-" + strconv.Itoa(class) }

// parseCallKey reads what callKey made. Before there were classes, keys had none.
func parseCallKey(key string) (hook DeviceID, class int, err error) {
	name, size, has := strings.Cut(key, "-")
	if has {
		class, err = strconv.Atoi(size)
		if err != nil || class < 0 || class > callClass(MaxEventBody) {
			return hook, 0, fmt.Errorf("store: a call of size %q", size)
		}
	}
	hook, err = ParseDeviceID(name)
	return hook, class, err
}

// A callCount is what waits of one hook.
type callCount struct {
	calls   int
	bytes   int64
	account AccountID // whose share it is in, while any waits
}

// callShares knows how much of the queue each account uses: from time to time as the
// queue has it, in between by what this process put in and took out.
type callShares struct {
	account func(hook DeviceID) AccountID
	room    int64 // of the queue, in bytes

	mu       sync.Mutex
	hooks    map[DeviceID]callCount
	accounts map[AccountID]int64
	total    int64
	// since is what this process changed since the count that is under way began.
	since   map[DeviceID]callCount
	dropped [2]uint64 // by the bound of a hook, by the share of an account
}

func (x *callShares) init(account func(DeviceID) AccountID) {
	x.account, x.room = account, callBytesMax
	x.hooks, x.accounts = map[DeviceID]callCount{}, map[AccountID]int64{}
}

// enter makes room for a call, or says why there is none.
func (x *callShares) enter(hook DeviceID, class int) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	size := int64(callUnit) << class
	switch free := x.room - x.total; {
	case x.hooks[hook].calls >= CallsMax:
		x.dropped[0]++
		return ErrQueueFull
	case x.accounts[x.account(hook)]+size > free/callShare:
		x.dropped[1]++
		return ErrShareFull
	}
	x.change(hook, 1, size)
	return nil
}

// leave notes that a call is in the queue no longer, or never came to be there.
func (x *callShares) leave(hook DeviceID, class int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.change(hook, -1, -int64(callUnit)<<class)
}

func (x *callShares) change(hook DeviceID, calls int, bytes int64) {
	if x.since != nil {
		n := x.since[hook]
		n.calls, n.bytes = n.calls+calls, n.bytes+bytes
		x.since[hook] = n
	}
	x.add(hook, calls, bytes)
}

// add changes the counts; none goes below nothing, whatever was counted twice.
func (x *callShares) add(hook DeviceID, calls int, bytes int64) {
	n, known := x.hooks[hook]
	if !known {
		n.account = x.account(hook)
	}
	before := n.bytes
	if n.calls, n.bytes = n.calls+calls, max(n.bytes+bytes, 0); n.calls <= 0 {
		n.bytes = 0
		delete(x.hooks, hook)
	} else {
		x.hooks[hook] = n
	}
	x.total += n.bytes - before
	if x.accounts[n.account] += n.bytes - before; x.accounts[n.account] <= 0 {
		delete(x.accounts, n.account)
	}
}

// recount takes over what the queue has.
func (x *callShares) recount(ctx context.Context, waiting func(context.Context) (map[string]uint64, error)) error {
	x.mu.Lock()
	x.since = map[DeviceID]callCount{}
	x.mu.Unlock()
	counts, err := waiting(ctx)
	x.mu.Lock()
	defer x.mu.Unlock()
	since := x.since
	x.since = nil
	if err != nil {
		return err
	}
	clear(x.hooks)
	clear(x.accounts)
	x.total = 0
	for key, n := range counts {
		if hook, class, err := parseCallKey(key); err == nil {
			x.add(hook, int(n), int64(n)*callUnit<<class)
		}
	}
	// What was taken out while it was being counted may count until the next time.
	for hook, n := range since {
		if n.calls > 0 {
			x.add(hook, n.calls, n.bytes)
		}
	}
	return nil
}

// idle reports whether nothing waits as far as is known.
func (x *callShares) idle() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.total == 0
}

// CallsWaiting says how much of the queue of webhook calls is used.
type CallsWaiting struct {
	Calls int
	Bytes int64 // as sizes are rounded; at most 1 GiB
	// DroppedHook and DroppedShare are the calls that this process dropped because as
	// many of one hook waited as may, and because an account's share was full.
	DroppedHook, DroppedShare uint64
}

// CallsWaiting returns how much of the queue of webhook calls is used, as known here:
// calls of other nodes count a few seconds late.
func (s *Store) CallsWaiting() CallsWaiting {
	x := &s.shares
	x.mu.Lock()
	defer x.mu.Unlock()
	w := CallsWaiting{Bytes: x.total, DroppedHook: x.dropped[0], DroppedShare: x.dropped[1]}
	for _, n := range x.hooks {
		w.Calls += n.calls
	}
	return w
}

// accountOfHook is whose share the calls of a hook are in: of who made it.
func (s *Store) accountOfHook(id DeviceID) AccountID {
	if h, err := s.hooks.get(id); err == nil {
		return h.Account
	}
	return AccountID{}
}

// followCalls counts what waits, now and from time to time, where the backend can.
func (s *Store) followCalls(ctx context.Context) error {
	j, is := s.backend.(*jet)
	if !is {
		return nil
	}
	if err := s.shares.recount(ctx, j.callsWaiting); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var done sync.WaitGroup
	done.Go(func() {
		for {
			pause(ctx, callRecount)
			if ctx.Err() != nil {
				return
			}
			// In this process's own queue nothing changes that is not noted.
			if j.embedded != nil && s.shares.idle() {
				continue
			}
			// A count that fails is made again the next time.
			_ = s.shares.recount(ctx, j.callsWaiting)
		}
	})
	s.stops = append(s.stops, func() {
		cancel()
		done.Wait()
	})
	return nil
}
