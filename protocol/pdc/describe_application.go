package pdc

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// An ApplicationDescribe lists what the application registered, in the order of
// registration (PDC-3.4).
type ApplicationDescribe struct {
	Functions []string
	Variables []VariableInfo
}

// A VariableInfo is the name and type of a variable.
type VariableInfo struct {
	Name string
	Type VariableType
}

// Append appends {"f":[...],"v":{...}} to b.
//
// Device OS: names are not escaped.
func (a ApplicationDescribe) Append(b []byte) []byte {
	return append(a.appendMembers(append(b, '{')), '}')
}

func (a ApplicationDescribe) appendMembers(b []byte) []byte {
	b = append(b, `"f":[`...)
	for i, name := range a.Functions {
		b = appendMember(b, i, name)
	}
	b = append(b, `],"v":{`...)
	for i, v := range a.Variables {
		b = append(appendMember(b, i, v.Name), ':')
		b = strconv.AppendUint(b, uint64(v.Type), 10)
	}
	return append(b, '}')
}

func appendMember(b []byte, i int, name string) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	return append(append(append(b, '"'), name...), '"')
}

// ParseApplicationDescribe reads an application describe, or the application
// part of a combined one (see [ParseSystemDescribeJSON] for the other).
func ParseApplicationDescribe(payload []byte) (ApplicationDescribe, error) {
	var v struct {
		F []string        `json:"f"`
		V json.RawMessage `json:"v"`
	}
	if err := json.Unmarshal(payload, &v); err != nil {
		return ApplicationDescribe{}, faultf(KindDescribeResponse, "PDC-3.4", "application describe: %v", err)
	}
	a := ApplicationDescribe{Functions: v.F}
	if len(v.V) == 0 {
		return a, nil
	}
	// A map would lose the order of registration.
	d := json.NewDecoder(bytes.NewReader(v.V))
	if t, _ := d.Token(); t != json.Delim('{') {
		return a, fault(KindDescribeResponse, "PDC-3.4", "variables are not an object")
	}
	for d.More() {
		name, _ := d.Token()
		var typ uint8
		if err := d.Decode(&typ); err != nil {
			return a, faultf(KindDescribeResponse, "PDC-3.4", "type of a variable: %v", err)
		}
		a.Variables = append(a.Variables, VariableInfo{Name: name.(string), Type: VariableType(typ)})
	}
	return a, nil
}

// A DescribeEncoding is how a describe is written.
type DescribeEncoding uint8

// The encodings.
const (
	DescribeJSON     DescribeEncoding = iota // application; system up to 5.4
	DescribeProtobuf                         // system since 5.5
	DescribeBinary                           // metrics
)

// EncodingOf returns the encoding of a describe: protobuf if Content-Format 42
// says so, else by its first byte (PDC-3.6, C-21).
func EncodingOf(protobuf bool, payload []byte) (DescribeEncoding, error) {
	switch {
	case protobuf:
		return DescribeProtobuf, nil
	case len(payload) > 0 && payload[0] == '{':
		return DescribeJSON, nil
	case len(payload) > 0 && payload[0] == 0:
		return DescribeBinary, nil
	}
	return 0, fault(KindDescribeResponse, "C-21", "a describe that is neither JSON, protobuf nor metrics")
}
