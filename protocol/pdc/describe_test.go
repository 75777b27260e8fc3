package pdc

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/protocol/coap"
)

// TestCapturedDescribes reads the content of every describe that was recorded
// and writes it again.
func TestCapturedDescribes(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range fixtures.Captures() {
		f := newFollower()
		for _, raw := range messages(c) {
			m := mustParse(t, raw.wire)
			parsed, err := Parse(f.kind(m, raw.fromDevice), m)
			if err != nil {
				continue // TestCaptures says which may fail
			}
			switch p := parsed.(type) {
			case DescribePost:
				seen[rewriteDescribe(t, p.Flags, p.Protobuf, p.Payload)] = true
			case DescribeResponse:
				seen[rewriteDescribe(t, 0, p.Protobuf, p.Payload)] = true
			}
		}
	}
	for _, form := range []string{"application", "system", "combined", "protobuf"} {
		if !seen[form] {
			t.Errorf("no %s describe in any capture", form)
		}
	}
}

func rewriteDescribe(t *testing.T, flags DescribeFlags, protobuf bool, payload []byte) (form string) {
	t.Helper()
	encoding, err := EncodingOf(protobuf, payload)
	if err != nil {
		t.Fatalf("%x: %v", payload, err)
	}
	var again []byte
	if encoding == DescribeProtobuf {
		s, err := ParseSystemDescribe(payload)
		if err != nil {
			t.Fatalf("%x: %v", payload, err)
		}
		form, again = "protobuf", s.AppendProto(nil)
	} else {
		a, errA := ParseApplicationDescribe(payload)
		s, errS := ParseSystemDescribeJSON(payload)
		if errA != nil || errS != nil {
			t.Fatalf("%s: %v, %v", payload, errA, errS)
		}
		system := s.HasPlatform
		switch application := bytes.Contains(payload, []byte(`"f":`)); {
		case system && application:
			form, again = "combined", AppendCombined(nil, a, s)
		case system:
			form, again = "system", s.AppendJSON(nil)
		default:
			form, again = "application", a.Append(nil)
		}
	}
	if !bytes.Equal(again, payload) {
		t.Errorf("%s describe:\n got %q\nwant %q", form, again, payload)
	}
	if flags == DescribeApplication && form != "application" {
		t.Errorf("a %s describe was posted as application", form)
	}
	return form
}

