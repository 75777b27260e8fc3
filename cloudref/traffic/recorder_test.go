package traffic

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/trace"
)

var lamp = store.DeviceID{0xe0, 0x0f}

func newRecorder() *Recorder { return newRecorderOf(new(store.AccountID)) }

// newRecorderOf is a recorder of devices that one account has, which may change.
func newRecorderOf(owner *store.AccountID) *Recorder {
	return NewRecorder(func(at clock.Instant) time.Time { return time.Unix(1_700_000_000, int64(at)) },
		func(store.DeviceID) store.AccountID { return *owner })
}

// What a device said while it was somebody else's is gone, and who watched it is cut
// off; what it said before it was anybody's is its first owner's.
func TestTrafficIsItsOwners(t *testing.T) {
	var owner store.AccountID
	r := newRecorderOf(&owner)
	r.Traffic(up(57, publish(1, "first", "x")))
	owner = store.AccountID{1}
	r.Traffic(up(57, publish(2, "of-one", "x")))
	past, watch := r.Watch(lamp)
	if len(past.Lines) != 2 {
		t.Errorf("the first owner sees %+v", past.Lines)
	}
	for _, owner = range []store.AccountID{{}, {2}} {
		if got := r.Of(lamp); len(got.Lines)+len(got.Ledger) != 0 {
			t.Errorf("account %v sees %+v", owner, got)
		}
	}
	r.Traffic(up(57, publish(3, "of-two", "x")))
	if u, open := <-watch.C; open {
		t.Errorf("who watched is told %+v", u)
	}
	if got := r.Of(lamp); len(got.Lines) != 1 {
		t.Errorf("the new owner sees %+v", got.Lines)
	}
}

func publish(id uint16, name, data string) []byte {
	m := coap.Message{Code: coap.POST, ID: id, Payload: []byte(data), Options: coap.Options{coap.Text(coap.URIPath, "E")}}
	for part := range strings.SplitSeq(name, "/") {
		m.Options = append(m.Options, coap.Text(coap.URIPath, part))
	}
	return m.Append(nil)
}

func up(bytes int, messages ...[]byte) endpoint.Traffic {
	return endpoint.Traffic{Device: lamp, Peer: netip.MustParseAddrPort("127.0.0.9:5000"), Direction: trace.Up, Bytes: bytes, Messages: messages}
}

func down(bytes int, messages ...[]byte) endpoint.Traffic {
	t := up(bytes, messages...)
	t.Direction = trace.Down
	return t
}

func row(rows []Row, what string) Row {
	for _, r := range rows {
		if r.What == what {
			return r
		}
	}
	return Row{}
}

// Packets are booked to what they are spent on, headers included: an
// acknowledgement to what it acknowledges.
func TestLedger(t *testing.T) {
	r := newRecorder()
	r.Traffic(up(57, publish(7, "brewed", "ready")))
	r.Traffic(down(33, []byte{0x60, 0, 0, 7}))
	r.Traffic(up(57, publish(7, "brewed", "ready"))) // again: the ACK was lost
	r.Traffic(up(40, publish(8, "spark/device/claim/code", "secret-code")))
	r.Traffic(up(20))
	got := r.Of(lamp)
	if p := row(got.Ledger, "Publish"); p.Packets != [2]int64{2, 1} || p.Bytes != [2]int64{2 * 85, 61} {
		t.Errorf("publish: %+v", p)
	}
	if p := row(got.Ledger, "system event"); p.Bytes != [2]int64{68, 0} {
		t.Errorf("system event: %+v", p)
	}
	if len(got.Lines) != 5 || got.Lines[0].Data != "ready" || !strings.Contains(got.Lines[2].Text, "again") || got.Lines[4].What != "no message" {
		t.Errorf("lines: %+v", got.Lines)
	}
	for _, l := range got.Lines {
		if strings.Contains(l.Text+l.Data, "secret") {
			t.Errorf("a claim code is shown: %+v", l)
		}
	}
	if got := r.Of(store.DeviceID{1}); got.Ledger != nil || got.Lines != nil {
		t.Errorf("a device that was never heard: %+v", got)
	}
}

