package hooks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A Spec is what somebody wants called. All its text is templates.
type Spec struct {
	Name        string `json:"name,omitempty"`
	URL         string `json:"url"`
	RequestType string `json:"requestType"` // GET, POST, PUT or DELETE

	// At most one of Body, JSON and Form is set. JSON is an object, or a string that
	// becomes JSON when it is rendered.
	Body  string            `json:"body,omitempty"`
	JSON  json.RawMessage   `json:"json,omitempty"`
	Form  map[string]string `json:"form,omitempty"`
	Query map[string]string `json:"query,omitempty"`

	Auth    *Auth             `json:"auth,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`

	ResponseTopic      string `json:"responseTopic,omitempty"`
	ErrorResponseTopic string `json:"errorResponseTopic,omitempty"`
	ResponseTemplate   string `json:"responseTemplate,omitempty"`

	NoDefaults bool `json:"noDefaults"`
	// AnyCertificate takes any certificate of the server: rejectUnauthorized is its
	// contrary.
	AnyCertificate bool `json:"anyCertificate,omitempty"`
	Unchunked      bool `json:"unchunked,omitempty"`
	// DataURL makes the answer a data URL, so that it may be binary.
	DataURL bool `json:"dataUrlResponseEvent,omitempty"`
}

// Auth is HTTP Basic.
type Auth struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// A SpecError says what is wrong with a Spec, to who made it.
type SpecError struct{ What string }

func (e *SpecError) Error() string { return e.What }

func wrong(format string, args ...any) error { return &SpecError{fmt.Sprintf(format, args...)} }

// Limits of a Spec.
const (
	urlMax    = 8 << 10 // bytes
	fieldsMax = 256     // of form, query and headers each
)

// Check completes a Spec and says what is wrong with it: an error is a *SpecError.
func (s *Spec) Check() error {
	if s.RequestType == "" {
		s.RequestType = http.MethodPost
	}
	s.RequestType = strings.ToUpper(s.RequestType)
	bodies := 0
	for _, set := range []bool{s.Body != "", len(s.JSON) > 0, len(s.Form) > 0} {
		if set {
			bodies++
		}
	}
	switch {
	case !slices.Contains([]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete}, s.RequestType):
		return wrong("requestType must be GET, POST, PUT or DELETE")
	case s.URL == "":
		return wrong("url is required")
	case len(s.URL) > urlMax:
		return wrong("url has at most %d bytes", urlMax)
	case bodies > 1:
		return wrong("give only one of body, json and form")
	case len(s.Form) > fieldsMax || len(s.Query) > fieldsMax || len(s.Headers) > fieldsMax:
		return wrong("form, query and headers have at most %d fields each", fieldsMax)
	}
	if err := s.checkTemplates(); err != nil {
		return err
	}
	// What is no template is checked now, the rest when it is called.
	if !strings.Contains(s.URL, "{{") {
		if _, err := parseURL(s.URL); err != nil {
			return wrong("url: %v", err)
		}
	}
	if text, ok := s.jsonText(); !ok && len(s.JSON) > 0 && s.JSON[0] != '{' {
		return wrong("json must be an object, or text that becomes one")
	} else if ok && text == "" {
		return wrong("json is empty")
	}
	return nil
}

func (s *Spec) checkTemplates() error {
	all := []string{s.URL, s.Body, string(s.JSON), s.ResponseTopic, s.ErrorResponseTopic, s.ResponseTemplate}
	for _, fields := range []map[string]string{s.Form, s.Query, s.Headers} {
		for name, value := range fields {
			all = append(all, name, value)
		}
	}
	for _, t := range all {
		if _, err := Render(t, nil); err != nil {
			return wrong("%v", err)
		}
	}
	return nil
}

// jsonText returns the template of a JSON body that is given as text.
func (s *Spec) jsonText() (string, bool) {
	var text string
	if len(s.JSON) == 0 || s.JSON[0] != '"' || json.Unmarshal(s.JSON, &text) != nil {
		return "", false
	}
	return text, true
}

func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("it cannot be read")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("it must begin with http:// or https://")
	case u.Hostname() == "":
		return nil, fmt.Errorf("it names no host")
	}
	return u, nil
}

// encode is JSON in which < and & stand for themselves.
func encode(value any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		panic(fmt.Sprintf("hooks: encoding %T: %v", value, err)) // it was decoded from JSON
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// decode reads JSON as a Scope wants it, and reports whether it is any.
func decode(raw []byte) (value any, ok bool) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&value) != nil || d.More() {
		return nil, false
	}
	return value, true
}