func TestApplicationDescribeKeepsOrder(t *testing.T) {
	a := ApplicationDescribe{
		Functions: []string{"z", "a"},
		Variables: []VariableInfo{{"z", VariableDouble}, {"b", VariableBool}, {"a", VariableString}, {"i", VariableInt}},
	}
	want := `{"f":["z","a"],"v":{"z":9,"b":1,"a":4,"i":2}}`
	if got := string(a.Append(nil)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	got, err := ParseApplicationDescribe([]byte(want))
	if err != nil || !reflect.DeepEqual(got, a) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"", "{", `{"v":[]}`, `{"v":{"a":"x"}}`, `{"f":{}}`, `{"v":{"a":300}}`, `[]`} {
		if _, err := ParseApplicationDescribe([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func photonModules() SystemDescribe {
	return SystemDescribe{
		Platform: Photon, HasPlatform: true, IMEI: "1", ICCID: "2", ModemFirmware: "3",
		Modules: []ModuleInfo{
			{
				Function: ModuleBootloader, MaxSize: 16384, Version: 501, Store: StoreMain, Checked: 0x1e, Passed: 0x1e,
			},
			{
				Function: ModuleUserPart, Index: 1, MaxSize: 131072, Version: 6, Checked: 0x1e, Passed: 0x1a,
				Hash:         fill(0xab, 32),
				Dependencies: []ModuleDependency{{ModuleSystemPart, 2, 1406}},
			},
			{MaxSize: 131072, Store: StoreFactory, Checked: 0x1e, Empty: true},
		},
	}
}

func TestSystemDescribeJSON(t *testing.T) {
	want := `{"p":6,"imei":"1","iccid":"2","cellfw":"3","m":[` +
		`{"s":16384,"l":"m","vc":30,"vv":30,"f":"b","n":"0","v":501,"d":[]},` +
		`{"s":131072,"l":"m","vc":30,"vv":26,"u":"` + strings.Repeat("ab", 32) +
		`","f":"u","n":"1","v":6,"d":[{"f":"s","n":"2","v":1406}]},` +
		`{"s":131072,"l":"f","vc":30,"vv":0}]}`
	if got := string(photonModules().AppendJSON(nil)); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	got, err := ParseSystemDescribeJSON([]byte(want))
	if err != nil || !reflect.DeepEqual(got, photonModules()) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{
		"", `{"m":[{}]}`, `{"m":[{"l":"m","f":"x","n":"0"}]}`, `{"m":[{"l":"m","f":"u","n":"x"}]}`,
		`{"m":[{"l":"m","f":"u","n":"1","u":"zz"}]}`, `{"m":[{"l":"m","f":"u","n":"1","d":[{}]}]}`,
	} {
		if _, err := ParseSystemDescribeJSON([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestMissingDependencies(t *testing.T) {
	s := photonModules()
	want := []ModuleDependency{{ModuleSystemPart, 2, 1406}}
	if got := s.Missing(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	system := ModuleInfo{Function: ModuleSystemPart, Index: 2, Version: 1405, Checked: 0x1e, Passed: 0x1e}
	s.Modules = append(s.Modules, system)
	if got := s.Missing(); !reflect.DeepEqual(got, want) {
		t.Errorf("an older version: got %v, want %v", got, want)
	}
	s.Modules[3].Version = 2302
	if got := s.Missing(); got != nil {
		t.Errorf("a newer version: got %v, want none", got)
	}
}

// TestModuleProto reads the worked example of PDC-3.6, which has an explicit
// zero, and writes it without.
func TestModuleProto(t *testing.T) {
	payload := mustParse(t, vector(t, "describe-post/system-module").Bytes).Payload
	body := payload[2:]
	s, err := ParseSystemDescribe(payload)
	if err != nil {
		t.Fatal(err)
	}
	want := SystemDescribe{Modules: []ModuleInfo{{
		Function: ModuleSystemPart, Index: 1, Version: 6200, MaxSize: 688128, Checked: 0x3e, Passed: 0x3e,
	}}}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got %+v, want %+v", s, want)
	}
	short := append([]byte{0x0a, byte(len(body) - 2)}, bytes.Replace(body, []byte{0x20, 0}, nil, 1)...)
	if got := s.AppendProto(nil); !bytes.Equal(got, short) {
		t.Errorf("got %x, want %x", got, short)
	}
}

func TestSystemDescribeProtoRoundTrip(t *testing.T) {
	asset := AssetInfo{Hash: fill(1, 32), Name: "cat.txt", Size: 5, StorageSize: 6}
	want := SystemDescribe{
		IMEI: "1", ICCID: "2", ModemFirmware: "3", ProtectedState: true, EnvVarsHash: fill(9, 32),
		Assets: []AssetInfo{asset},
		Modules: []ModuleInfo{{
			Function: ModuleUserPart, Index: 1, Version: 6, Store: StoreScratchpad, MaxSize: 7, Size: 8,
			Checked: 0x7e, Passed: 0x7e, Hash: fill(2, 32),
			Dependencies: []ModuleDependency{{ModuleSystemPart, 1, 6200}},
			Assets:       []AssetInfo{asset},
			Security:     &ModuleSecurity{Mode: 1, Fingerprint: fill(3, 32)},
		}},
	}
	wire := want.AppendProto(nil)
	got, err := ParseSystemDescribe(append(wire, 0xba, 0x06, 1, 0)) // field 103, of a later version
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"08", "0a05", "0a020a00" + "ff", "0a020d00", "3a21" + strings.Repeat("00", 33), "0d00000000"} {
		if got, err := ParseSystemDescribe(gen.Hex(bad)); err == nil {
			t.Errorf("%s: no error: %+v", bad, got)
		}
	}
}

func TestMetrics(t *testing.T) {
	m := mustParse(t, vector(t, "describe-response/metrics").Bytes)
	want := []Metric{
		{MetricUptime, 12345, false}, {MetricFreeMemory, 76000, false}, {MetricRSSI, -210, true},
	}
	got, err := ParseMetrics(m.Payload)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if again := AppendMetrics(nil, want); !bytes.Equal(again, m.Payload) {
		t.Errorf("got %x, want %x", again, m.Payload)
	}
	user := []Metric{{MetricUser + 500, -1, false}, {MetricUser, 2, false}}
	if got, err := ParseMetrics(AppendMetrics(nil, user)); err != nil || !reflect.DeepEqual(got, user) {
		t.Errorf("user metrics: got %v, %v", got, err)
	}
	for n := range m.Payload[:metricsHeader] {
		if _, err := ParseMetrics(m.Payload[:n]); err == nil {
			t.Errorf("cut at %d: no error", n)
		}
	}
	if _, err := ParseMetrics(m.Payload[:len(m.Payload)-1]); err == nil {
		t.Error("last entry cut: no error")
	}
}

// TestOnDeviceDescribeRequest is N-14 and N-15.
func TestOnDeviceDescribeRequest(t *testing.T) {
	boron := NewDialect(6200, Boron)
	for _, test := range []struct {
		name   string
		d      Dialect
		wire   string
		want   DescribeFlags
		answer coap.Code
		then   Reaction
	}{
		{"0.5 without query", NewDialect(21, Photon), "410197b228b164", 3, 0, 0},
		{"2.3 system", NewDialect(2302, Electron), "410120025ab1644101", 1, 0, 0},
		{"2.3 flags above 7", NewDialect(2302, Electron), "410120025ab1644108", 3, 0, 0},
		{"3.3 both", NewDialect(3302, Boron), "410120025ab1644103", 3, 0, 0},
		{"6.2 application", boron, "410120025ab1644102", 2, 0, 0},
		{"6.2 both", boron, "410120025ab1644103", 3, 0, Disconnect},
		{"6.2 none", boron, "410120025ab1644100", 0, 0, Disconnect},
		{"no query", boron, "410120025ab164", 0, coap.BadRequest, 0},
		{"NON", boron, "510120025ab1644102", 0, coap.BadRequest, 0},
		{"two bytes of token", boron, "420120025a5bb1644102", 0, coap.BadRequest, 0},
		{"size exponent 4", boron, "410120045cb16441028114", 0, coap.BadOption, 0},
		{"size exponent 5, own is 6", boron, "410120045cb16441028115", 0, coap.BadOption, 0},
		{"size exponent 5, own is 5", NewDialect(3302, Photon), "410120045cb16441028115", 2, 0, 0},
		{"size exponent 6", boron, "410120045cb16441028116", 2, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			wire := gen.Hex(test.wire)
			r, err := OnDeviceDescribeRequest(wire, mustParse(t, wire), test.d)
			e := asError(err)
			if test.answer == 0 && test.then == Refuse {
				if err != nil || r.Flags != test.want {
					t.Errorf("got %+v, %v, want flags %d", r, err, test.want)
				}
				return
			}
			if e == nil || e.Answer != test.answer || e.Reaction != test.then {
				t.Errorf("got %+v, %v, want answer %v and %v", r, err, test.answer, test.then)
			}
		})
	}
}
