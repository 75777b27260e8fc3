package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// raw writes past all checks, to leave what a crash leaves.
func (x *storeTest) raw(b bucket, key string, value []byte) {
	x.Helper()
	_, err := x.put(x.ctx, write{bucket: b, key: key, value: value})
	x.want(nil, err)
}

func TestLoadChecksTheRecords(t *testing.T) {
	x := openTest(t, Config{Dir: t.TempDir()})
	seal := x.sealer
	for i := range 4 {
		x.want(nil, x.Do(x.ctx, PutDevice(device(i))))
		x.want(nil, x.Do(x.ctx, PutSession(session(i)), PutApp(deviceID(i), 1, []byte("state"))))
	}
	// Device 0 was removed and device 1 got another key, and then it ended.
	_, err := x.put(x.ctx, write{bucket: bucketDevices, key: deviceID(0).String(), delete: true})
	x.want(nil, err)
	changed := device(1)
	changed.P256 = spki(101)
	x.raw(bucketDevices, deviceID(1).String(), changed.append(nil, changed.head()))
	// Device 8 has the key of device 2: two nodes of a cluster were asked at once.
	thief := device(8)
	thief.P256 = spki(2)
	x.raw(bucketDevices, deviceID(8).String(), thief.append(nil, thief.head()))
	// Records that nobody can read.
	x.raw(bucketDevices, "not-a-device", []byte("?"))
	x.raw(bucketDevices, deviceID(9).String(), []byte("?"))
	x.raw(bucketSessions, deviceID(3).String(), session(3).seal(newSealer(testKey)))
	x.raw(bucketSessions, deviceID(2).String(), session(2).seal(seal))
	x.raw(bucketProgress, deviceID(2).String(), []byte("?"))
	x.want(nil, x.Do(x.ctx, Reserve(Progress{Device: deviceID(0), CID: cidOf(0), Reserved: 1})))
	x.raw(bucketAccounts, "?", []byte("?"))
	x.want(nil, x.PutClaimCode(x.ctx, strings.Repeat("c", 63), alice, time.Now().Add(-time.Hour)))
	// An upload that ended before its description.
	_, err = x.PutImage(x.ctx, []byte("whole"))
	x.want(nil, err)
	_, err = x.backend.(*jet).js.Publish(x.ctx, imageChunks+"half", make([]byte, 1000))
	x.want(nil, err)

	x.reopen()
	all := x.sessions()
	if len(all) != 1 || all[deviceID(2)] == nil {
		t.Errorf("got sessions %v, want that of device 2", all)
	}
	for range x.Apps(x.ctx, 1) {
	}
	want := Report{Devices: 4, Unreadable: 5, SharedKeys: 1, Homeless: 3, StaleKeys: 1, Unfinished: 1, ExpiredCode: 1}
	if got := x.Report(); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got, _ := x.Identify(FingerprintOf(spki(2))); got.Device != deviceID(2) {
		t.Errorf("the shared key belongs to %v, want the earlier device", got.Device)
	}

	// The next load finds only what it leaves in place.
	x.reopen()
	x.sessions()
	for range x.Apps(x.ctx, 1) {
	}
	if got, want := x.Report(), (Report{Devices: 4, Unreadable: 5, SharedKeys: 1}); got != want {
		t.Errorf("the second time: got  %+v\nwant %+v", got, want)
	}
	list, err := x.Images(x.ctx)
	x.want(nil, err)
	if len(list) != 1 {
		t.Errorf("got %v, want the whole image", list)
	}
}

func TestWritesOfOneRecordKeepTheirOrder(t *testing.T) {
	x := openTest(t, Config{Dir: t.TempDir()})
	x.want(nil, x.Do(x.ctx, PutDevice(device(1)), PutDevice(device(2))))
	var all sync.WaitGroup
	const n = 3 * requestWindow // more than fit into the window
	var last Revision
	for i := range n {
		all.Add(1)
		ops := []Op{PutApp(deviceID(1), 0, fmt.Append(nil, i)), PutApp(deviceID(2), 0, fmt.Append(nil, i))}
		x.Write(ops, func(err error) {
			defer all.Done()
			if err != nil {
				t.Error(err)
			}
			if ops[0].Revision <= last {
				t.Errorf("revision %d after %d", ops[0].Revision, last)
			}
			last = ops[0].Revision
		})
	}
	all.Wait()
	for i := 1; i <= 2; i++ {
		got, err := x.App(x.ctx, deviceID(i), 0)
		x.want(nil, err)
		if string(got.Value) != fmt.Sprint(n-1) {
			t.Errorf("got %s, want %d", got.Value, n-1)
		}
	}
}

