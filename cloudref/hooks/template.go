package hooks

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// renderMax bounds what a template becomes, in bytes: sections repeat.
const renderMax = 1 << 20

// sectionsMax bounds how deep sections nest.
const sectionsMax = 32

// stepsMax bounds how many pieces are filled in: a few sections of one list in one
// another repeat for as long as anybody likes, and need not write a byte.
const stepsMax = 1 << 17

// A Scope is where a template looks names up: the innermost value last. Values are
// those of encoding/json with UseNumber: map[string]any, []any, string, json.Number,
// bool and nil.
type Scope []any

// errTemplate says that a template is no template.
var errTemplate = errors.New("template")

// Render fills in a Mustache template. {{x}} escapes for HTML as the service's
// engine does, {{{x}}} and {{&x}} do not; {{#x}}…{{/x}} repeats for each element of
// a list, or shows its inside once for anything that is not false, empty or absent;
// {{^x}}…{{/x}} is the contrary; {{!…}} is a comment. Names go into objects and lists
// with dots: a.0.b. A name that is unknown is the empty string. An object or a list
// shows as JSON.
//
// Partials and other delimiters do not exist here: there is nothing to include.
func Render(template string, scope Scope) (string, error) {
	text, _, err := render(template, scope)
	return text, err
}

// render is Render, and says how many steps it took.
func render(template string, scope Scope) (text string, steps int, err error) {
	nodes, rest, err := parseTemplate(template, "", 0)
	if err != nil {
		return "", 0, err
	}
	if rest != "" {
		return "", 0, fmt.Errorf("%w: {{/…}} closes nothing", errTemplate)
	}
	var r renderer
	err = r.nodes(nodes, scope)
	return r.String(), r.steps, err
}

// A node is a piece of a template.
type node struct {
	kind   byte // 0 text, '=' escaped, '&' not, '#', '^'
	text   string
	inside []node
}

// parseTemplate reads up to the end of section, "" for the whole template. It
// returns what follows.
func parseTemplate(t, section string, depth int) (nodes []node, rest string, err error) {
	if depth > sectionsMax {
		return nil, "", fmt.Errorf("%w: more than %d sections in one another", errTemplate, sectionsMax)
	}
	for {
		text, after, found := strings.Cut(t, "{{")
		if text != "" {
			nodes = append(nodes, node{text: text})
		}
		if !found {
			if section != "" {
				return nil, "", fmt.Errorf("%w: {{#%s}} has no end", errTemplate, section)
			}
			return nodes, "", nil
		}
		end, closing := "}}", byte('=')
		if strings.HasPrefix(after, "{") {
			after, end, closing = after[1:], "}}}", '&'
		}
		tag, after, found := strings.Cut(after, end)
		if !found {
			return nil, "", fmt.Errorf("%w: {{%.20s has no end", errTemplate, tag)
		}
		t = after
		tag = strings.TrimSpace(tag)
		kind := closing
		if tag != "" && kind == '=' && strings.ContainsRune("#^/&!>", rune(tag[0])) {
			kind, tag = tag[0], strings.TrimSpace(tag[1:])
		}
		switch kind {
		case '!', '>':
		case '/':
			if tag != section || section == "" {
				return nil, "", fmt.Errorf("%w: {{/%s}} where {{#%s}} is open", errTemplate, tag, section)
			}
			return nodes, t, nil
		case '#', '^':
			n := node{kind: kind, text: tag}
			if tag == "" {
				return nil, "", fmt.Errorf("%w: a section without a name", errTemplate)
			}
			if n.inside, t, err = parseTemplate(t, tag, depth+1); err != nil {
				return nil, "", err
			}
			nodes = append(nodes, n)
		default:
			nodes = append(nodes, node{kind: kind, text: tag})
		}
	}
}

// A renderer collects what a template becomes, and counts what it took.
type renderer struct {
	strings.Builder
	steps int
}

func (b *renderer) nodes(nodes []node, scope Scope) error {
	for i := range nodes {
		n := &nodes[i]
		switch n.kind {
		case 0:
			b.WriteString(n.text)
		case '=':
			b.WriteString(escape.Replace(show(scope.find(n.text))))
		case '&':
			b.WriteString(show(scope.find(n.text)))
		default:
			if err := b.section(n, scope); err != nil {
				return err
			}
		}
		if err := b.step(); err != nil {
			return err
		}
	}
	return nil
}

// step counts a piece or a repetition that is done.
func (b *renderer) step() error {
	b.steps++
	switch {
	case b.Len() > renderMax:
		return fmt.Errorf("%w: it becomes more than %d bytes", errTemplate, renderMax)
	case b.steps > stepsMax:
		return fmt.Errorf("%w: its sections repeat for too long; repeat fewer of them in one another", errTemplate)
	}
	return nil
}

func (b *renderer) section(n *node, scope Scope) error {
	value := scope.find(n.text)
	list, isList := value.([]any)
	shown := truth(value)
	switch {
	case n.kind == '^' && shown, n.kind == '#' && !shown:
		return nil
	case n.kind == '^', !isList:
		return b.nodes(n.inside, append(scope[:len(scope):len(scope)], value))
	}
	for _, element := range list {
		if err := b.nodes(n.inside, append(scope[:len(scope):len(scope)], element)); err != nil {
			return err
		}
		if err := b.step(); err != nil {
			return err
		}
	}
	return nil
}

// escape is what the service's engine (Hogan) does.
var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&#39;", `"`, "&quot;")

// find looks a name up, from the inside out.
func (s Scope) find(name string) any {
	if name == "." {
		if len(s) == 0 {
			return nil
		}
		return s[len(s)-1]
	}
	parts := strings.Split(name, ".")
	for i := len(s) - 1; i >= 0; i-- {
		if value, there := member(s[i], parts[0]); there {
			for _, part := range parts[1:] {
				value, _ = member(value, part)
			}
			return value
		}
	}
	return nil
}

func member(value any, name string) (any, bool) {
	switch value := value.(type) {
	case map[string]any:
		v, there := value[name]
		return v, there
	case []any:
		i, err := strconv.Atoi(name)
		if err != nil || i < 0 || i >= len(value) {
			return nil, false
		}
		return value[i], true
	}
	return nil, false
}

// truth is what a section takes for true.
func truth(value any) bool {
	switch value := value.(type) {
	case nil:
		return false
	case bool:
		return value
	case string:
		return value != ""
	case json.Number:
		f, err := value.Float64()
		return err != nil || f != 0
	case []any:
		return len(value) > 0
	}
	return true
}

// show is a value as text.
func show(value any) string {
	switch value := value.(type) {
	case nil:
		return ""
	case string:
		return value
	case json.Number:
		return value.String()
	case bool:
		return strconv.FormatBool(value)
	}
	return string(encode(value))
}
