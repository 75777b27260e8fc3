package pdc

import (
	"fmt"
	"testing"

	fixtures "github.com/muster/muster/fixtures/pdc"
	"github.com/muster/muster/protocol/coap"
)

// TestKindsAreTheCatalogue compares the table with the catalogue of the
// protocol reference, row by row.
func TestKindsAreTheCatalogue(t *testing.T) {
	rows := fixtures.Catalogue()
	if len(rows) != len(Kinds()) {
		t.Fatalf("%d kinds, want %d", len(Kinds()), len(rows))
	}
	for i, k := range Kinds() {
		want := rows[i]
		if k.Number() != want.Number || k.String() != want.Name {
			t.Errorf("got %d %v, want %d %s", k.Number(), k, want.Number, want.Name)
		}
		r := kinds[k]
		chars := r.chars
		if chars == "" {
			chars = "–"
		}
		for _, column := range []struct{ name, got, want string }{
			{"direction", direction(k), want.Dir},
			{"type", r.typ.String(), want.Type},
			{"code", codeText(r.code), want.Code},
			{"path", chars, want.Chars},
		} {
			if column.got != column.want {
				t.Errorf("%v: %s: got %q, want %q", k, column.name, column.got, column.want)
			}
		}
		if got, want := [2]uint8{r.tokenMin, r.tokenMax}, tokenRange(t, want.Token); got != want {
			t.Errorf("%v: token of %v bytes, want %v", k, got, want)
		}
		checkVersions(t, k, want.Versions)
	}
}

func direction(k Kind) string {
	switch {
	case k == KindPresence:
		return "D→multicast"
	case k.From() == Device:
		return "D→C"
	case k.From() == Cloud:
		return "C→D"
	}
	return "both"
}

func codeText(c coap.Code) string {
	switch c {
	case coap.GET:
		return "GET"
	case coap.POST:
		return "POST"
	case coap.PUT:
		return "PUT"
	default:
	}
	return fmt.Sprintf("%d.%02d", c>>5, c&31)
}

func tokenRange(t *testing.T, text string) [2]uint8 {
	t.Helper()
	ranges := map[string][2]uint8{
		"0": {0, 0}, "1": {1, 1}, "any": {0, 8}, "as request": {0, 8}, "1–8": {1, 8}, "0 (≤3.2), 1": {0, 1},
	}
	r, ok := ranges[text]
	if !ok {
		t.Fatalf("token %q", text)
	}
	return r
}

// checkVersions asks about devices on both sides of every bound.
func checkVersions(t *testing.T, k Kind, text string) {
	t.Helper()
	rules := map[string]func(d Dialect) bool{
		"all":     func(Dialect) bool { return true },
		"≥1.2":    func(d Dialect) bool { return d.System >= 1200 },
		"≥2.0":    func(d Dialect) bool { return d.System >= 2000 },
		"≥3.3":    func(d Dialect) bool { return d.System >= 3300 },
		"≥4.1":    func(d Dialect) bool { return d.System >= 4100 },
		"≤0.7":    func(d Dialect) bool { return d.System < 300 && !d.OTA3 },
		"0.8–1.5": func(d Dialect) bool { return d.System >= 300 && d.System < 2000 },
		"legacy":  func(d Dialect) bool { return !d.OTA3 },
		"v3":      func(d Dialect) bool { return d.OTA3 },
		"ledger": func(d Dialect) bool {
			return d.System >= 5800 && d.System < 6000 || d.System >= 6100
		},
	}
	spoken, ok := rules[text]
	if !ok {
		t.Fatalf("versions %q", text)
	}
	for _, v := range SystemVersions() {
		for _, p := range []Platform{Photon, Boron} {
			if d := NewDialect(v.Module, p); k.SpokenBy(d) != spoken(d) {
				t.Errorf("%v: SpokenBy %s on %v: got %v", k, v.Release, p, k.SpokenBy(d))
			}
		}
	}
}

// TestTablesAreFull finds a kind without a name or without a parser, and a type
// rule without words.
func TestTablesAreFull(t *testing.T) {
	names := map[string]Kind{}
	for k := range numKinds {
		if kinds[k].name == "" {
			t.Errorf("kind %d has no name", k)
		}
		if other, ok := names[k.String()]; ok {
			t.Errorf("%d and %d are both %q", k, other, k)
		}
		names[k.String()] = k
		wantParser := k != KindInvalid && k != KindResponse && k != KindUnknown
		if (parsers[k] != nil) != wantParser {
			t.Errorf("%v: parser %v, want %v", k, parsers[k] != nil, wantParser)
		}
	}
	for r := range numTypeRules {
		if r.String() == "" {
			t.Errorf("type rule %d has no words", r)
		}
	}
}

