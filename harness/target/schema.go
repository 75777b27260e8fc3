package target

import (
	"bytes"
	_ "embed" // the schema
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// Schema is the JSON schema of target files, for editors.
//
//go:embed target.schema.json
var Schema []byte

// ReadYAML reads a YAML document into out, and holds it against a JSON schema before.
// An error says all that is wrong, each with its line.
func ReadYAML(text, schema []byte, out any) error {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(doc.Content) == 0 {
		return errors.New("it is empty")
	}
	root := doc.Content[0]
	daysAreText(root)
	var plain any
	if err := root.Decode(&plain); err != nil { // a key that is there twice, for one
		return errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if problems := violations(compile(schema), root, plain); len(problems) > 0 {
		return errors.New(strings.Join(problems, "\n  "))
	}
	return root.Decode(out)
}

// daysAreText keeps days as they are written: JSON has none.
func daysAreText(n *yaml.Node) {
	if n.Tag == "!!timestamp" {
		n.Tag = "!!str"
	}
	for _, c := range n.Content {
		daysAreText(c)
	}
}

// compile reads a schema that is built in.
func compile(schema []byte) *jsonschema.Schema {
	const url = "muster.schema.json"
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	c := jsonschema.NewCompiler()
	if err == nil {
		err = c.AddResource(url, doc)
	}
	if err != nil {
		panic("target: a schema that is built in: " + err.Error())
	}
	return c.MustCompile(url)
}

// violations returns what in a document is against a schema.
func violations(schema *jsonschema.Schema, root *yaml.Node, plain any) []string {
	// The validator knows what JSON has.
	b, err := json.Marshal(plain)
	if err != nil {
		return []string{"a key is no text: " + err.Error()}
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return []string{err.Error()}
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(schema.Validate(doc), &invalid) {
		return nil
	}
	var problems []string
	for _, leaf := range causes(invalid) {
		at := lookUp(root, leaf.InstanceLocation)
		text := leaf.Error()
		if _, rest, ok := strings.Cut(text, "': "); ok {
			text = rest // without the address in the schema
		}
		line := fmt.Sprintf("line %d: %s: %s", at.Line, strings.Join(leaf.InstanceLocation, "."), text)
		if len(leaf.InstanceLocation) == 0 {
			line = fmt.Sprintf("line %d: %s", at.Line, text)
		}
		if !slices.Contains(problems, line) {
			problems = append(problems, line)
		}
	}
	return problems
}

// causes returns the errors that have no other cause.
func causes(e *jsonschema.ValidationError) []*jsonschema.ValidationError {
	if len(e.Causes) == 0 {
		return []*jsonschema.ValidationError{e}
	}
	var all []*jsonschema.ValidationError
	for _, c := range e.Causes {
		all = append(all, causes(c)...)
	}
	return all
}

// lookUp returns the node at a path, or the last one on the way that is there.
func lookUp(n *yaml.Node, path []string) *yaml.Node {
	for _, token := range path {
		next := child(n, token)
		if next == nil {
			break
		}
		n = next
	}
	return n
}

func child(n *yaml.Node, token string) *yaml.Node {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == token {
				return n.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(token); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i]
		}
	default: // has no children
	}
	return nil
}
