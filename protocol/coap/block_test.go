package coap

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"
	"time"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/protocol/clock"
)

// body returns n bytes that differ from block to block.
func body(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8)
	}
	return b
}

var testLimits = Limits{BytesMax: 8 << 10, Lifetime: time.Minute}

func TestBlockValue(t *testing.T) {
	for _, tt := range []struct {
		block Block
		wire  string
	}{
		{Block{}, ""},
		{Block{SZX: 6}, "06"},
		{Block{SZX: 6, More: true}, "0e"},
		{Block{Num: 1, SZX: 6}, "16"},
		{Block{Num: 15, SZX: 5, More: true}, "fd"},
		{Block{Num: 16, SZX: 6}, "0106"},
		{Block{Num: 4096, SZX: 6}, "010006"},
		{Block{Num: 1<<20 - 1, SZX: 6, More: true}, "fffffe"},
	} {
		got := tt.block.Append(nil)
		if hex.EncodeToString(got) != tt.wire {
			t.Errorf("%+v: got %x, want %s", tt.block, got, tt.wire)
		}
		if back, ok := ParseBlock(got); !ok || back != tt.block {
			t.Errorf("%+v: got %+v back", tt.block, back)
		}
	}
	for _, bad := range []string{"07", "0f", "00000016"} {
		if b, ok := ParseBlock(gen.Hex(bad)); ok {
			t.Errorf("%s: got %+v, want an error", bad, b)
		}
	}
}

func TestDescribeSZX(t *testing.T) {
	for limit, want := range map[int]uint8{1152: 6, 1040: 6, 1039: 5, 960: 5, 528: 5, 527: 0} {
		if got, ok := DescribeSZX(limit); got != want || ok != (want > 0) {
			t.Errorf("limit %d: got %d, %v, want %d", limit, got, ok, want)
		}
	}
}

// block makes a request or response with block num of b.
func block(id OptionID, b []byte, num uint32, szx uint8, etag string) Message {
	payload, value := blockOf(b, num, szx)
	m := Message{Code: POST, Payload: payload}
	if etag != "" {
		m.Options = append(m.Options, Text(ETag, etag))
	}
	m.Options = append(m.Options, value.Option(id))
	return m
}

// A body of 2500 bytes arrives in three blocks, one of them twice.
func TestAssembler(t *testing.T) {
	want := body(2500)
	var a Assembler
	add := func(now time.Duration, num uint32, progress Progress) []byte {
		t.Helper()
		got, p := a.Add(clock.Instant(now), block(Block1, want, num, 6, ""), []byte{1}, testLimits)
		if p != progress {
			t.Errorf("block %d: got %v, want %v", num, p, progress)
		}
		return got
	}
	add(0, 1, Gap)
	add(0, 0, Partial)
	add(0, 1, Partial)
	add(0, 1, Repeated)
	if got := add(0, 2, Complete); !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, want %d", len(got), len(want))
	}
	add(0, 2, Gap)

	// Block 0 starts over, and a partial body expires.
	add(0, 0, Partial)
	add(0, 1, Partial)
	add(0, 0, Partial)
	add(0, 2, Gap)
	add(59*time.Second, 1, Partial)
	if got, want := a.Deadline(), clock.Instant(119*time.Second); got != want {
		t.Errorf("deadline: got %v, want %v", got, want)
	}
	add(119*time.Second, 2, Gap)
	if got := a.Deadline(); got != clock.Never {
		t.Errorf("deadline: got %v, want never", got)
	}
}

