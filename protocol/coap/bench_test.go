package coap

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/protocol/clock"
)

// event is a publish as Device OS 6.2.0 sends it.
const event = "40 02 10 13 b1 45 04 74 65 6d 70 32 0e 10 ff 32 31 2e 35"

func BenchmarkParseInto(b *testing.B) {
	wire := gen.Hex(event)
	m := Message{Options: make(Options, 0, 8)}
	b.ReportAllocs()
	for b.Loop() {
		if err := ParseInto(&m, wire); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	m, err := Parse(gen.Hex(event))
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 0, 128)
	b.ReportAllocs()
	for b.Loop() {
		buf = m.Append(buf[:0])
	}
}

// One publish received, and its ACK sent, by a cloud that remembers 93 s of one
// publish a second.
func BenchmarkReceiveAndReply(b *testing.B) {
	x := NewExchange(&CloudUDP, 0, rand.New(rand.NewPCG(1, 2)), nil)
	wire := gen.Hex(event)
	var out Out
	var now clock.Instant
	b.ReportAllocs()
	for b.Loop() {
		wire[2], wire[3] = byte(now>>38), byte(now>>30)
		now += 1 << 30
		out.Reset()
		x.Receive(now, wire, &out)
		x.Reply(now, out.Events[0].Message, Message{}, &out)
	}
}

// One publish sent, and its ACK received.
func BenchmarkSendAndAck(b *testing.B) {
	x := NewExchange(&DeviceUDP, 0, rand.New(rand.NewPCG(1, 2)), nil)
	m, err := Parse(gen.Hex(event))
	if err != nil {
		b.Fatal(err)
	}
	ack := []byte{0x60, 0, 0, 0}
	var out Out
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		id := x.Send(0, m, 1, &out)
		ack[2], ack[3] = byte(id>>8), byte(id)
		x.Receive(0, ack, &out)
	}
}

func TestNoAllocation(t *testing.T) {
	wire := gen.Hex(event)
	m := Message{Options: make(Options, 0, 8)}
	buf := make([]byte, 0, 128)
	if n := testing.AllocsPerRun(100, func() {
		_ = ParseInto(&m, wire)
		buf = m.Append(buf[:0])
	}); n != 0 {
		t.Errorf("got %v allocations to decode and encode, want none", n)
	}
	if !bytes.Equal(buf, wire) {
		t.Errorf("got %x, want %x", buf, wire)
	}
}

func TestExchangeSize(t *testing.T) {
	if n := unsafe.Sizeof(Exchange{}); n > 128 {
		t.Errorf("an idle Exchange takes %d bytes, want at most 128", n)
	}
	if n := unsafe.Sizeof(seen{}); n > 8 {
		t.Errorf("a remembered ID takes %d bytes, want 8", n)
	}
}
