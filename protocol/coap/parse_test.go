package coap

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/muster/muster/fixtures/gen"
)

// wellFormed are messages of Device OS unit tests and of the protocol
// reference, with what they must decode to.
var wellFormed = []struct {
	name, wire, text string
	path, payload    string
	query            string
}{
	{
		name: "hello", wire: "50 02 f6 49 b1 68 ff ff ff ff ff 00 00",
		text: "NON 0.02 0xf649 /h, 6 bytes", path: "h", payload: "\xff\xff\xff\xff\x00\x00",
	},
	{name: "hello answer", wire: "40 02 20 01 b1 68", text: "CON 0.02 0x2001 /h", path: "h"},
	{name: "ack", wire: "60 00 97 b2", text: "ACK 0.00 0x97b2"},
	{name: "reset", wire: "70 00 97 b2", text: "RST 0.00 0x97b2"},
	{name: "ping", wire: "40 00 10 50", text: "CON 0.00 0x1050"},
	{name: "describe/oldest", wire: "41 01 97 b2 28 b1 64", text: "CON 0.01 0x97b2 token 28 /d", path: "d"},
	{name: "describe/flags", wire: "41 01 20 02 5a b1 64 41 02", text: "CON 0.01 0x2002 token 5a /d", path: "d", query: "\x02"},
	{
		name: "describe/post", wire: "41 02 10 02 31 b1 64 11 2a 31 01 ff 0a", text: "CON 0.02 0x1002 token 31 /d, 1 bytes",
		path: "d", query: "\x01", payload: "\n",
	},
	{name: "describe/fetch", wire: "41 01 20 04 5c b1 64 41 02 81 16", text: "CON 0.01 0x2004 token 5c /d", path: "d", query: "\x02"},
	{name: "event/no data", wire: "50 02 f6 49 b1 65 01 78", text: "NON 0.02 0xf649 /e/x", path: "e/x"},
	{
		name: "event/long name", wire: "50 02 f6 49 b1 45 0d 06 66726f6e742d646f6f722d756e6c6f636b6564",
		text: "NON 0.02 0xf649 /E/front-door-unlocked", path: "E/front-door-unlocked",
	},
	{
		name: "event/ttl of three bytes", wire: "50 02 97 b3 b1 45 0c 6c616b652d64657074682f3133 00 54 60 ff 32 38 6d",
		text: "NON 0.02 0x97b3 /E/lake-depth/1, 3 bytes", path: "E/lake-depth/1", payload: "28m",
	},
	{name: "event/lone marker", wire: "40 02 10 15 b1 45 01 78 ff", text: "CON 0.02 0x1015 /E/x", path: "E/x"},
	{
		name: "event/split path", wire: "50 02 97 53 b1 65 01 61 01 62 01 63 01 64 31 3c ff 78 79 7a",
		text: "NON 0.02 0x9753 /e/a/b/c/d, 3 bytes", path: "e/a/b/c/d", payload: "xyz",
	},
	{
		name: "event/content format", wire: "40 02 10 12 b1 45 04 74 65 6d 70 12 fd e9 ff a1 61 76 18 2a",
		text: "CON 0.02 0x1012 /E/temp, 5 bytes", path: "E/temp", payload: "\xa1av\x18*",
	},
	{
		name: "function/empty argument", wire: "41 02 20 21 62 b1 66 04 62 72 65 77 40",
		text: "CON 0.02 0x2021 token 62 /f/brew", path: "f/brew",
	},
	{
		name: "function", wire: "41 02 97 b2 ef b1 66 04 62 72 65 77 46 33 32 2c 32 34 30",
		text: "CON 0.02 0x97b2 token ef /f/brew", path: "f/brew", query: "32,240",
	},
	{name: "function result", wire: "41 44 10 30 61 ff ff ff ff ff", text: "CON 2.04 0x1030 token 61, 4 bytes", payload: "\xff\xff\xff\xff"},
	{name: "refusal without token", wire: "60 80 97 b2", text: "ACK 4.00 0x97b2"},
	{name: "time", wire: "61 45 10 40 81 ff 69 55 b9 00", text: "ACK 2.05 0x1040 token 81, 4 bytes", payload: "iU\xb9\x00"},
	{name: "update start", wire: "41 02 20 70 b1 b1 53 e2 06 f1 03 e8 82 02 00", text: "CON 0.02 0x2070 token b1 /S", path: "S"},
	{name: "chunk ack", wire: "50 02 10 72 b1 41 e1 06 e9 02 ff 16 00 00 00", text: "NON 0.02 0x1072 /A, 4 bytes", path: "A", payload: "\x16\x00\x00\x00"},
	{name: "cancel and discard", wire: "41 02 20 81 b3 b1 46 e0 06 fd 40", text: "CON 0.02 0x2081 token b3 /F", path: "F"},
	{
		name: "ledger upload", wire: "41 02 10 a5 d5 b1 4c d1 03 0e d4 fc 00 00 00 01 ff 00",
		text: "CON 0.02 0x10a5 token d5 /L, 1 bytes", path: "L", payload: "\x00",
	},
	{name: "ledger fetch", wire: "41 02 10 a7 d7 44 11 22 33 44 71 4c c1 16", text: "CON 0.02 0x10a7 token d7 /L", path: "L"},
	{name: "ends in ff/value", wire: "40 02 10 15 b1 45 01 ff", text: "CON 0.02 0x1015 /E/\xff", path: "E/\xff"},
	{name: "ends in ff/extension", wire: "40 02 10 15 d0 ff", text: "CON 0.02 0x1015"},
}

