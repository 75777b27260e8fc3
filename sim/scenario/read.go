package scenario

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/muster/muster/sim/workload"
)

// sizeMost bounds a scenario file.
const sizeMost = 1 << 20

// LoadFile reads a scenario file.
func LoadFile(path string) (*Scenario, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	if info.IsDir() || info.Size() > sizeMost {
		return nil, fmt.Errorf("scenario: %s is no scenario: want a YAML file of at most 1 MiB", path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	return Read(path, b)
}

// Read reads a scenario; name stands before problems, as editors open it. The error is
// a [Problems].
func Read(name string, text []byte) (*Scenario, error) {
	r := &reader{file: name, places: make(map[string]place)}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, Problems{r.syntax(err)}
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, Problems{{File: name, Text: "the file is empty: a scenario has name, groups and phases"}}
	}
	s := &Scenario{}
	r.value(doc.Content[0], reflect.ValueOf(s).Elem(), "", field{})
	if r.nodes < nodesMost && len(r.problems) < problemsMost {
		s.check(r.unless(slices.Clone(r.problems)))
	}
	if len(r.problems) > 0 {
		r.problems.inOrder()
		return nil, r.problems
	}
	s.source = string(text)
	return s, nil
}

// A place is where a field is in its file.
type place struct{ line, column int }

// A reader makes a scenario of the nodes of a file.
type reader struct {
	file     string
	places   map[string]place // by field
	problems Problems
	depth    int
	nodes    int // read so far
}

// problem notes what is wrong with a field.
func (r *reader) problem(path, format string, args ...any) {
	at, known := r.places[path]
	for up := path; !known && up != ""; at, known = r.places[up] { // one that is not there
		up = up[:max(strings.LastIndexAny(up, ".["), 0)]
	}
	r.at(at, path, format, args...)
}

// unless returns r.problem for what makes no sense together, where nothing that could
// be its cause is wrong already: a field that could not be read is as if it were not
// there.
func (r *reader) unless(told Problems) problemFunc {
	return func(path, format string, args ...any) {
		if !slices.ContainsFunc(told, func(p Problem) bool { return within(path, p.Field) || within(p.Field, path) }) {
			r.problem(path, format, args...)
		}
	}
}

// within reports whether a field is another one, or inside it.
func within(field, outer string) bool {
	rest, is := strings.CutPrefix(field, outer)
	return is && (rest == "" || outer == "" || rest[0] == '.' || rest[0] == '[')
}

func (r *reader) at(at place, path, format string, args ...any) {
	r.problems = append(r.problems, Problem{File: r.file, Line: at.line, Column: at.column, Field: path, Text: fmt.Sprintf(format, args...)})
}

func placeOf(n *yaml.Node) place { return place{n.Line, n.Column} }

var syntaxLine = regexp.MustCompile(`line (\d+): (.*)`)

// syntax makes a problem of an error of the YAML package.
func (r *reader) syntax(err error) Problem {
	p := Problem{File: r.file, Text: strings.TrimPrefix(err.Error(), "yaml: ")}
	var errs *yaml.TypeError
	if errors.As(err, &errs) && len(errs.Errors) > 0 {
		p.Text = errs.Errors[0]
	}
	if m := syntaxLine.FindStringSubmatch(p.Text); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		p.Column, p.Text = 1, m[2]
	}
	p.Text = "this is no YAML: " + p.Text
	return p
}

// depthMost bounds how deep a file may be, aliases followed.
const depthMost = 32

// full reports whether enough was read: aliases can make a short file endless.
func (r *reader) full() bool {
	if r.nodes++; r.nodes == nodesMost {
		r.at(place{}, "", "this is too much: at most %d values, those of aliases counted each time", nodesMost)
	}
	return r.nodes >= nodesMost || len(r.problems) >= problemsMost
}

// The bounds of a reader.
const (
	nodesMost    = 200_000
	problemsMost = 50
)

