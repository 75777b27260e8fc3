package hooks

import (
	"errors"
	"strings"
	"testing"
)

func TestRender(t *testing.T) {
	event, _ := decode([]byte(`{"temp":21.50,"on":true,"off":false,"zero":0,"none":null,"empty":"","list":[{"n":"a"},{"n":"b"}],
		"a":[{"b":"deep"}],"html":"<a href=\"x\">'&'</a>","o":{"k":[1,2]},"names":["x","y"]}`))
	scope := Scope{event, map[string]any{"NAME": "temperature"}}
	for template, want := range map[string]string{
		"":                                      "",
		"plain":                                 "plain",
		"{{temp}}":                              "21.50",
		"{{ temp }}":                            "21.50",
		"{{on}} {{off}}":                        "true false",
		"[{{none}}{{absent}}]":                  "[]",
		"{{html}}":                              "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;",
		"{{{html}}}":                            `<a href="x">'&'</a>`,
		"{{&html}}":                             `<a href="x">'&'</a>`,
		"{{a.0.b}}":                             "deep",
		"{{a.1.b}}{{a.x}}{{temp.x}}{{a.-1.b}}":  "",
		"{{{o}}}":                               `{"k":[1,2]}`,
		"{{#list}}{{n}},{{/list}}":              "a,b,",
		"{{#names}}{{.}};{{/names}}":            "x;y;",
		"{{#on}}yes{{/on}}{{^on}}no{{/on}}":     "yes",
		"{{#off}}yes{{/off}}{{^off}}no{{/off}}": "no",
		"{{^absent}}none{{/absent}}{{#zero}}0{{/zero}}":  "none",
		"{{^empty}}empty{{/empty}}":                      "empty",
		"{{#o}}{{k.1}} {{NAME}}{{/o}}":                   "2 temperature",
		"{{#list}}{{#on}}{{n}}{{/on}}{{temp}} {{/list}}": "a21.50 b21.50 ",
		"{{! a comment }}x{{> partial}}":                 "x",
		"{\"a\":\"{{{temp}}}\"}":                         `{"a":"21.50"}`,
		"{{NAME}}}":                                      "temperature}",
		"{{#list}}{{#list}}{{n}}{{/list}}|{{/list}}":     "ab|ab|",
	} {
		got, err := Render(template, scope)
		if err != nil || got != want {
			t.Errorf("%q becomes %q, %v; want %q", template, got, err, want)
		}
	}
	for _, template := range []string{"{{x", "{{{x}}", "{{#x}}", "{{/x}}", "{{#x}}{{/y}}", "{{#}}{{/}}", strings.Repeat("{{#x}}", 40) + strings.Repeat("{{/x}}", 40)} {
		if got, err := Render(template, scope); !errors.Is(err, errTemplate) {
			t.Errorf("%q becomes %q, %v; want an error", template, got, err)
		}
	}
}

// A few nested lists must not become gigabytes.
func TestRenderIsBounded(t *testing.T) {
	list := "[" + strings.Repeat("1,", 999) + "1]"
	event, _ := decode([]byte(`{"l":` + list + `}`))
	template := strings.Repeat("{{#l}}", 6) + "xxxxxxxxxx" + strings.Repeat("{{/l}}", 6)
	if _, err := Render(template, Scope{event}); !errors.Is(err, errTemplate) {
		t.Errorf("got %v", err)
	}
}

// What repeats what repeats comes to an end, whether it writes anything or not.
func TestRepetitionIsBounded(t *testing.T) {
	value, ok := decode([]byte(`{"a":[` + strings.Repeat("0,", 399) + `0]}`))
	if !ok {
		t.Fatal("no JSON")
	}
	for inside, want := range map[string]string{"": "repeat for too long", "{{b}}": "repeat for too long", strings.Repeat("x", 100): "bytes"} {
		text, err := Render(strings.Repeat("{{#a}}", 30)+inside+strings.Repeat("{{/a}}", 30), Scope{value})
		if !errors.Is(err, errTemplate) || !strings.Contains(err.Error(), want) || len(text) > 2*renderMax {
			t.Errorf("around %q: %d bytes, %v, want %q", inside, len(text), err, want)
		}
	}
}

func FuzzRender(f *testing.F) {
	f.Add("{{#a}}{{b.0}}{{{c}}}{{/a}}{{^d}}x{{/d}}", `{"a":[{"b":[1]}]}`)
	f.Fuzz(func(t *testing.T, template, data string) {
		value, _ := decode([]byte(data))
		text, err := Render(template, Scope{value})
		// A piece is filled in before it is measured; JSON and HTML each escape with six bytes for one at the most.
		if most := renderMax + 36*(len(template)+len(data)); len(text) > most {
			t.Errorf("%d bytes, want %d at the most (%v)", len(text), most, err)
		}
	})
}
