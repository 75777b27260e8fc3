package pdc

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	fixtures "github.com/muster/muster/fixtures/pdc"
	"github.com/muster/muster/protocol/coap"
)

// speaker returns the dialect of a vector's "udp 6.2.0 boron".
func speaker(t testing.TB, text string) Dialect {
	t.Helper()
	words := strings.Fields(text)
	if len(words) != 3 {
		t.Fatalf("%q is not a transport, a release and a platform", text)
	}
	system, _, err := SystemModule(words[1])
	if err != nil {
		t.Fatal(err)
	}
	p, ok := ParsePlatform(words[2])
	if !ok {
		t.Fatalf("no platform %q", words[2])
	}
	return NewDialect(system, p).Over(words[0] == "udp")
}

// kindNamed returns the kind that String calls name.
func kindNamed(t testing.TB, name string) Kind {
	t.Helper()
	for k := range numKinds {
		if k.String() == name {
			return k
		}
	}
	t.Fatalf("no kind %q", name)
	return 0
}

func vector(t testing.TB, name string) fixtures.Vector {
	t.Helper()
	for _, v := range fixtures.Vectors() {
		if v.Name == name {
			return v
		}
	}
	t.Fatalf("no vector %q", name)
	return fixtures.Vector{}
}

// asError returns the *Error in err, nil when there is none.
func asError(err error) *Error {
	var e *Error
	errors.As(err, &e)
	return e
}

func mustParse(t testing.TB, wire []byte) coap.Message {
	t.Helper()
	m, err := coap.Parse(wire)
	if err != nil {
		t.Fatalf("%x: %v", wire, err)
	}
	return m
}

// isResponse reports whether only the request tells a message's kind.
func isResponse(k Kind) bool { return coap.IsResponse(k.Code()) && k != KindTimeResponse }

// TestVectors reads every vector, compares what it says with expectations that
// were written by hand beside each message's test, and encodes it again.
func TestVectors(t *testing.T) {
	for _, v := range fixtures.Vectors() {
		t.Run(v.Name, func(t *testing.T) {
			k := kindNamed(t, v.Kind)
			m := mustParse(t, v.Bytes)
			if want := k; v.Expect == "value" {
				if isResponse(k) {
					want = KindResponse
				}
				if got := Classify(m, v.From == "device"); got != want {
					t.Fatalf("Classify: got %v, want %v", got, want)
				}
			}
			if k == KindResponse {
				return // which one only a request would tell
			}
			got, err := Parse(k, m)
			if v.Expect != "value" {
				wantRefused(t, v, got, err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want, ok := vectorValues[v.Name]
			if !ok {
				t.Fatalf("nobody says what it means; it reads %#v", got)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %#v, want %#v", got, want)
			}
			if v.Alien {
				return
			}
			wantWire(t, want, speaker(t, v.Speaks), v.Bytes)
		})
	}
}

func wantRefused(t *testing.T, v fixtures.Vector, got Message, err error) {
	t.Helper()
	e := asError(err)
	if e == nil {
		t.Fatalf("got %#v and %v, want an *Error: %s", got, err, v.Expect)
	}
	if rule, _, _ := strings.Cut(v.Expect, " "); e.Rule != rule && e.Rule != "protobuf" {
		t.Errorf("got rule %s (%v), want %s", e.Rule, e, v.Expect)
	}
	if e.Fault() != Either && e.Fault().String() != v.From {
		t.Errorf("fault of the %v, want of the %s", e.Fault(), v.From)
	}
}

func wantWire(t *testing.T, m Message, d Dialect, want []byte) {
	t.Helper()
	encoded := m.Message(d)
	encoded.ID = uint16(want[2])<<8 | uint16(want[3])
	if wire := encoded.Append(nil); string(wire) != string(want) {
		t.Errorf("encoded for %+v:\n got %x\nwant %x", d, wire, want)
	}
}

func TestEveryExpectationHasAVector(t *testing.T) {
	for name := range vectorValues {
		vector(t, name)
	}
}
