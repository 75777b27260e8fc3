package variant

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestBothWays(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                           "a0",
		`{"key":42}`:                   "a1636b6579182a", // as in a request of Device OS
		`{"a":-1,"b":[1,2]}`:           "a2616120616282" + "0102",
		`{"f":2.5}`:                    "a16166fb4004000000000000",
		`{"t":true,"n":null}`:          "a2616ef66174f5",
		`{"s":"°<&"}`:                  "a1617364c2b03c26",
		`{"big":18446744073709551615}`: "a1636269671bffffffffffffffff",
		`{"o":{"p":{"q":[]}}}`:         "a1616fa16170a1617180",
		`{"min":-9223372036854775808}`: "a1636d696e3b7fffffffffffffff",
		`{"whole":1.0}`:                "a16577686f6c65fb3ff0000000000000",
	} {
		got, err := ToCBOR(json.RawMessage(text))
		if err != nil || hex.EncodeToString(got) != want {
			t.Errorf("%s becomes %x, %v; want %s", text, got, err, want)
			continue
		}
		back, err := FromCBOR(got)
		var a, b any
		if err != nil || json.Unmarshal(back, &a) != nil || json.Unmarshal([]byte(text), &b) != nil {
			t.Fatalf("%s: %v", back, err)
		}
		x, _ := json.Marshal(a)
		y, _ := json.Marshal(b)
		if string(x) != string(y) {
			t.Errorf("%s comes back as %s", text, back)
		}
	}
}

func TestFromCBOR(t *testing.T) {
	for input, want := range map[string]string{
		"":                       `{}`,
		"a16162420102":           `{"b":"AQI="}`,
		"a1616ef97e00":           `{"n":null}`, // NaN
		"a16168f93c00":           `{"h":1}`,    // a float of 16 bits
		"bf6161019f02ffff":       "",           // a list as key
		"81":                     "",
		"8101":                   "",
		"a10102":                 "", // a number as key
		"a2616101616102":         "", // a key twice
		"a16161":                 "",
		"a1616102ff":             "", // more behind it
		"a161ff01":               "", // not UTF-8
		"bf61610161629f0203ffff": `{"a":1,"b":[2,3]}`,
	} {
		raw, _ := hex.DecodeString(input)
		got, err := FromCBOR(raw)
		if string(got) != want || (err == nil) != (want != "") {
			t.Errorf("%s becomes %s, %v; want %s", input, got, err, want)
		}
	}
	for _, text := range []string{"", "[]", "null", "5", `{"a":1}{}`, `{"a":`} {
		if _, err := ToCBOR(json.RawMessage(text)); !errors.Is(err, errObject) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := ToCBOR(json.RawMessage(`{"a":1e999}`)); err == nil {
		t.Error("infinity is taken")
	}
}

func FuzzFromCBOR(f *testing.F) {
	f.Add([]byte("\xa1\x63key\x18\x2a"))
	f.Fuzz(func(t *testing.T, data []byte) {
		value, err := FromCBOR(data)
		if err != nil {
			return
		}
		if _, err := ToCBOR(value); err != nil {
			t.Errorf("%x becomes %s, and that nothing: %v", data, value, err)
		}
	})
}

// TestLimits: what is taken can be read back, whatever its depth and size.
func TestLimits(t *testing.T) {
	nested := func(levels int) string {
		return strings.Repeat(`{"a":`, levels) + "1" + strings.Repeat("}", levels)
	}
	list := func(n int) string { return `{"a":[` + strings.Repeat("0,", n-1) + "0]}" }
	for _, test := range []struct {
		data  string
		taken bool
	}{
		{nested(1), true}, {nested(30), true}, {nested(40), false}, {nested(5000), false}, {list(16384), true}, {list(16385), false},
	} {
		b, err := ToCBOR([]byte(test.data))
		if (err == nil) != test.taken {
			t.Errorf("%d bytes, %.20s: %v", len(test.data), test.data, err)
		}
		if err == nil {
			if back, err := FromCBOR(b); err != nil || string(back) != test.data {
				t.Errorf("%.20s: back %.40s, %v", test.data, back, err)
			}
		}
	}
}