func TestParseWellFormed(t *testing.T) {
	for _, tt := range wellFormed {
		t.Run(tt.name, func(t *testing.T) {
			wire := gen.Hex(tt.wire)
			m, err := Parse(wire)
			if err != nil {
				t.Fatal(err)
			}
			if got := m.String(); got != tt.text {
				t.Errorf("got %q, want %q", got, tt.text)
			}
			if got := m.Path(); got != tt.path {
				t.Errorf("path: got %q, want %q", got, tt.path)
			}
			if got := string(m.Payload); got != tt.payload {
				t.Errorf("payload: got %q, want %q", got, tt.payload)
			}
			if got, _ := m.Query(0); string(got) != tt.query {
				t.Errorf("query: got %q, want %q", got, tt.query)
			}
			if got := m.Append(nil); !bytes.Equal(got, wire) {
				t.Errorf("encoded again: got %x, want %x", got, wire)
			}
		})
	}
}

func TestParseLoneMarker(t *testing.T) {
	for wire, want := range map[string]bool{
		"40 02 10 15 b1 45 01 78 ff": true,
		"40 02 10 15 ff":             true,
		"40 02 10 15 d0 ff ff":       true,  // a marker behind an extension of ff
		"40 02 10 15 d0 ff":          false, // only the extension
		"40 02 10 15 b1 ff":          false, // a value of ff
		"40 02 10 15 e0 00 ff":       false, // an extension of two bytes
		"40 02 10 15 ff ff":          false, // a payload of ff
	} {
		m, err := Parse(gen.Hex(wire))
		if err != nil || m.LoneMarker != want {
			t.Errorf("%s: got lone marker %v, error %v, want %v", wire, m.LoneMarker, err, want)
		}
	}
}