// value reads a node into v.
func (r *reader) value(n *yaml.Node, v reflect.Value, path string, f field) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if r.full() {
		return
	}
	if r.depth++; r.depth > depthMost {
		r.at(placeOf(n), path, "this is too deep: an alias may be inside itself")
		r.depth--
		return
	}
	defer func() { r.depth-- }()
	if _, known := r.places[path]; !known {
		r.places[path] = placeOf(n)
	}
	switch v.Type() {
	case typeDuration:
		if d, ok := r.scalar(n, path, "duration"); ok {
			v.SetInt(int64(d * 1e9))
		}
		return
	case typeSpread:
		v.Set(reflect.ValueOf(r.spread(n, path, f)))
		return
	case typeKind:
		if name, ok := r.name(n, path, f.oneof); ok {
			v.SetUint(uint64(kindOf(name)))
		}
		return
	case typeLoad:
		if n.Kind == yaml.ScalarNode {
			share, _ := r.scalar(n, path, "share")
			v.Set(reflect.ValueOf(Load{share, share}))
			return
		}
	case typeThreshold:
		if n.Kind == yaml.ScalarNode {
			v.Field(0).SetString(n.Value)
			r.places[path+".expr"] = placeOf(n)
			return
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		r.value(n, v.Elem(), path, f)
	case reflect.Struct:
		r.mapping(n, v, path)
	case reflect.Slice:
		r.list(n, v, path, f)
	default:
		r.simple(n, v, path, f)
	}
}

// simple reads a string, a number or a boolean.
func (r *reader) simple(n *yaml.Node, v reflect.Value, path string, f field) {
	switch v.Kind() {
	case reflect.String:
		if len(f.oneof) > 0 {
			if name, ok := r.name(n, path, f.oneof); ok {
				v.SetString(name)
			}
			return
		}
		if n.Kind != yaml.ScalarNode {
			r.at(placeOf(n), path, "want a text, not %s", kindName(n))
			return
		}
		v.SetString(n.Value)
	case reflect.Bool:
		b, err := strconv.ParseBool(n.Value)
		if n.Kind != yaml.ScalarNode || err != nil {
			r.at(placeOf(n), path, "want true or false, not %s", shown(n))
			return
		}
		v.SetBool(b)
	case reflect.Int, reflect.Uint64:
		r.integer(n, v, path, f)
	case reflect.Float64:
		x, ok := r.scalar(n, path, f.unit)
		if ok && r.within(x, f, n, path) {
			v.SetFloat(x)
		}
	default:
		panic("scenario: a field of a type that files cannot have: " + path)
	}
}

func (r *reader) integer(n *yaml.Node, v reflect.Value, path string, f field) {
	if v.Kind() == reflect.Uint64 {
		x, err := strconv.ParseUint(n.Value, 0, 64)
		if n.Kind != yaml.ScalarNode || err != nil {
			r.at(placeOf(n), path, "want a whole number from 0, not %s", shown(n))
			return
		}
		v.SetUint(x)
		return
	}
	x, ok := r.scalar(n, path, f.unit)
	switch {
	case !ok:
	case x != float64(int64(x)) || x > 1e9:
		r.at(placeOf(n), path, "want a whole number up to 1000000000, not %s", shown(n))
	case r.within(x, f, n, path):
		v.SetInt(int64(x))
	}
}

// within reports whether a number is in the range of its field.
func (r *reader) within(x float64, f field, n *yaml.Node, path string) bool {
	least, most := 0.0, 1.0
	if f.least != "" {
		least, _ = number(f.least)
	}
	if f.most != "" {
		most, _ = number(f.most) // none: 0
	} else if f.unit != "share" {
		most = 0
	}
	switch {
	case x < least:
		r.at(placeOf(n), path, "%s is too little: want at least %g", n.Value, least)
	case most > 0 && x > most && f.unit == "share":
		r.at(placeOf(n), path, "%s is too much: want at most 100%%", n.Value)
	case most > 0 && x > most:
		r.at(placeOf(n), path, "%s is too much: want at most %g", n.Value, most)
	default:
		return true
	}
	return false
}