func TestAssemblerRefuses(t *testing.T) {
	key := []byte{1}
	big := body(9000)
	for _, tt := range []struct {
		name string
		key  []byte
		m    Message
		want Progress
	}{
		{"other transfer", []byte{2}, block(Block1, big, 1, 6, ""), Gap},
		{"other size", key, block(Block1, big, 1, 5, ""), BadBlock},
		{"not full", key, Message{Options: Options{Block{Num: 1, More: true, SZX: 6}.Option(Block1)}, Payload: big[:1000]}, BadBlock},
		{"too full", key, Message{Options: Options{Block{Num: 1, SZX: 6}.Option(Block1)}, Payload: big[:1025]}, BadBlock},
		{"size exponent 7", key, Message{Options: Options{Opaque(Block1, []byte{0x17})}}, BadBlock},
		{"four bytes", key, Message{Options: Options{Opaque(Block1, []byte{0, 0, 0, 0x16})}}, BadBlock},
		{"whole", key, Message{Payload: []byte{1}}, Complete},
		{"whole, too large", key, Message{Payload: big}, TooLarge},
	} {
		var a Assembler
		if _, p := a.Add(0, block(Block1, big, 0, 6, ""), key, testLimits); p != Partial {
			t.Fatalf("%s: got %v for block 0", tt.name, p)
		}
		if _, got := a.Add(0, tt.m, tt.key, testLimits); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
	var a Assembler
	for num := range uint32(9) {
		_, p := a.Add(0, block(Block1, big, num, 6, ""), key, testLimits)
		if want := map[bool]Progress{true: Partial, false: TooLarge}[num < 8]; p != want {
			t.Errorf("block %d of 9000 bytes: got %v, want %v", num, p, want)
		}
	}
}

func TestFetch(t *testing.T) {
	old, changed := body(2500), bytes.Repeat([]byte{9}, 1500)
	var f Fetch
	add := func(m Message, want FetchStep, next uint32) {
		t.Helper()
		if got := f.Add(0, m, testLimits); got != want || got == FetchNext && f.Next() != (Block{Num: next, SZX: 6}) {
			t.Errorf("got %v, then %+v, want %v, block %d", got, f.Next(), want, next)
		}
	}
	add(block(Block2, old, 0, 6, "\x01"), FetchNext, 1)
	add(block(Block2, old, 1, 6, "\x01"), FetchNext, 2)
	add(block(Block2, changed, 2, 6, "\x02"), FetchNext, 0)
	add(block(Block2, changed, 0, 6, "\x02"), FetchNext, 1)
	add(block(Block2, changed, 1, 6, "\x02"), FetchDone, 0)
	if !bytes.Equal(f.Body(), changed) {
		t.Errorf("got %d bytes, want %d", len(f.Body()), len(changed))
	}

	// A body that changes for ever is given up.
	f = Fetch{}
	restarts := 0
	for i := byte(0); ; i++ {
		m := block(Block2, old, f.Next().Num, 6, string([]byte{'a' + i}))
		if f.Add(0, m, testLimits) != FetchNext {
			break
		}
		restarts++
	}
	if restarts > 3*fetchRestartsMax {
		t.Errorf("got %d requests for a body that changes for ever", restarts)
	}
}

func TestFetchCases(t *testing.T) {
	b := body(3000)
	whole := Message{Code: Changed, Payload: []byte("whole")}
	for _, tt := range []struct {
		name      string
		strict    bool
		responses []Message
		want      FetchStep
	}{
		{"whole", false, []Message{whole}, FetchDone},
		{"strict/whole", true, []Message{whole}, FetchDone},
		{"no ETag", false, []Message{block(Block2, b, 0, 6, "")}, FetchNext},
		{"strict/no ETag", true, []Message{block(Block2, b, 0, 6, "")}, FetchFailed},
		{"begins with block 1", false, []Message{block(Block2, b, 1, 6, "a")}, FetchFailed},
		{"strict/begins with block 1", true, []Message{block(Block2, b, 1, 6, "a")}, FetchFailed},
		{"other size", false, []Message{block(Block2, b, 0, 5, "a")}, FetchNext},
		{"strict/other size", true, []Message{block(Block2, b, 0, 5, "a")}, FetchHangs},
		{"strict/ETag of 9 bytes", true, []Message{block(Block2, b, 0, 6, "123456789")}, FetchHangs},
		{"strict/ETag changes", true, []Message{block(Block2, b, 0, 6, "a"), block(Block2, b, 1, 6, "b")}, FetchFailed},
		{"wrong number", false, []Message{block(Block2, b, 0, 6, "a"), block(Block2, b, 2, 6, "a")}, FetchFailed},
		{"size changes", false, []Message{block(Block2, b, 0, 6, "a"), block(Block2, b, 1, 5, "a")}, FetchFailed},
		{"no option later", false, []Message{block(Block2, b, 0, 6, "a"), whole}, FetchFailed},
		{"malformed", false, []Message{{Options: Options{Opaque(Block2, []byte{7})}}}, FetchFailed},
		{"too large", false, []Message{{Payload: body(9000)}}, FetchFailed},
	} {
		f := Fetch{Strict: tt.strict}
		var got FetchStep
		for _, m := range tt.responses {
			got = f.Add(0, m, testLimits)
		}
		if got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
		if got == FetchFailed && f.Body() != nil {
			t.Errorf("%s: a body is left", tt.name)
		}
	}
}

// A describe moves on with any ACK; the new channel wants 2.31.
func TestUpload(t *testing.T) {
	for _, tt := range []struct {
		name   string
		size   int
		anyAck bool
		codes  []Code
		want   []UploadStep
	}{
		{"describe", 2500, true, []Code{Empty, NotFound, Continue}, []UploadStep{UploadNext, UploadNext, UploadDone}},
		{"new channel", 2500, false, []Code{Continue, Continue, Changed}, []UploadStep{UploadNext, UploadNext, UploadDone}},
		{"new channel/refused", 2500, false, []Code{Continue, Changed}, []UploadStep{UploadNext, UploadFailed}},
		{"one block", 1024, false, []Code{Changed}, []UploadStep{UploadDone}},
		{"nothing", 0, false, []Code{Changed}, []UploadStep{UploadDone}},
	} {
		want := body(tt.size)
		u := Upload{Body: want, SZX: 6, AnyAck: tt.anyAck}
		var sent []byte
		var steps []UploadStep
		for i, code := range tt.codes {
			payload, b, cut := u.Block()
			if cut != (tt.size > 1024) || b.Num != uint32(i) {
				t.Errorf("%s: got block %+v, cut %v", tt.name, b, cut)
			}
			sent = append(sent, payload...)
			steps = append(steps, u.Acknowledged(code))
		}
		if !slices.Equal(steps, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, steps, tt.want)
		}
		if steps[len(steps)-1] == UploadDone && !bytes.Equal(sent, want) {
			t.Errorf("%s: got %d bytes, want %d", tt.name, len(sent), len(want))
		}
	}
}