func TestTooManyWritesAreRefused(t *testing.T) {
	x := openTest(t, Config{Dir: t.TempDir()})
	q := x.backend.(*jet).requests
	x.want(nil, x.Do(x.ctx, PutDevice(device(1))))
	// Nobody answers these.
	silent := func(done func(*nats.Msg, error)) {
		q.send(&nats.Msg{Subject: "nobody.listens." + nats.NewInbox()}, done)
	}
	sub, err := q.conn.Subscribe("nobody.listens.>", func(*nats.Msg) {}) // else the server says so
	x.want(nil, err)
	x.want(nil, q.conn.Flush())
	var all sync.WaitGroup
	var mu sync.Mutex
	ends := map[string]int{}
	for range requestWindow + requestsMax + 10 {
		all.Add(1)
		silent(func(_ *nats.Msg, err error) {
			defer all.Done()
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, ErrBusy):
				ends["busy"]++
			case errors.Is(err, ErrUnavailable):
				ends["unavailable"]++
			}
		})
	}
	x.want(ErrBusy, x.Do(x.ctx, PutApp(deviceID(1), 0, nil)))
	x.want(nil, sub.Unsubscribe())
	// As when the connection is lost, again and again until nothing waits.
	for over := false; !over; {
		q.fail(func(request) bool { return true })
		q.mu.Lock()
		over = len(q.flying) == 0
		q.mu.Unlock()
	}
	all.Wait()
	if ends["busy"] != 10 || ends["unavailable"] != requestWindow+requestsMax {
		t.Errorf("got %v", ends)
	}
	x.want(nil, x.Do(x.ctx, PutApp(deviceID(1), 0, nil)))
}

// sockets counts the sockets of this process.
func sockets(t *testing.T) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc")
	}
	for _, fd := range fds {
		if to, err := os.Readlink(filepath.Join("/proc/self/fd", fd.Name())); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

func TestNoPort(t *testing.T) {
	before := sockets(t)
	x := openTest(t, Config{Dir: t.TempDir()})
	x.want(nil, x.Do(x.ctx, PutDevice(device(1))))
	if n := sockets(t); n > before {
		t.Errorf("%d sockets more than before", n-before)
	}
}

func TestAnEmptyBatchIsDone(t *testing.T) {
	eachStore(t, func(x *storeTest) { x.want(nil, x.doAll(nil)) })
}

// TestMemoryIsSynchronous holds what virtual-time runs rely on.
func TestMemoryIsSynchronous(t *testing.T) {
	s := NewMemory()
	var order []string
	stop, err := s.Follow(Selection{}, func(e Event) { order = append(order, "heard "+string(e.Body)) })
	if err != nil {
		t.Fatal(err)
	}
	s.Write([]Op{PutDevice(device(1)), Append(Event{Body: []byte("x")})}, func(err error) { order = append(order, fmt.Sprint("done ", err)) })
	s.Claim("no such code", deviceID(1), time.Time{}, func(_ AccountID, err error) { order = append(order, "claim") })
	s.ReadApp(deviceID(1), 0, func(AppState, error) { order = append(order, "read") })
	stop()
	if got := strings.Join(order, ", "); got != "done <nil>, heard x, claim, read" {
		t.Errorf("got %s", got)
	}
}

func TestImagesAreCheckedWhenRead(t *testing.T) {
	s := NewMemory()
	id, err := s.PutImage(t.Context(), []byte("firmware"))
	if err != nil {
		t.Fatal(err)
	}
	s.backend.(*memory).imgs[id] = bytes.Clone([]byte("Firmware"))
	if _, err := s.Image(t.Context(), id); err == nil {
		t.Error("a damaged image was given out")
	}
}