// The bytes of a handshake are booked when it is known whose it was.
func TestHandshake(t *testing.T) {
	r := newRecorder()
	hello := up(100)
	hello.Device = store.DeviceID{}
	other := hello
	other.Peer = netip.MustParseAddrPort("127.0.0.8:5000")
	answer := hello
	answer.Direction, answer.Bytes = trace.Down, 60
	for _, p := range []endpoint.Traffic{hello, answer, other, hello, answer} {
		r.Traffic(p)
	}
	if got := r.Of(lamp); got.Ledger != nil {
		t.Errorf("before: %+v", got)
	}
	r.Observe(endpoint.Observation{At: 5, Device: lamp, What: endpoint.Secured, Session: endpoint.SessionInfo{Peer: "127.0.0.9:5000"}})
	got := r.Of(lamp)
	if h := row(got.Ledger, "handshake"); h.Packets != [2]int64{2, 2} || h.Bytes != [2]int64{256, 176} || !got.Secured.Equal(time.Unix(1_700_000_000, 5)) {
		t.Errorf("got %+v", got)
	}
}

// However many devices and strangers there are, and however much they say, what is
// remembered is bounded; a slow reader is cut off.
func TestBounds(t *testing.T) {
	r := newRecorder()
	_, watch := r.Watch(lamp)
	for i := range 2 * linesMax {
		r.Traffic(up(40, publish(uint16(i), "x", "y")))
	}
	got := r.Of(lamp)
	serials := make([]uint64, 0, len(got.Lines))
	for _, l := range got.Lines {
		serials = append(serials, l.Serial)
	}
	if len(serials) != linesMax || !slices.IsSorted(serials) || serials[linesMax-1] != 2*linesMax {
		t.Errorf("%d lines, the last is %v", len(serials), serials[len(serials)-1])
	}
	seen := 0
	for range watch.C {
		seen++
	}
	if seen != watchBuffer {
		t.Errorf("the slow reader got %d updates before it was cut off, want %d", seen, watchBuffer)
	}
	watch.Close() // once more does no harm
	for i := range 2 * max(devicesMax, strangersMax) {
		p := up(40)
		binary.BigEndian.PutUint32(p.Device[4:], uint32(i)+1)
		r.Traffic(p)
		p.Device = store.DeviceID{}
		p.Peer = netip.AddrPortFrom(p.Peer.Addr(), uint16(i))
		r.Traffic(p)
	}
	if r.devices.Len() != devicesMax || r.strangers.Len() != strangersMax || len(r.Of(lamp).Lines) > 0 {
		t.Errorf("%d devices and %d strangers are remembered", r.devices.Len(), r.strangers.Len())
	}
}

// In a crowd those who are remembered stay, newcomers are taken in now and then,
// and who is watched always.
func TestCrowd(t *testing.T) {
	r := newRecorder()
	hear := func(n uint32, at time.Duration) bool {
		id := store.DeviceID{1}
		binary.BigEndian.PutUint32(id[4:], n)
		traffic := up(57, publish(7, "brewed", "ready"))
		traffic.Device, traffic.At = id, clock.Instant(at)
		r.Traffic(traffic)
		return len(r.Of(id).Lines) > 0
	}
	for n := range uint32(devicesMax) {
		if !hear(n, 0) {
			t.Fatalf("device %d is not remembered although there is room", n)
		}
	}
	taken := 0
	for n := range uint32(1000) {
		if hear(10_000+n, time.Duration(n)*time.Millisecond) {
			taken++
		}
	}
	if want := int(time.Second / crowdPause); taken < want-1 || taken > want+1 {
		t.Errorf("%d of 1000 newcomers of a second are taken in, want about %d", taken, want)
	}
	_, w := r.Watch(lamp)
	defer w.Close()
	seen := up(57, publish(8, "brewed", "ready"))
	seen.At = clock.Instant(time.Second)
	r.Traffic(seen)
	select {
	case <-w.C:
	default:
		t.Error("nothing is told of a device that is watched")
	}
	if !hear(20_000, time.Second+crowdTime) {
		t.Error("the crowd is gone, and a newcomer is not taken in")
	}
}