// A describe lives 90 s after the last access, or until its last block was
// asked for as often as its first.
func TestServing(t *testing.T) {
	const second = clock.Instant(time.Second)
	ok := func(s *Serving, now clock.Instant, num uint32, want bool) {
		t.Helper()
		if _, b, got := s.Block(now, num); got != want || got && b.More != (num < 2) {
			t.Errorf("block %d at %v: got %v, %+v, want %v", num, now, got, b, want)
		}
	}
	s := NewServing(0, body(2500), []byte{1}, 6)
	ok(&s, 0, 0, true)
	ok(&s, 0, 0, true) // another fetch
	ok(&s, 89*second, 1, true)
	ok(&s, 178*second, 2, true)
	ok(&s, 178*second, 3, false)
	ok(&s, 178*second, 1, true)
	ok(&s, 178*second, 2, true)
	ok(&s, 178*second, 1, false)

	s = NewServing(0, body(2500), []byte{1}, 6)
	ok(&s, 0, 0, true)
	ok(&s, 90*second, 1, false)
	if s.Deadline() != clock.Never || s.Active() {
		t.Error("an expired body is still served")
	}

	s = NewServing(0, nil, []byte{1}, 6)
	if payload, b, got := s.Block(0, 0); !got || len(payload) > 0 || b.More {
		t.Errorf("an empty body: got %v, %+v", got, b)
	}
}

// Blocks in any order and of any content: no panic, and no body above the
// limit.
func FuzzBlocks(f *testing.F) {
	f.Add([]byte{0x0e, 0x1e, 0x26}, uint16(1024))
	f.Add([]byte{0x08, 0x18, 0x28, 0x30}, uint16(16))
	f.Fuzz(func(t *testing.T, values []byte, size uint16) {
		if len(values) > 100 {
			return
		}
		limits := Limits{BytesMax: 3000, Lifetime: time.Minute}
		var a Assembler
		lax, strict := Fetch{}, Fetch{Strict: true}
		for i, v := range values {
			now := clock.Instant(i) * clock.Instant(time.Second)
			m := Message{
				Options: Options{Opaque(ETag, []byte{v & 1}), Opaque(Block2, []byte{v}), Opaque(Block1, []byte{v})},
				Payload: make([]byte, size),
			}
			got, _ := a.Add(now, m, nil, limits)
			lax.Add(now, m, limits)
			strict.Add(now, m, limits)
			if max(len(got), len(a.body), len(lax.Body()), len(strict.Body())) > limits.BytesMax {
				t.Fatal("a body is above the limit")
			}
		}
	})
}