func TestParseMalformed(t *testing.T) {
	for _, tt := range []struct {
		name, wire string
		reason     Reason
		offset     int
	}{
		{"nothing", "", TooShort, 0},
		{"keep-alive byte", "00", TooShort, 1},
		{"three bytes", "40 00 10", TooShort, 3},
		{"version 0", "00 01 10 10", BadVersion, 0},
		{"version 2", "81 02 97 b2 ef b1 66", BadVersion, 0},
		{"token of 9", "49 02 12 34 01 02 03 04 05 06 07 08 09", BadTokenLength, 0},
		{"token of 15", "4f 02 12 34", BadTokenLength, 0},
		{"token cut", "44 02 12 34 01 02", TokenTruncated, 6},
		{"class 1", "40 20 12 34", BadCodeClass, 1},
		{"class 3", "40 60 12 34", BadCodeClass, 1},
		{"class 6", "40 c1 12 34", BadCodeClass, 1},
		{"class 7", "40 e1 12 34", BadCodeClass, 1},
		{"empty with token", "61 00 12 34 01", EmptyNotEmpty, 4},
		{"empty with payload", "60 00 12 34 ff 01", EmptyNotEmpty, 4},
		{"length 15", "40 02 12 34 b1 45 0f", BadOptionNibble, 6},
		{"delta 15", "40 02 12 34 b1 45 f1 00", BadOptionNibble, 6},
		{"value cut", "40 02 12 34 b4 45", OptionTruncated, 6},
		{"no byte for delta", "40 02 12 34 d0", OptionTruncated, 5},
		{"one byte for delta", "40 02 12 34 e0 01", OptionTruncated, 6},
		{"no byte for length", "40 02 12 34 bd", OptionTruncated, 5},
		{"one byte for length", "40 02 12 34 be 01", OptionTruncated, 6},
		{"length beyond the end", "40 02 12 34 be ff ff 00", OptionTruncated, 8},
		{"number 65536", "40 02 12 34 e0 fe f2 10", BadOptionNumber, 7},
		{"number above 65536", "40 02 12 34 e0 ff ff", BadOptionNumber, 4},
		{"number 0", "40 02 12 34 01 45", BadOptionNumber, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(gen.Hex(tt.wire))
			var format *FormatError
			if !errors.As(err, &format) {
				t.Fatalf("got %v, want a FormatError", err)
			}
			if format.Reason != tt.reason || format.Offset != tt.offset {
				t.Errorf("got %v, want %v at byte %d", format, tt.reason, tt.offset)
			}
			if !strings.HasPrefix(format.Rule, "RFC 7252 Section ") {
				t.Errorf("got rule %q", format.Rule)
			}
		})
	}
}

func TestReasonsNamed(t *testing.T) {
	for r := TooShort; r < numReasons; r++ {
		if reasons[r].text == "" || reasons[r].rule == "" {
			t.Errorf("reason %d has no text or no rule", r)
		}
	}
	for k := Received; k < numEventKinds; k++ {
		if eventNames[k] == "" {
			t.Errorf("event kind %d has no name", k)
		}
	}
}

// The highest option number and the longest values survive; nothing is skipped
// for its length.
func TestOptionExtremes(t *testing.T) {
	long := bytes.Repeat([]byte{'a'}, 1024)
	m := Message{Code: POST, ID: 1, Token: []byte("12345678"), Options: Options{
		Opaque(ETag, bytes.Repeat([]byte{1}, 12)), // elective, and above its 8 bytes
		Text(URIPath, "f"), Opaque(URIPath, long[:255]), Opaque(URIPath, long[:268]), Opaque(URIPath, long[:269]),
		Opaque(MaxAge, make([]byte, 5)), Opaque(URIQuery, long), Uint(ChunkIndex, 70000), Uint(65535, 1),
	}}
	got, err := Parse(m.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Options) != len(m.Options) {
		t.Fatalf("got %d options, want %d", len(got.Options), len(m.Options))
	}
	for i, o := range got.Options {
		if o.ID != m.Options[i].ID || !bytes.Equal(o.Value, m.Options[i].Value) {
			t.Errorf("option %d: got %d of %d bytes, want %d of %d bytes",
				i, o.ID, len(o.Value), m.Options[i].ID, len(m.Options[i].Value))
		}
	}
	if v, ok := got.Uint(ChunkIndex); !ok || v != 70000 {
		t.Errorf("chunk index: got %d, %v, want 70000", v, ok)
	}
}

