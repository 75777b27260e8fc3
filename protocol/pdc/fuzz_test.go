package pdc

import (
	"reflect"
	"testing"

	fixtures "github.com/muster/muster/fixtures/pdc"
	"github.com/muster/muster/protocol/coap"
)

// dialects are one of every form that messages have.
var dialects = []Dialect{
	NewDialect(21, Photon), NewDialect(207, Electron), NewDialect(1406, Electron), NewDialect(1512, Photon),
	NewDialect(2302, Electron), NewDialect(3103, Photon), NewDialect(3302, Boron), NewDialect(5501, P2),
	NewDialect(6101, Boron), NewDialect(6200, Boron), NewDialect(6200, GCC),
}

// readEverything gives wire to every parser that takes a message.
func readEverything(t *testing.T, wire []byte) {
	t.Helper()
	DispatchOnDevice(wire)
	m, err := coap.Parse(wire)
	if err == nil {
		for k := range numKinds {
			readOne(t, k, m)
		}
		Classify(m, true)
		Classify(m, false)
		readContent(m.Payload)
	}
	if len(wire) < 4 {
		return
	}
	for _, d := range dialects {
		readOnDevice(wire, m, err == nil, d)
	}
}

// readOne parses m as kind k; what could be read means the same after it was
// written for any device that the struct's fields all fit.
func readOne(t *testing.T, k Kind, m coap.Message) {
	t.Helper()
	parsed, err := Parse(k, m)
	if err != nil {
		if e := asError(err); e == nil || e.Reason == "" || e.Rule == "" || e.Error() == "" {
			t.Errorf("%v: %#v", k, err)
		}
		return
	}
	if r, ok := parsed.(TimeResponse); ok && len(r.Token) != 1 {
		t.Fatalf("%+v", r)
	}
	for _, d := range dialects {
		again := parsed.Message(d)
		back, err := Parse(k, again)
		if err != nil {
			t.Errorf("%v: %#v cannot be read back for %+v: %v", k, parsed, d, err)
			continue
		}
		// The second round is stable: what one dialect cannot say is gone, the
		// rest stays.
		if twice := back.Message(d); !reflect.DeepEqual(twice.Append(nil), again.Append(nil)) {
			t.Errorf("%v for %+v: %x became %x", k, d, again.Append(nil), twice.Append(nil))
		}
	}
}

func readContent(b []byte) {
	if s, err := ParseSystemDescribe(b); err == nil {
		s.Missing()
		s.AppendProto(nil)
	}
	if s, err := ParseSystemDescribeJSON(b); err == nil {
		s.AppendJSON(nil)
	}
	if a, err := ParseApplicationDescribe(b); err == nil {
		a.Append(nil)
	}
	if c, err := ParseLedgerCall(b); err == nil {
		c.Append(nil)
	}
	if r, err := ParseLedgerReply(b); err == nil {
		r.Append(nil)
	}
	_, _ = ParseMetrics(b)
	_, _ = ParseUpdateReport(b)
	ParseDiagnostic(b)
	for _, typ := range []VariableType{VariableBool, VariableInt, VariableString, VariableDouble} {
		if v, err := DecodeVariable(typ, b); err == nil {
			v.Append(nil)
		}
	}
	ParseLastReset(string(b))
	Truth(b)
}

func readOnDevice(wire []byte, m coap.Message, parsed bool, d Dialect) {
	_, _, _ = OnDeviceFunctionCall(wire, d)
	_, _ = OnDeviceVariableRequest(wire, d)
	_, _ = OnDeviceEvent(wire, d)
	_, _ = OnDeviceChunk(wire)
	OnDeviceTime(wire)
	OnDeviceSignal(wire)
	OnDeviceKeyChange(wire)
	OnDeviceUpdateBegin(wire)
	if !parsed {
		return
	}
	_, _ = OnDeviceDescribeRequest(wire, m, d)
	_, _ = OnDeviceUpdateStart(m, d)
	_, _ = OnDeviceUpdateChunk(m)
	_, _ = OnDeviceServerMoved(m)
}

// TestCutAtEveryByte gives every vector, cut at every byte, to every parser.
func TestCutAtEveryByte(t *testing.T) {
	for _, v := range fixtures.Vectors() {
		for n := range min(len(v.Bytes), 80) {
			readEverything(t, v.Bytes[:n:n])
		}
		readEverything(t, v.Bytes)
	}
}

func FuzzMessages(f *testing.F) {
	for _, v := range fixtures.Vectors() {
		f.Add(v.Bytes)
	}
	f.Fuzz(func(t *testing.T, wire []byte) { readEverything(t, wire) })
}

// FuzzContent reads what messages carry: describes, ledgers, metrics, reports.
// Protobuf is stable from the first time it is written.
func FuzzContent(f *testing.F) {
	for _, v := range fixtures.Vectors() {
		if m, err := coap.Parse(v.Bytes); err == nil && len(m.Payload) > 0 {
			f.Add(m.Payload)
		}
	}
	f.Add(photonModules().AppendJSON(nil))
	f.Add(AppendCombined(nil, ApplicationDescribe{Functions: []string{"a"}}, photonModules()))
	f.Add(photonModules().AppendProto(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		readContent(b)
		if s, err := ParseSystemDescribe(b); err == nil {
			again, err := ParseSystemDescribe(s.AppendProto(nil))
			if err != nil || string(again.AppendProto(nil)) != string(s.AppendProto(nil)) {
				t.Errorf("describe: %+v became %+v, %v", s, again, err)
			}
		}
		if c, err := ParseLedgerCall(b); err == nil {
			again, err := ParseLedgerCall(c.Append(nil))
			if err != nil || string(again.Append(nil)) != string(c.Append(nil)) {
				t.Errorf("ledger call: %+v became %+v, %v", c, again, err)
			}
		}
		if r, err := ParseLedgerReply(b); err == nil {
			again, err := ParseLedgerReply(r.Append(nil))
			if err != nil || string(again.Append(nil)) != string(r.Append(nil)) {
				t.Errorf("ledger reply: %+v became %+v, %v", r, again, err)
			}
		}
	})
}

func FuzzProbe(f *testing.F) {
	f.Add(NewProbe(ProbeCounter, 4, 7, 0, []byte("ab")).Append(nil))
	f.Add(NewProbe(ProbeTimed, 4, 7, 9, make([]byte, 512)).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseProbe(b)
		if err == nil && string(p.Append(nil)) != string(b) {
			t.Errorf("%x became %x", b, p.Append(nil))
		}
	})
}
