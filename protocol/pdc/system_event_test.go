package pdc

import (
	"testing"

	"github.com/muster/muster/fixtures/gen"
)

func TestTruth(t *testing.T) {
	for data, want := range map[string]bool{"": true, "t": true, "tr": true, "true": true, "truey": false, "false": false, "1": false} {
		if got := Truth([]byte(data)); got != want {
			t.Errorf("%q: got %v, want %v", data, got, want)
		}
	}
	if !Truth([]byte(TruthData(true))) || Truth([]byte(TruthData(false))) {
		t.Error("TruthData does not say what Truth reads")
	}
}

func TestIsSystemEvent(t *testing.T) {
	old, later := NewDialect(21, Photon), NewDialect(6200, Boron)
	for _, test := range []struct {
		name       string
		old, later bool
	}{
		{EventSafeMode, true, true},
		{"SPARK/x", true, false},
		{"sparkling", true, true},
		{EventUpdatesForced, false, true},
		{"temp", false, false},
		{"spar", false, false},
	} {
		if got := IsSystemEvent(test.name, old); got != test.old {
			t.Errorf("%s on 0.5: got %v", test.name, got)
		}
		if got := IsSystemEvent(test.name, later); got != test.later {
			t.Errorf("%s on 6.2: got %v", test.name, got)
		}
	}
}

func TestRequested(t *testing.T) {
	for name, want := range map[string]RequestedValue{
		EventName: NameRequested, "particle/device/ip": IPRequested, "spark/device/random": RandomRequested,
		"spark/device/names": NothingRequested, "device/name": NothingRequested,
	} {
		if got := Requested(name); got != want {
			t.Errorf("%s: got %d, want %d", name, got, want)
		}
	}
	if !NeedsData(EventUpdatesPending) || NeedsData(EventReset) {
		t.Error("NeedsData: C-26")
	}
}

func TestLastReset(t *testing.T) {
	if got := LastReset(ResetPanic, "hard_fault"); got != "panic, hard_fault" {
		t.Errorf("got %q", got)
	}
	for r := ResetUnknown; r <= ResetConfigUpdate; r += 10 {
		word := r.String()
		got, detail, ok := ParseLastReset(LastReset(r, "x"))
		if word == "" || word[0] < 'a' || got != r || detail != "x" || !ok {
			t.Errorf("%d is %q: got %d, %q, %v", r, word, got, detail, ok)
		}
	}
	if got, _, ok := ParseLastReset("75"); got != 75 || !ok || got.String() != "75" {
		t.Errorf("75: got %d, %v", got, ok)
	}
	if _, _, ok := ParseLastReset("gremlins"); ok {
		t.Error("gremlins is no reason")
	}
}

func TestReasonsHaveWords(t *testing.T) {
	for r := CloudError; r <= CloudServerMoved; r++ {
		if w := r.String(); w[0] < 'a' {
			t.Errorf("cloud reason %d is %q", r, w)
		}
	}
	for r := NetworkError; r <= NetworkUnknown; r++ {
		if w := r.String(); w[0] < 'a' {
			t.Errorf("network reason %d is %q", r, w)
		}
	}
	if CloudDisconnectReason(99).String() != "99" || ResetReason(0).String() != "0" {
		t.Error("an unknown reason is not its number")
	}
}

// TestHandlersTakeFormats is the type filter of PDC-4.3.
func TestHandlersTakeFormats(t *testing.T) {
	for _, test := range []struct {
		f                        ContentFormat
		text, binary, structured bool
	}{
		{FormatText, true, true, false},
		{FormatJSON, true, true, false},
		{FormatXML, true, true, false},
		{FormatLinkFormat, true, true, false},
		{FormatOctetStream, false, true, false},
		{FormatJPEG, false, true, false},
		{FormatCBOR, false, true, true},
		{FormatStructured, false, true, false},
		{FormatStructured.Delivered(), false, true, true},
	} {
		if HandlerText.Takes(test.f) != test.text || HandlerBinary.Takes(test.f) != test.binary ||
			HandlerStructured.Takes(test.f) != test.structured {
			t.Errorf("%v", test.f)
		}
	}
}

// TestEventFormsPerVersion shows the differences of PDC-4.1, 4.2 and C-25.
func TestEventFormsPerVersion(t *testing.T) {
	event := Publish{Name: "a", Data: []byte{}, TTL: 1 << 17, HasTTL: true, Format: FormatCBOR, HasFormat: true}
	delivery := EventDelivery{Name: "a", Data: []byte{1}, Format: FormatOctetStream, HasFormat: true}
	mine := Subscribe{Filter: "a", Scope: ScopeMyDevices, Type: HandlerBinary}
	for _, test := range []struct {
		name string
		m    Message
		d    Dialect
		want string
	}{
		{"publish/2.3", event, NewDialect(2302, Electron), "40020000b165016133020000ff"},
		{"publish/3.1", event, NewDialect(3103, Electron), "40020000b165016133020000"},
		{"publish/3.1 TCP", event, NewDialect(3103, Photon), "50020000b165016133020000"},
		{"publish/6.2", event, NewDialect(6200, Boron), "40020000b1450161113c2400020000"},
		{"delivery/6.1", delivery, NewDialect(6101, Boron), "40020000b1650161ff01"},
		{"delivery/6.2", delivery, NewDialect(6200, Boron), "40020000b1650161112aff01"},
		{"delivery/TCP", delivery, NewDialect(1512, Photon), "50020000b1650161ff01"},
		{"subscribe/6.1 TCP", mine, NewDialect(6101, GCC), "40010000b16501614175"},
		{"subscribe/6.2 TCP", mine, NewDialect(6200, GCC), "50010000b16501614162"},
		{"subscribe/everything 6.1", Subscribe{}, NewDialect(6101, Boron), "40010000b165"},
		{"subscribe/everything 6.2", Subscribe{}, NewDialect(6200, Boron), "40010000b16500"},
	} {
		if got := test.m.Message(test.d).Append(nil); string(got) != string(gen.Hex(test.want)) {
			t.Errorf("%s: got %x, want %s", test.name, got, test.want)
		}
	}
}

func TestVariables(t *testing.T) {
	for _, test := range []struct {
		vector string
		want   Value
	}{
		{"variable-value/bool", Value{Type: VariableBool}},
		{"variable-value/int", Value{Type: VariableInt, Int: -98765}},
		{"variable-value/string", Value{Type: VariableString, String: "woot"}},
		{"variable-value/double", Value{Type: VariableDouble, Double: -104.858}},
		{"variable-value/6.2", Value{Type: VariableDouble, Double: 21.5}},
		{"variable-value/empty", Value{Type: VariableString}},
	} {
		payload := mustParse(t, vector(t, test.vector).Bytes).Payload
		got, err := DecodeVariable(test.want.Type, payload)
		if err != nil || got != test.want {
			t.Errorf("%s: got %+v, %v, want %+v", test.vector, got, err, test.want)
		}
		if again := test.want.Append(nil); string(again) != string(payload) {
			t.Errorf("%s: got %x, want %x", test.vector, again, payload)
		}
	}
	for typ, n := range map[VariableType]int{VariableBool: 2, VariableInt: 3, VariableDouble: 4, 7: 4} {
		if _, err := DecodeVariable(typ, make([]byte, n)); err == nil {
			t.Errorf("%v from %d bytes: no error", typ, n)
		}
	}
}