// Whatever a message is cut to, it is either refused or encodes to the same
// bytes again.
func TestParseCutEverywhere(t *testing.T) {
	for _, tt := range wellFormed {
		wire := gen.Hex(tt.wire)
		for n := range wire {
			m, err := Parse(wire[:n])
			if err != nil {
				continue
			}
			if got := m.Append(nil); !bytes.Equal(got, wire[:n]) {
				t.Errorf("%s cut to %d bytes: got %x, want %x", tt.name, n, got, wire[:n])
			}
		}
	}
}

func TestAppendPanics(t *testing.T) {
	for name, m := range map[string]Message{
		"token":         {Code: POST, Token: make([]byte, 9)},
		"order":         {Code: POST, Options: Options{Text(URIQuery, "a"), Text(URIPath, "b")}},
		"option 0":      {Code: POST, Options: Options{{ID: 0}}},
		"empty":         {Payload: []byte{1}},
		"empty, token":  {Token: []byte{1}},
		"marker":        {Code: POST, LoneMarker: true, Payload: []byte{1}},
		"type":          {Code: POST, Type: 4},
		"code":          {Code: 256},
		"option length": {Code: POST, Options: Options{Opaque(URIPath, make([]byte, optionValueMax+1))}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("got no panic")
				}
			}()
			m.Append(nil)
		})
	}
}

func TestUint(t *testing.T) {
	for v, want := range map[uint32]string{
		0: "", 1: "01", 255: "ff", 256: "0100", 65535: "ffff", 65536: "00010000", 1<<32 - 1: "ffffffff",
	} {
		got := AppendUint(nil, v)
		if hex.EncodeToString(got) != want {
			t.Errorf("%d: got %x, want %s", v, got, want)
		}
		if back, ok := ParseUint(got); !ok || back != v {
			t.Errorf("%d: got %d back", v, back)
		}
	}
	if got := AppendUintFixed(nil, 3600, 3); hex.EncodeToString(got) != "000e10" {
		t.Errorf("fixed: got %x, want 000e10", got)
	}
	if v, ok := ParseUint([]byte{1, 0x86, 0xa0}); !ok || v != 100000 {
		t.Errorf("three bytes: got %d, %v, want 100000", v, ok)
	}
	if _, ok := ParseUint(make([]byte, 5)); ok {
		t.Error("five bytes: got a number")
	}
}

func TestPeek(t *testing.T) {
	for _, tt := range []struct {
		name, wire string
		ok         bool
		code       Code
		char       byte
	}{
		{"too short", "40 00 10", false, 0, 0},
		{"function", "41 02 97 b2 ef b1 66 04 62", true, POST, 'f'},
		{"version 2", "81 02 97 b2 ef b1 66", true, POST, 'f'},
		{"version 0 and other header byte", "01 02 97 b2 ef 91 66", true, POST, 'f'},
		{"Uri-Host first hides it", "41 01 97 b2 ef 31 78 81 64", true, GET, 'x'},
		{"token of 9", "49 02 12 34 01 02 03 04 05 06 07 08 09 b1 66", true, POST, 'f'},
		{"empty", "60 00 12 34", true, Empty, 0},
		{"nothing behind the option header", "40 01 12 34 b1", true, GET, 0},
	} {
		p, ok := Peek(gen.Hex(tt.wire))
		if ok != tt.ok || p.Code != tt.code || p.Char != tt.char {
			t.Errorf("%s: got %v, %+v", tt.name, ok, p)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, tt := range wellFormed {
		f.Add(gen.Hex(tt.wire))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		m, err := Parse(wire)
		if err != nil {
			var format *FormatError
			if !errors.As(err, &format) || format.Offset < 0 || format.Offset > len(wire) {
				t.Fatalf("got %v", err)
			}
			return
		}
		got := m.Append(nil)
		again, err := Parse(got)
		if err != nil || !bytes.Equal(again.Append(nil), got) {
			t.Fatalf("%x became %x, error %v", wire, got, err)
		}
		// An option header may be written in a longer form than needed? It may
		// not: deltas and lengths have one form each, so bytes are identical.
		if !bytes.Equal(got, wire) {
			t.Fatalf("got %x, want %x", got, wire)
		}
		_ = m.String()
		Peek(wire)
	})
}
