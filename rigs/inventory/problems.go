package inventory

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"go.yaml.in/yaml/v3"
)

// A problem is something wrong with a rigs.yaml, and where.
type problem struct {
	line int
	at   string // as boards.boron-1.usb; empty for the whole file
	text string
}

func (p problem) String() string {
	if p.at == "" {
		return fmt.Sprintf("line %d: %s", p.line, p.text)
	}
	return fmt.Sprintf("line %d: %s: %s", p.line, p.at, p.text)
}

// problemsOf says what the schema finds wrong, each with its line, from the top of
// the file to its end.
func problemsOf(root *yaml.Node, invalid *jsonschema.ValidationError) (texts []string) {
	var all []problem
	for _, leaf := range leaves(invalid) {
		at := root
		if _, isName := leaf.ErrorKind.(*kind.PropertyNames); isName {
			leaf.InstanceLocation = []string{"boards"} // the library says another; only boards have names
		}
		for _, token := range leaf.InstanceLocation {
			if next := value(at, token); next != nil {
				at = next
			}
		}
		all = append(all, explain(at, leaf)...)
	}
	slices.SortStableFunc(all, func(a, b problem) int { return a.line - b.line })
	for _, p := range all {
		if text := p.String(); !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return texts
}

// leaves returns the errors that have no other cause.
func leaves(e *jsonschema.ValidationError) []*jsonschema.ValidationError {
	_, isName := e.ErrorKind.(*kind.PropertyNames)
	if len(e.Causes) == 0 || isName {
		return []*jsonschema.ValidationError{e}
	}
	var all []*jsonschema.ValidationError
	for _, c := range e.Causes {
		all = append(all, leaves(c)...)
	}
	return all
}

const (
	wantName   = `a name has letters, digits, ".", "_" and "-", at most 63, and begins with a letter or digit`
	wantSerial = `it needs a "serial", a "usb" path, or both: "muster rig scan" shows them`
)

// wants say what a value must be, by the last word of where it is.
var wants = map[string]string{
	"usb":       `want a USB path, as 1-1.4 ("muster rig scan" shows it): names under /dev change`,
	"device_os": `want a release, as 6.2.0`,
	"pool":      wantName,
	"hold":      `want a time, as 200ms or 3s`,
	"off":       `want a time, as 200ms or 3s`,
}

// explain says what is wrong at a place, and what is wanted.
func explain(at *yaml.Node, e *jsonschema.ValidationError) []problem {
	where := strings.Join(e.InstanceLocation, ".")
	last := ""
	if n := len(e.InstanceLocation); n > 0 {
		last = e.InstanceLocation[n-1]
	}
	one := func(text string) []problem { return []problem{{at.Line, where, text}} }
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		var all []problem
		for _, name := range k.Properties {
			all = append(all, problem{lineOf(at, name), where, fmt.Sprintf("there is no %q here: there is %s", name, settings(e.SchemaURL))})
		}
		return all
	case *kind.PropertyNames:
		return []problem{{lineOf(at, k.Property), where, fmt.Sprintf("%q is no name: %s", k.Property, wantName)}}
	case *kind.Required:
		if slices.ContainsFunc(k.Missing, func(s string) bool { return s == "serial" || s == "usb" }) {
			return one(wantSerial)
		}
		if len(k.Missing) == 1 && k.Missing[0] == "version" {
			return one(`the file must begin with "version: 1"`)
		}
		return one("it lacks " + strings.Join(k.Missing, " and "))
	case *kind.Pattern:
		if want := wants[last]; want != "" {
			return one(fmt.Sprintf("%q: %s", k.Got, want))
		}
	case *kind.Type:
		if text := mistyped(k, last, len(e.InstanceLocation)); text != "" {
			return one(text)
		}
	}
	text := e.Error()
	if _, rest, ok := strings.Cut(text, "': "); ok { // without the addresses of the schema
		text = rest
	}
	return one(text)
}

// mistyped explains the wrong kinds of value that people write.
func mistyped(k *kind.Type, last string, depth int) string {
	isBoard := depth == 2
	switch {
	case isBoard && k.Got == "null":
		return wantSerial
	case isBoard && k.Got == "string":
		return `want settings, as {serial: "e00fce…"}`
	case slices.Contains(k.Want, "string") && k.Got == "number":
		if want := wants[last]; want != "" {
			return want
		}
		return `want text: put the number in quotes, as "12"`
	case slices.Contains(k.Want, "array") && k.Got == "string":
		return `want a program and its arguments, as [relay, "off", "3"]: there is no shell`
	}
	return ""
}

// lineOf is the line of a key of a mapping.
func lineOf(n *yaml.Node, key string) int {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i].Line
		}
	}
	return n.Line
}

// settings lists what may be at a place of the schema.
func settings(url string) string {
	var at any
	if err := json.Unmarshal(Schema, &at); err != nil {
		panic(err) // it was compiled
	}
	_, fragment, _ := strings.Cut(url, "#/")
	for _, token := range strings.Split(fragment, "/") {
		if m, ok := at.(map[string]any); ok && m[token] != nil {
			at = m[token]
		}
	}
	m, _ := at.(map[string]any)
	properties, _ := m["properties"].(map[string]any)
	return strings.Join(slices.Sorted(maps.Keys(properties)), ", ")
}
