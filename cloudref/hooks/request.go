package hooks

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// userAgent is what the service says of itself.
const userAgent = "ParticleBot/1.1 (https://docs.particle.io/webhooks)"

// request makes the HTTP request of a call.
func (s *Spec) request(ctx context.Context, c *Call) (*http.Request, error) {
	b := builder{spec: s, call: c, scope: c.scope()}
	target := b.url()
	body, kind := b.body()
	headers, user, password := b.fields(s.Headers), "", ""
	if s.Auth != nil {
		user, password = b.render(s.Auth.Username), b.render(s.Auth.Password)
	}
	if b.err != nil {
		return nil, b.err
	}
	r, err := http.NewRequestWithContext(ctx, s.RequestType, target, strings.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("hooks: making a request: %w", err)
	}
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	r.Header.Set("User-Agent", userAgent)
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	if len(s.JSON) > 0 {
		r.Header.Set("Accept", "application/json")
	}
	if s.Auth != nil {
		r.SetBasicAuth(user, password)
	}
	for name, value := range headers {
		if strings.EqualFold(name, "Host") {
			r.Host = value
			continue
		}
		r.Header.Set(name, strings.NewReplacer("\r", " ", "\n", " ").Replace(value))
	}
	return r, nil
}

// A builder renders the parts of a request, and keeps the first error.
type builder struct {
	spec  *Spec
	call  *Call
	scope Scope
	size  int // of what was rendered, in bytes
	steps int // that it took
	err   error
}

// requestMax bounds what all templates of a request become together, in bytes, and
// requestSteps the pieces that are filled in for it: a hook may have thousands of
// templates, and each may become a MiB.
const (
	requestMax   = 4 << 20
	requestSteps = 4 * stepsMax
)

func (b *builder) render(template string) string {
	if b.size > requestMax || b.steps > requestSteps {
		b.note(fmt.Errorf("%w: the request becomes more than %d bytes, or its sections repeat for too long", errTemplate, requestMax))
		return ""
	}
	text, steps, err := render(template, b.scope)
	b.size, b.steps = b.size+len(text), b.steps+steps
	b.note(err)
	return text
}

func (b *builder) note(err error) {
	if b.err == nil {
		b.err = err
	}
}

func (b *builder) fields(templates map[string]string) map[string]string {
	rendered := make(map[string]string, len(templates))
	for name, value := range templates {
		rendered[b.render(name)] = b.render(value)
	}
	return rendered
}

// url is the target with its query. The default fields of a GET are in the query.
func (b *builder) url() string {
	u, err := parseURL(b.render(b.spec.URL))
	if err != nil {
		b.note(fmt.Errorf("url: %w", err))
		return ""
	}
	query := u.Query()
	for name, value := range b.fields(b.spec.Query) {
		query.Set(name, value)
	}
	if b.spec.RequestType == http.MethodGet && !b.spec.NoDefaults {
		for name, value := range b.call.defaults() {
			if !query.Has(name) {
				query.Set(name, show(value))
			}
		}
	}
	if len(query) > 0 && (len(b.spec.Query) > 0 || b.spec.RequestType == http.MethodGet) {
		u.RawQuery = query.Encode()
	}
	return u.String()
}

const (
	kindForm = "application/x-www-form-urlencoded"
	kindJSON = "application/json"
	kindText = "text/plain; charset=utf-8"
)

// body is what a request carries, and its type.
func (b *builder) body() (content, kind string) {
	s := b.spec
	switch {
	case s.Body != "":
		return b.render(s.Body), kindText
	case len(s.JSON) > 0:
		return b.json(), kindJSON
	case len(s.Form) > 0 || s.RequestType != http.MethodGet && !s.NoDefaults:
		form := url.Values{}
		for name, value := range b.fields(s.Form) {
			form.Set(name, value)
		}
		if !s.NoDefaults && s.RequestType != http.MethodGet {
			for name, value := range b.call.defaults() {
				if !form.Has(name) {
					form.Set(name, show(value))
				}
			}
		}
		return form.Encode(), kindForm
	}
	return "", ""
}

// json is a JSON body: a template of text that becomes JSON, or an object whose
// keys and strings are templates.
func (b *builder) json() string {
	text, isText := b.spec.jsonText()
	var value any
	if isText {
		var ok bool
		text = b.render(text)
		if value, ok = decode([]byte(text)); !ok {
			b.note(fmt.Errorf("the json template does not become JSON: %.100s", text))
			return ""
		}
	} else {
		parsed, _ := decode(b.spec.JSON) // it was checked
		value = b.renderValue(parsed)
	}
	object, ok := value.(map[string]any)
	if !ok {
		return string(encode(value))
	}
	if !b.spec.NoDefaults && b.spec.RequestType != http.MethodGet {
		for name, field := range b.call.defaults() {
			if _, there := object[name]; !there {
				object[name] = field
			}
		}
	}
	return string(encode(object))
}

func (b *builder) renderValue(value any) any {
	switch value := value.(type) {
	case string:
		return b.render(value)
	case []any:
		list := make([]any, 0, len(value))
		for _, v := range value {
			list = append(list, b.renderValue(v))
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(value))
		for name, v := range value {
			object[b.render(name)] = b.renderValue(v)
		}
		return object
	}
	return value
}
