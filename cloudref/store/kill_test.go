package store

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

const (
	killEnv     = "MUSTER_STORE_KILL_DIR" // set in the child
	killRounds  = 20
	killDevices = 40
	killExtra   = 8000 // devices besides, so that opening stays quick
)

// kills is for those who want to be sure: hundreds.
var kills = flag.Int("kills", 0, "how often TestKill kills a process; 0: as often as a test should")

// TestKill kills a process that writes, at random points, and checks that
// nothing it was told is durable is missing and that no reserved sequence
// number went back.
func TestKill(t *testing.T) {
	if dir := os.Getenv(killEnv); dir != "" {
		killChild(t, dir)
		return
	}
	const seed = 1
	rng := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	told := acknowledged{}
	var read uint64 // events up to this one were read
	rounds := killRounds
	switch {
	case *kills > 0:
		rounds = *kills
	case testing.Short():
		rounds = 3
	}
	// A slow machine gets more rounds, and longer ones, until each kind was told.
	for round := 0; round < rounds || round < rounds+killRounds && told.lacks(); round++ {
		delay := time.Duration(10+rng.IntN(150)+100*max(0, round-rounds+1)) * time.Millisecond
		// Each round looks for what it was told itself; the end looks for everything.
		now := acknowledged{}
		now.collect(t, runAndKill(t, dir, delay))
		s := mustOpen(t, Config{Dir: dir})
		read = now.verify(t, s, round, read+1)
		maps.Copy(told, now)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := mustOpen(t, Config{Dir: dir})
	told.verify(t, s, -1, 1)
	told.verifyCalls(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for kind, n := range told.counts() {
		t.Logf("%c: %d acknowledged", kind, n)
		if n == 0 {
			t.Errorf("%c: nothing was acknowledged: the test tests nothing", kind)
		}
	}
}

// runAndKill starts a child and kills it after it began to write and some time
// passed. It returns what the child said.
func runAndKill(t *testing.T, dir string, delay time.Duration) []byte {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestKill$")
	child.Env = append(os.Environ(), killEnv+"="+dir)
	var stderr bytes.Buffer
	child.Stderr = &stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	first := make([]byte, 1)
	if _, err := io.ReadFull(out, first); err != nil {
		t.Fatalf("the child said nothing: %v; %s", err, stderr.Bytes())
	}
	said.Write(first)
	timer := time.AfterFunc(delay, func() { child.Process.Signal(syscall.SIGKILL) })
	defer timer.Stop()
	io.Copy(&said, out)
	if err := child.Wait(); err == nil || child.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child ended by itself: %v; %s\n%s", err, stderr.Bytes(), said.Bytes())
	}
	return said.Bytes()
}

// What a child acknowledges, as "kind device value".
const (
	ackDevice  = 'D' // device exists
	ackReserve = 'R' // sequence numbers below value reserved
	ackSession = 'S' // session written with value in its record
	ackApp     = 'A' // application state holds value
	ackEvent   = 'E' // event number "device" has body value
	ackImage   = 'I' // image of value exists
)

type ackKey struct {
	kind   rune
	device int
}

// acknowledged is the last value acknowledged for each key.
type acknowledged map[ackKey]uint64

func (a acknowledged) counts() map[rune]int {
	n := map[rune]int{ackDevice: 0, ackReserve: 0, ackSession: 0, ackApp: 0, ackEvent: 0, ackImage: 0, ackCall: 0, ackMade: 0}
	for _, k := range killKinds {
		n[k.kind] = 0
	}
	for key := range a {
		n[key.kind]++
	}
	return n
}

// lacks reports whether there is a kind of which nothing was acknowledged, or no
// webhook call that waits.
func (a acknowledged) lacks() bool {
	if len(a.unmade()) == 0 {
		return true
	}
	for _, n := range a.counts() {
		if n == 0 {
			return true
		}
	}
	return false
}

func (a acknowledged) collect(t *testing.T, said []byte) {
	t.Helper()
	lines := bufio.NewScanner(bytes.NewReader(said))
	for lines.Scan() {
		var key ackKey
		var value uint64
		if n, _ := fmt.Sscanf(lines.Text(), "%c %d %d.", &key.kind, &key.device, &value); n == 3 && bytes.HasSuffix(lines.Bytes(), []byte(".")) {
			a[key] = max(a[key], value)
			continue
		}
		// Only the last line can be torn. Nobody else may write there.
		if lines.Scan() {
			t.Fatalf("someone wrote to the standard output: %q", lines.Text())
		}
	}
}

// verify looks for what was acknowledged, events from number from on. It returns the
// number of the last event.
func (a acknowledged) verify(t *testing.T, s *Store, round int, from uint64) (last uint64) {
	t.Helper()
	ctx := t.Context()
	sessions := map[DeviceID]*Session{}
	for session, err := range s.Sessions(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		sessions[session.Device] = session
	}
	apps := map[DeviceID]uint64{}
	for app, err := range s.Apps(ctx, 0) {
		if err != nil {
			t.Fatal(err)
		}
		apps[app.Device] = binary.BigEndian.Uint64(app.Value)
	}
	events, last := allEvents(t, s, from)
	for key, value := range a {
		id := deviceID(key.device)
		var got uint64
		switch key.kind {
		case ackDevice:
			if found, ok := s.Identify(FingerprintOf(spki(key.device))); ok && found.Device == id {
				got = value
			}
		case ackReserve:
			if sessions[id] != nil {
				got = sessions[id].Reserved
			}
		case ackSession:
			if sessions[id] != nil {
				got = binary.BigEndian.Uint64(sessions[id].Record)
			}
		case ackApp:
			got = apps[id]
		case ackEvent:
			got = events[uint64(key.device)]
		case ackImage:
			if data, err := s.Image(ctx, imageIDOf(key.device)); err == nil {
				got = binary.BigEndian.Uint64(data)
			}
		case ackCall, ackMade:
			got = value // see verifyCalls
		default:
			for _, k := range killKinds {
				if k.kind == key.kind {
					got = k.get(ctx, s, key.device)
				}
			}
		}
		if got < value {
			t.Errorf("round %d: %c %d: got %d, but %d was acknowledged", round, key.kind, key.device, got, value)
		}
	}
	if r := s.Report(); r.Unreadable+r.SharedKeys+r.Homeless+r.StaleKeys != 0 {
		t.Errorf("round %d: report %+v", round, r)
	}
	return last
}

// allEvents reads the stream of events from a number up to one that it appends.
func allEvents(t *testing.T, s *Store, from uint64) (all map[uint64]uint64, last uint64) {
	t.Helper()
	ops := []Op{Append(Event{Body: make([]byte, 8)})}
	done := make(chan error, 1)
	s.Write(ops, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	last = uint64(ops[0].Revision)
	all = map[uint64]uint64{}
	over := make(chan bool)
	stop, err := s.Follow(Selection{From: from}, func(e Event) {
		all[e.Sequence] = binary.BigEndian.Uint64(e.Body)
		if e.Sequence == last {
			close(over)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	<-over
	stop()
	return all, last
}

func value(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func imageData(n int) []byte {
	return append(value(uint64(n)), bytes.Repeat([]byte("image"), 4_000)...)
}

func imageIDOf(n int) ImageID { return ImageID(FingerprintOf(imageData(n))) }

// killChild writes without end and tells what was acknowledged, each line in
// one write so that none is torn.
func killChild(t *testing.T, dir string) {
	s := mustOpen(t, Config{Dir: dir})
	tell := func(kind rune, device int, value uint64) {
		fmt.Fprintf(os.Stdout, "%c %d %d.\n", kind, device, value)
	}
	start := childStart(t, s)
	go func() {
		for i := int(start); ; i++ {
			if _, err := s.PutImage(context.Background(), imageData(i)); err != nil {
				panic(err)
			}
			tell(ackImage, i, uint64(i))
		}
	}()
	killPeople(s, start, tell)
	killCalls(s, start, tell)
	tokens := make(chan bool, 300)
	write := func(kind rune, device int, value uint64, op Op) {
		tokens <- true
		ops := []Op{op}
		s.Write(ops, func(err error) {
			if err != nil {
				panic(err)
			}
			if kind == ackEvent {
				device = int(ops[0].Revision)
			}
			tell(kind, device, value)
			<-tokens
		})
	}
	for n := start; ; n++ {
		i := int(n) % killDevices
		id := deviceID(i)
		switch n % 7 {
		case 0:
			if extra := int(n)%killExtra + 1000; n%3 == 0 {
				write(ackDevice, extra, 1, PutDevice(device(extra)))
			}
			young := session(i)
			young.Reserved, young.Record = n, value(n)
			write(ackSession, i, n, PutSession(young))
		case 1, 2, 3:
			write(ackReserve, i, n, Reserve(Progress{Device: id, CID: cidOf(i), Reserved: n}))
		case 4, 5:
			write(ackApp, i, n, PutApp(id, 0, value(n)))
		case 6:
			write(ackEvent, 0, n, Append(Event{Account: alice, Device: id, Body: value(n)}))
		}
	}
}

// childStart makes the devices and returns a number above all that were used.
func childStart(t *testing.T, s *Store) uint64 {
	var start uint64 = 1
	for session, err := range s.Sessions(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		start = max(start, session.Reserved, binary.BigEndian.Uint64(session.Record))
	}
	for app, err := range s.Apps(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		start = max(start, binary.BigEndian.Uint64(app.Value))
	}
	// People may have been faster than devices.
	for _, k := range killKinds {
		for i := range killDevices {
			if n := k.get(t.Context(), s, i); n < killAlways {
				start = max(start, n)
			}
		}
	}
	for i := range killDevices {
		if _, ok := s.Identity(deviceID(i)); ok {
			continue
		}
		first := session(i)
		first.Reserved, first.Record = 1, value(1)
		for _, op := range []Op{PutDevice(device(i)), PutSession(first)} {
			if err := s.Do(t.Context(), op); err != nil {
				t.Fatal(err)
			}
		}
	}
	return start + 1000
}
