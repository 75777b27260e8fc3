package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// A storeTest tells a story about a store. Every story is told twice: in memory
// and in a data directory.
type storeTest struct {
	*testing.T
	*Store
	ctx    context.Context
	reopen func() // nil in memory
}

func eachStore(t *testing.T, story func(*storeTest)) {
	t.Run("memory", func(t *testing.T) {
		s := NewMemory()
		defer s.Close()
		story(&storeTest{T: t, Store: s, ctx: t.Context()})
	})
	t.Run("directory", func(t *testing.T) { story(openTest(t, Config{Dir: t.TempDir()})) })
}

// openTest opens a store that the test closes.
func openTest(t *testing.T, c Config) *storeTest {
	t.Helper()
	x := &storeTest{T: t, ctx: t.Context()}
	x.Store = mustOpen(t, c)
	x.reopen = func() {
		t.Helper()
		x.want(nil, x.Close())
		x.Store = mustOpen(t, c)
	}
	t.Cleanup(func() { x.Close() })
	return x
}

func mustOpen(t testing.TB, c Config) *Store {
	t.Helper()
	s, err := Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// want checks an error with errors.Is.
func (x *storeTest) want(want, got error) {
	x.Helper()
	if !errors.Is(got, want) {
		x.Fatalf("got error %v, want %v", got, want)
	}
}

// restart reopens the store, where it has a disk.
func (x *storeTest) restart() {
	x.Helper()
	if x.reopen != nil {
		x.reopen()
	}
}

func deviceID(n int) (id DeviceID) {
	binary.BigEndian.PutUint32(id[8:], uint32(n))
	return id
}

func spki(n int) []byte { return fmt.Appendf(nil, "public key %d", n) }

func cidOf(n int) (c CID) {
	sum := sha256.Sum256(fmt.Append(nil, n))
	return CID(sum[:8])
}

var alice, bob = AccountID{0: 0xa1}, AccountID{0: 0xb0}

// device returns a device number n with a P-256 key of its own.
func device(n int) *Device {
	return &Device{
		ID: deviceID(n), Name: fmt.Sprint("device-", n), P256: spki(n), Platform: 12,
		Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

func session(n int) *Session {
	return &Session{
		Device: deviceID(n), CID: cidOf(n), Key: FingerprintOf(spki(n)), Reserved: 64,
		Record: fmt.Appendf(nil, "master secret of session %d", n),
	}
}

func (x *storeTest) sessions() map[DeviceID]*Session {
	x.Helper()
	all := map[DeviceID]*Session{}
	for s, err := range x.Sessions(x.ctx) {
		x.want(nil, err)
		if all[s.Device] != nil {
			x.Fatalf("session of %s came twice", s.Device)
		}
		all[s.Device] = s
	}
	return all
}

func TestDevice(t *testing.T) {
	eachStore(t, func(x *storeTest) {
		d := device(1)
		d.Owner, d.Flags, d.RSA = alice, Development, spki(1001)
		x.want(nil, x.Do(x.ctx, PutDevice(d)))
		x.restart()

		for _, key := range [][]byte{d.P256, d.RSA} {
			got, ok := x.Identify(FingerprintOf(key))
			if want := (Identity{Device: d.ID, Owner: alice, Flags: Development}); !ok || got != want {
				x.Errorf("got identity %v, %v, want %v", got, ok, want)
			}
		}
		if _, ok := x.Identify(FingerprintOf(spki(2))); ok {
			x.Error("an unknown key has a device")
		}
		if _, ok := x.Identify(Fingerprint{}); ok {
			x.Error("the fingerprint of no key has a device")
		}
		got, err := x.Device(x.ctx, d.ID)
		x.want(nil, err)
		if got.Name != d.Name || got.Platform != 12 || !bytes.Equal(got.RSA, d.RSA) || !got.Created.Equal(d.Created) {
			x.Errorf("got %+v, want %+v", got, d)
		}
		if ids := x.DevicesOf(alice); len(ids) != 1 || ids[0] != d.ID {
			x.Errorf("got %v, want only %v", ids, d.ID)
		}
		if n := len(x.DevicesOf(bob)); n != 0 {
			x.Errorf("bob owns %d devices, want none", n)
		}
		_, err = x.Device(x.ctx, deviceID(2))
		x.want(ErrNotFound, err)
		count := 0
		for d, err := range x.Devices(x.ctx) {
			x.want(nil, err)
			if d.ID != deviceID(1) {
				x.Errorf("got device %v", d.ID)
			}
			count++
		}
		if count != 1 {
			x.Errorf("got %d devices, want 1", count)
		}
	})
}

func TestOneKeyNeverHasTwoDevices(t *testing.T) {
	eachStore(t, func(x *storeTest) {
		x.want(nil, x.Do(x.ctx, PutDevice(device(1))))
		thief := device(2)
		thief.P256 = spki(1)
		err := x.Do(x.ctx, PutDevice(thief))
		var taken *KeyError
		if !errors.As(err, &taken) || taken.Owner != deviceID(1) {
			x.Fatalf("got %v, want a KeyError about device 1", err)
		}
		thief.P256, thief.RSA = nil, spki(1) // nor as a key of the other kind
		if err := x.Do(x.ctx, PutDevice(thief)); !errors.As(err, &taken) {
			x.Fatalf("got %v, want a KeyError", err)
		}

		// Two at once: the second is refused while the first is under way.
		a, b := device(3), device(4)
		b.P256 = a.P256
		err = x.Do(x.ctx, PutDevice(a), PutDevice(b))
		var op *OpError
		if !errors.As(err, &op) || op.Index != 1 {
			x.Fatalf("got %v, want op 1 to fail", err)
		}

		// A key that was given up is free.
		first := device(1)
		first.P256 = spki(11)
		x.want(nil, x.Do(x.ctx, PutDevice(first)))
		thief.RSA = nil
		thief.P256 = spki(1)
		x.want(nil, x.Do(x.ctx, PutDevice(thief)))
		if got, _ := x.Identify(FingerprintOf(spki(1))); got.Device != deviceID(2) {
			x.Errorf("the key belongs to %v, want device 2", got.Device)
		}
		if x.Report().SharedKeys != 0 {
			x.Errorf("report: %+v", x.Report())
		}
	})
}

func TestCompareAndSwap(t *testing.T) {
	eachStore(t, func(x *storeTest) {
		ops := []Op{PutDevice(device(1)).If(0)}
		x.want(nil, x.doAll(ops))
		first := ops[0].Revision
		if first == 0 {
			x.Fatal("no revision")
		}
		x.want(ErrConflict, x.Do(x.ctx, PutDevice(device(1)).If(0)))
		x.want(nil, x.Do(x.ctx, PutDevice(device(1)).If(first)))
		x.want(ErrConflict, x.Do(x.ctx, PutDevice(device(1)).If(first)))

		// What was deleted does not exist, and can be made again.
		x.want(nil, x.Do(x.ctx, PutApp(deviceID(1), 7, []byte("a"))))
		x.want(nil, x.Do(x.ctx, DropApp(deviceID(1), 7)))
		x.want(nil, x.Do(x.ctx, PutApp(deviceID(1), 7, []byte("b")).If(0)))
		x.want(ErrConflict, x.Do(x.ctx, PutApp(deviceID(1), 7, []byte("c")).If(0)))
	})
}

func (x *storeTest) doAll(ops []Op) error {
	done := make(chan error, 1)
	x.Write(ops, func(err error) { done <- err })
	return <-done
}

func TestAppState(t *testing.T) {
	eachStore(t, func(x *storeTest) {
		x.want(ErrUnknownDevice, x.Do(x.ctx, PutApp(deviceID(1), 0, nil)))
		x.want(nil, x.Do(x.ctx, PutDevice(device(1)), PutDevice(device(2))))
		describe := []byte(strings.Repeat(`{"f":["x"]}`, 4000))
		buffer := []byte("first")
		ops := []Op{
			PutApp(deviceID(1), 0, buffer), PutApp(deviceID(1), 12, describe),
			PutApp(deviceID(2), 0, []byte("other")),
		}
		done := make(chan error, 1)
		x.Write(ops, func(err error) { done <- err })
		copy(buffer, "XXXXX") // ours again
		x.want(nil, <-done)
		x.want(ErrTooLarge, x.Do(x.ctx, PutApp(deviceID(1), 1, make([]byte, MaxAppState+1))))
		x.restart()

		got, err := x.App(x.ctx, deviceID(1), 0)
		x.want(nil, err)
		if string(got.Value) != "first" {
			x.Errorf("got %q", got.Value)
		}
		parts, err := x.AppParts(x.ctx, deviceID(1))
		x.want(nil, err)
		if len(parts) != 2 || parts[1].Part != 12 || !bytes.Equal(parts[1].Value, describe) {
			x.Errorf("got %d parts", len(parts))
		}
		var seen []string
		for state, err := range x.Apps(x.ctx, 0) {
			x.want(nil, err)
			seen = append(seen, string(state.Value))
		}
		if fmt.Sprint(seen) != "[first other]" {
			x.Errorf("got %v", seen)
		}
		read := make(chan AppState, 1)
		x.ReadApp(deviceID(2), 0, func(a AppState, err error) { x.want(nil, err); read <- a })
		if a := <-read; string(a.Value) != "other" {
			x.Errorf("got %q", a.Value)
		}
		x.want(nil, x.Do(x.ctx, DropApp(deviceID(1), 0)))
		_, err = x.App(x.ctx, deviceID(1), 0)
		x.want(ErrNotFound, err)
	})
}

func TestImages(t *testing.T) {
	eachStore(t, func(x *storeTest) {
		list, err := x.Images(x.ctx)
		x.want(nil, err)
		if len(list) != 0 {
			x.Errorf("got %v, want none", list)
		}
		data := bytes.Repeat([]byte("firmware"), 50_000)
		id, err := x.PutImage(x.ctx, data)
		x.want(nil, err)
		if id != sha256.Sum256(data) {
			x.Errorf("got id %v", id)
		}
		_, err = x.PutImage(x.ctx, data)
		x.want(nil, err)
		empty, err := x.PutImage(x.ctx, nil)
		x.want(nil, err)
		x.restart()

		got, err := x.Image(x.ctx, id)
		x.want(nil, err)
		if !bytes.Equal(got, data) {
			x.Error("the image came back different")
		}
		got, err = x.Image(x.ctx, empty)
		x.want(nil, err)
		if len(got) != 0 {
			x.Errorf("got %d bytes, want none", len(got))
		}
		list, err = x.Images(x.ctx)
		x.want(nil, err)
		if len(list) != 2 {
			x.Errorf("got %v, want 2 images", list)
		}
		x.want(nil, x.RemoveImage(x.ctx, id))
		x.want(ErrNotFound, x.RemoveImage(x.ctx, ImageID{1}))
		_, err = x.Image(x.ctx, id)
		x.want(ErrNotFound, err)
	})
}

func TestEvents(t *testing.T) {
	eachStore(t, func(x *storeTest) {
		at := time.Date(2026, 5, 6, 7, 8, 9, 123_000_000, time.UTC)
		for i := range 3 {
			x.want(nil, x.Do(x.ctx, Append(Event{Account: alice, Device: deviceID(i), At: at, Body: fmt.Append(nil, i)})))
		}
		x.want(nil, x.Do(x.ctx, Append(Event{Account: bob, At: at, Body: []byte("b")})))
		x.restart()

		follow := func(sel Selection) (chan Event, func()) {
			got := make(chan Event, 16)
			stop, err := x.Follow(sel, func(e Event) { got <- e })
			x.want(nil, err)
			return got, stop
		}
		wantEvent := func(got chan Event, sequence uint64, body string) {
			x.Helper()
			e := <-got
			if e.Sequence != sequence || string(e.Body) != body || !e.At.Equal(at) {
				x.Errorf("got event %d %q at %v, want %d %q at %v", e.Sequence, e.Body, e.At, sequence, body, at)
			}
		}
		all, stopAll := follow(Selection{From: 2})
		wantEvent(all, 2, "1")
		wantEvent(all, 3, "2")
		wantEvent(all, 4, "b")
		mine, stopMine := follow(Selection{Account: &alice})
		one := deviceID(7)
		its, stopIts := follow(Selection{Device: &one})

		ops := []Op{
			Append(Event{Account: bob, Device: deviceID(7), At: at, Body: []byte("c")}),
			Append(Event{Account: alice, At: at, Body: []byte("d")}),
		}
		x.want(nil, x.doAll(ops))
		if ops[1].Revision != 6 {
			x.Errorf("got sequence number %d, want 6", ops[1].Revision)
		}
		wantEvent(all, 5, "c")
		wantEvent(all, 6, "d")
		wantEvent(mine, 6, "d")
		wantEvent(its, 5, "c")
		stopAll()
		stopMine()
		stopIts()
		x.want(ErrTooLarge, x.Do(x.ctx, Append(Event{Body: make([]byte, MaxEventBody+1)})))
	})
}

func TestClosed(t *testing.T) {
	eachStore(t, func(x *storeTest) {
		x.want(nil, x.Do(x.ctx, PutDevice(device(1))))
		x.want(nil, x.Close())
		x.want(ErrClosed, x.Do(x.ctx, PutDevice(device(2))))
		x.want(nil, x.Close())
	})
}
