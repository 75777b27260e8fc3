package store

import (
	"context"
	"errors"
	"sync"
	"testing"
)

func TestCallClasses(t *testing.T) {
	for _, c := range []struct{ body, class int }{
		{0, 0}, {callUnit - callOverhead, 0}, {callUnit - callOverhead + 1, 1}, {2*callUnit - callOverhead, 1}, {MaxEventBody, 9},
	} {
		if got := callClass(c.body); got != c.class {
			t.Errorf("%d bytes are of class %d, want %d", c.body, got, c.class)
		}
		if size := callUnit << c.class; size < c.body+callOverhead {
			t.Errorf("%d bytes do not fit into %d", c.body, size)
		}
	}
	for _, key := range []string{"", "-", deviceID(1).String() + "-", deviceID(1).String() + "--1", deviceID(1).String() + "-10", "x-1"} {
		if _, _, err := parseCallKey(key); err == nil {
			t.Errorf("%q is a key", key)
		}
	}
	for _, key := range []string{deviceID(1).String(), callKey(deviceID(1), 0)} { // before there were classes, and now
		if hook, class, err := parseCallKey(key); err != nil || hook != deviceID(1) || class != 0 {
			t.Errorf("%q: got %v, %d, %v", key, hook, class, err)
		}
	}
}

// An account whose webhooks nobody answers leaves room to the others, and has room
// again when its calls are made. A restart does not forget what waits.
func TestTheShareOfAnAccountInTheQueue(t *testing.T) {
	const room = 1 << 20
	eachStore(t, func(x *storeTest) {
		fill := func(a AccountID, n int) (stored int) {
			hook := &Hook{ID: deviceID(n), Account: a, Event: "e"}
			if _, err := x.Hook(hook.ID); errors.Is(err, ErrNotFound) {
				x.want(nil, x.CreateHook(x.ctx, hook))
			}
			full := false
			x.OnCallDropped(func(id DeviceID, why error) { full = id == hook.ID && errors.Is(why, ErrShareFull) })
			for ; !full; stored++ {
				x.want(nil, x.Do(x.ctx, PutCall(Call{Hook: hook.ID, Body: make([]byte, 3000)}))) // 4 KiB
			}
			return stored - 1
		}
		x.shares.room = room
		if n := fill(alice, 1); n < 50 || n > 52 {
			t.Errorf("alone alice stored %d calls, want a fifth of the queue: 51", n)
		}
		// Another webhook does not help.
		if n := fill(alice, 2); n != 0 {
			t.Errorf("%d calls of another webhook were stored", n)
		}
		if n := fill(bob, 3); n < 39 || n > 42 {
			t.Errorf("bob stored %d calls, want a fifth of the rest: 41", n)
		}
		before := x.CallsWaiting()
		x.restart()
		x.shares.room = room
		if x.reopen != nil {
			before.DroppedShare = 0 // is counted by each process
		}
		if after := x.CallsWaiting(); after != before {
			t.Errorf("%+v wait after a restart, want %+v", after, before)
		}
		if n := fill(alice, 1); n != 0 {
			t.Errorf("%d calls were stored after a restart", n)
		}
		var done sync.WaitGroup
		done.Add(before.Calls)
		stop, err := x.ServeCalls(4, func(d Delivery) {
			d.Done()
			done.Done()
		})
		x.want(nil, err)
		done.Wait()
		stop()
		if after := x.CallsWaiting(); after.Calls != 0 || after.Bytes != 0 {
			t.Errorf("%+v wait when all are made", after)
		}
		if n := fill(alice, 1); n < 50 {
			t.Errorf("alice stored %d calls, want 51", n)
		}
	})
}

// What changes while the queue is being counted is not forgotten, and what cannot be
// counted changes nothing.
func TestRecountingCalls(t *testing.T) {
	var x callShares
	x.init(func(DeviceID) AccountID { return alice })
	enter := func(class int) {
		t.Helper()
		if err := x.enter(deviceID(1), class); err != nil {
			t.Fatal(err)
		}
	}
	enter(0)
	enter(2)
	if err := x.recount(t.Context(), func(context.Context) (map[string]uint64, error) { return nil, ErrUnavailable }); !errors.Is(err, ErrUnavailable) || x.total != 5*callUnit {
		t.Errorf("%v, %d bytes", err, x.total)
	}
	// Another node made the second call and stored two.
	err := x.recount(t.Context(), func(context.Context) (map[string]uint64, error) {
		enter(1)
		return map[string]uint64{callKey(deviceID(1), 0): 1, callKey(deviceID(2), 3): 2, "of a newer version": 1}, nil
	})
	if want := int64(1+2+2*8) * callUnit; err != nil || x.total != want || x.accounts[alice] != want {
		t.Errorf("%v, %d bytes, want %d", err, x.total, want)
	}
	// More is taken out than is known of.
	for range 3 {
		x.leave(deviceID(1), 4)
		x.leave(deviceID(2), 4)
	}
	if x.total != 0 || len(x.hooks) != 0 || len(x.accounts) != 0 {
		t.Errorf("%d bytes of %d webhooks and %d accounts", x.total, len(x.hooks), len(x.accounts))
	}
}