func TestClassifyIsStrict(t *testing.T) {
	for _, test := range []struct {
		name       string
		wire       []byte
		fromDevice bool
		want       Kind
	}{
		{"unknown path", []byte{0x40, 2, 0, 1, 0xb1, 'Z'}, true, KindUnknown},
		{"host before path", []byte{0x41, 1, 0, 1, 7, 0x31, 'x', 0x81, 'd'}, false, KindUnknown},
		{"long path", []byte{0x40, 2, 0, 1, 0xb2, 'h', 'h'}, true, KindUnknown},
		{"hello of the cloud", []byte{0x50, 2, 0, 1, 0xb1, 'h'}, false, KindServerHello},
		{"NON function call", []byte{0x51, 2, 0, 1, 7, 0xb1, 'f', 1, 'x', 0x40}, false, KindUnknown},
		{"request in an ACK", []byte{0x61, 2, 0, 1, 7, 0xb1, 'f'}, false, KindInvalid},
		{"NON empty", []byte{0x50, 0, 0, 1}, true, KindInvalid},
		{"RST of the device", []byte{0x70, 0, 0, 1}, true, KindRejection},
		{"RST of the cloud", []byte{0x70, 0, 0, 1}, false, KindSessionReset},
		{"separate 2.05 of the cloud", []byte{0x41, 0x45, 0, 1, 7}, false, KindResponse},
		{"variable of the device", []byte{0x61, 0x45, 0, 1, 7}, true, KindResponse},
		{"update done of the device", []byte{0x40, 3, 0, 1, 0xb1, 'u'}, true, KindDeviceUpdateDone},
		{"DELETE", []byte{0x40, 4, 0, 1, 0xb1, 'd'}, false, KindUnknown},
		{"no options", []byte{0x40, 1, 0, 1}, false, KindUnknown},
	} {
		if got := Classify(mustParse(t, test.wire), test.fromDevice); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

func TestClassifyResponse(t *testing.T) {
	m := func(t coap.Type, c coap.Code) coap.Message { return coap.Message{Type: t, Code: c} }
	for _, test := range []struct {
		request Kind
		m       coap.Message
		want    Kind
	}{
		{KindDescribeRequest, m(coap.Confirmable, coap.Content), KindDescribeResponse},
		{KindDescribeRequest, m(coap.Acknowledgement, coap.NotFound), KindDescribeError},
		{KindUpdateBegin, m(coap.Acknowledgement, coap.ServiceUnavailable), KindUpdateBeginRefusal},
		{KindUpdateBegin, m(coap.Confirmable, coap.Changed), KindUpdateReady},
		{KindFunctionCall, m(coap.Acknowledgement, coap.Empty), KindAcknowledgement},
		{KindUpdateChunk, m(coap.Reset, coap.Empty), KindRejection},
		{KindHello, m(coap.Reset, coap.Empty), KindSessionReset},
		{KindHello, m(coap.Acknowledgement, coap.Changed), KindUnknown},
		{KindLedgerRequest, m(coap.Acknowledgement, coap.Continue), KindLedgerResponse},
		{KindFunctionCall, m(coap.Confirmable, coap.POST), KindUnknown},
	} {
		if got := ClassifyResponse(test.request, test.m); got != test.want {
			t.Errorf("%v answered by %v: got %v, want %v", test.request, test.m, got, test.want)
		}
	}
}

func BenchmarkClassify(b *testing.B) {
	m := mustParse(b, vector(b, "publish/6.2").Bytes)
	b.ReportAllocs()
	for b.Loop() {
		if Classify(m, true) != KindPublish {
			b.Fatal("not a publish")
		}
	}
}

func BenchmarkDispatchOnDevice(b *testing.B) {
	wire := vector(b, "function-call/brew").Bytes
	b.ReportAllocs()
	for b.Loop() {
		if DispatchOnDevice(wire) != KindFunctionCall {
			b.Fatal("not a function call")
		}
	}
}