// scalar reads a number of a unit.
func (r *reader) scalar(n *yaml.Node, path, name string) (float64, bool) {
	u := units[name]
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.ScalarNode {
		if v, ok := u.parse(n.Value); ok {
			return v, true
		}
	}
	hint := ""
	if _, bare := number(n.Value); bare && name == "duration" {
		hint = ": it has no unit"
	}
	r.at(placeOf(n), path, "want %s, not %s%s", u.allowed, shown(n), hint)
	return 0, false
}

// name reads one of some names.
func (r *reader) name(n *yaml.Node, path string, names []string) (string, bool) {
	if n.Kind == yaml.ScalarNode && slices.Contains(names, n.Value) {
		return n.Value, true
	}
	r.at(placeOf(n), path, "%s is not possible here: %s", shown(n), meant(n.Value, names))
	return "", false
}

// list reads a list; one value stands for a list of one.
func (r *reader) list(n *yaml.Node, v reflect.Value, path string, f field) {
	items := n.Content
	if n.Kind != yaml.SequenceNode {
		items = []*yaml.Node{n}
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		r.value(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i), f)
	}
}

// mapping reads a struct.
func (r *reader) mapping(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		r.at(placeOf(n), path, "want fields (%s), not %s", strings.Join(namesOf(fields(v.Type())), ", "), shown(n))
		return
	}
	known := fields(v.Type())
	seen := make(map[string]bool)
	r.entries(n, v, path, known, seen)
	for _, f := range known {
		switch {
		case seen[f.name]:
		case f.need:
			r.at(placeOf(n), join(path, f.name), "is missing: %s", f.doc)
		case f.def != "":
			r.value(nodeOf(f.def), v.Field(f.index), join(path, f.name), f)
		}
	}
}

// entries reads the fields of a mapping, and those that it merges with <<.
func (r *reader) entries(n *yaml.Node, v reflect.Value, path string, known []field, seen map[string]bool) {
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Tag == "!!merge" {
			merged = append(merged, value)
			continue
		}
		name := key.Value
		at := slices.IndexFunc(known, func(f field) bool { return f.name == name })
		switch {
		case strings.HasPrefix(name, "x-"): // a place for anchors
		case at < 0:
			r.at(placeOf(key), join(path, name), "there is no such field: %s", meant(name, namesOf(known)))
		case !seen[name]:
			seen[name] = true
			r.places[join(path, name)] = placeOf(value)
			r.value(value, v.Field(known[at].index), join(path, name), known[at])
		}
	}
	for _, m := range merged {
		if m.Kind == yaml.AliasNode {
			m = m.Alias
		}
		if m.Kind != yaml.MappingNode || r.depth > depthMost {
			r.at(placeOf(m), path, "<< takes an alias of fields")
			continue
		}
		r.depth++
		r.entries(m, v, path, known, seen)
		r.depth--
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// nodeOf makes the node of a default.
func nodeOf(text string) *yaml.Node {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		panic("scenario: default " + text + ": " + err.Error()) // ours
	}
	return doc.Content[0]
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "fields"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "nothing"
	}
}

// shown quotes a node for people, shortened.
func shown(n *yaml.Node) string {
	const most = 40
	switch {
	case n.Kind != yaml.ScalarNode:
		return kindName(n)
	case n.Value == "":
		return "nothing"
	case len(n.Value) > most:
		return strconv.Quote(n.Value[:most]) + "…"
	}
	return strconv.Quote(n.Value)
}

// kindOf returns the kind of distribution of a name, which is known.
func kindOf(name string) workload.Kind {
	return workload.Kind(slices.Index(kindNames, name))
}
