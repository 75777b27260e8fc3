package pdc

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
)

// moduleJSON is a module object of the system describe (PDC-3.5).
type moduleJSON struct {
	Size         uint32           `json:"s"`
	Store        string           `json:"l"`
	Checked      ModuleChecks     `json:"vc"`
	Passed       ModuleChecks     `json:"vv"`
	Hash         string           `json:"u"`
	Function     *string          `json:"f"`
	Index        string           `json:"n"`
	Version      uint32           `json:"v"`
	Dependencies []dependencyJSON `json:"d"`
}

type dependencyJSON struct {
	Function string `json:"f"`
	Index    string `json:"n"`
	Version  uint32 `json:"v"`
}

// ParseSystemDescribeJSON reads a system describe of Device OS up to 5.4, or
// the system part of a combined one. Members of later versions are passed over.
func ParseSystemDescribeJSON(payload []byte) (SystemDescribe, error) {
	var v struct {
		Platform *Platform    `json:"p"`
		IMEI     string       `json:"imei"`
		ICCID    string       `json:"iccid"`
		Firmware string       `json:"cellfw"`
		Modules  []moduleJSON `json:"m"`
	}
	if err := json.Unmarshal(payload, &v); err != nil {
		return SystemDescribe{}, faultf(KindDescribeResponse, "PDC-3.5", "system describe: %v", err)
	}
	s := SystemDescribe{IMEI: v.IMEI, ICCID: v.ICCID, ModemFirmware: v.Firmware}
	if v.Platform != nil {
		s.Platform, s.HasPlatform = *v.Platform, true
	}
	for _, j := range v.Modules {
		m, err := j.module()
		if err != nil {
			return SystemDescribe{}, err
		}
		s.Modules = append(s.Modules, m)
	}
	return s, nil
}

func (j moduleJSON) module() (ModuleInfo, error) {
	m := ModuleInfo{
		MaxSize: j.Size, Checked: j.Checked, Passed: j.Passed, Version: j.Version, Empty: j.Function == nil,
	}
	store := strings.Index(storeLetters, j.Store)
	if len(j.Store) != 1 || store < 0 {
		return m, faultf(KindDescribeResponse, "PDC-3.5", "store %q", j.Store)
	}
	m.Store = ModuleStore(store)
	if m.Empty {
		return m, nil
	}
	var err error
	if m.Function, m.Index, err = moduleID(*j.Function, j.Index); err != nil {
		return m, err
	}
	if j.Hash != "" {
		if m.Hash, err = hex.DecodeString(j.Hash); err != nil {
			return m, fault(KindDescribeResponse, "PDC-3.5", "hash is not hexadecimal")
		}
	}
	for _, d := range j.Dependencies {
		f, n, err := moduleID(d.Function, d.Index)
		if err != nil {
			return m, err
		}
		m.Dependencies = append(m.Dependencies, ModuleDependency{f, n, d.Version})
	}
	return m, nil
}

// moduleID reads a function letter and an index, which is text.
func moduleID(letter, index string) (ModuleFunction, uint32, error) {
	f := strings.Index(moduleLetters, letter)
	if len(letter) != 1 || f < 0 || letter == "\x00" {
		return 0, 0, faultf(KindDescribeResponse, "PDC-3.5", "module function %q", letter)
	}
	n, err := strconv.ParseUint(index, 10, 8)
	if err != nil {
		return 0, 0, faultf(KindDescribeResponse, "PDC-3.5", "module index %q", index)
	}
	return ModuleFunction(f), uint32(n), nil
}

// AppendJSON appends the JSON form to b.
func (s SystemDescribe) AppendJSON(b []byte) []byte {
	return append(s.appendMembers(append(b, '{')), '}')
}

// AppendCombined appends what a device up to 5.4 answers to a request for both:
// one object, the application's members first.
func AppendCombined(b []byte, a ApplicationDescribe, s SystemDescribe) []byte {
	b = append(a.appendMembers(append(b, '{')), ',')
	return append(s.appendMembers(b), '}')
}

func (s SystemDescribe) appendMembers(b []byte) []byte {
	b = strconv.AppendUint(append(b, `"p":`...), uint64(s.Platform), 10)
	for _, m := range [...]struct{ name, value string }{
		{"imei", s.IMEI}, {"iccid", s.ICCID}, {"cellfw", s.ModemFirmware},
	} {
		if m.value != "" {
			b = append(b, `,"`+m.name+`":"`+m.value+`"`...)
		}
	}
	b = append(b, `,"m":[`...)
	for i, m := range s.Modules {
		if i > 0 {
			b = append(b, ',')
		}
		b = m.appendJSON(b)
	}
	return append(b, ']')
}

func (m ModuleInfo) appendJSON(b []byte) []byte {
	b = strconv.AppendUint(append(b, `{"s":`...), uint64(m.MaxSize), 10)
	b = append(b, `,"l":"`...)
	b = append(b, storeLetters[m.Store&3], '"')
	b = strconv.AppendUint(append(b, `,"vc":`...), uint64(m.Checked), 10)
	b = strconv.AppendUint(append(b, `,"vv":`...), uint64(m.Passed), 10)
	if m.Empty {
		return append(b, '}')
	}
	if m.Hash != nil {
		b = append(hex.AppendEncode(append(b, `,"u":"`...), m.Hash), '"')
	}
	b = appendModuleID(append(b, ','), m.Function, m.Index, m.Version)
	b = append(b, `,"d":[`...)
	for i, d := range m.Dependencies {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendModuleID(append(b, '{'), d.Function, d.Index, d.Version), '}')
	}
	return append(b, `]}`...)
}

func appendModuleID(b []byte, f ModuleFunction, index, version uint32) []byte {
	b = append(append(b, `"f":"`...), f.letter())
	b = strconv.AppendUint(append(b, `","n":"`...), uint64(index), 10)
	return strconv.AppendUint(append(b, `","v":`...), uint64(version), 10)
}

// letter is the function in JSON, n for one that has none.
func (f ModuleFunction) letter() byte {
	if int(f) < len(moduleLetters) && moduleLetters[f] != 0 {
		return moduleLetters[f]
	}
	return 'n'
}
