package hooks

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"unicode/utf8"
)

// How answers become events.
const (
	pieceSize = 512 // bytes; older devices take no more
	// answerMax bounds what is taken of an answer.
	answerMax = 100 << 10
	// wholeMax bounds an answer that is to be one event: what a device takes.
	wholeMax = 1024
	// SentPrefix, ResponsePrefix and ErrorPrefix begin what hooks say. Events of these
	// names, whoever publishes them, have no hooks: that would never end.
	SentPrefix     = "hook-sent/"
	ResponsePrefix = "hook-response/"
	ErrorPrefix    = "hook-error/"
)

// A Reply is an event that a call leads to.
type Reply struct {
	Name string
	Data string
}

// sent tells that a request went out. The data is the service's own.
func (c *Call) sent() Reply { return Reply{SentPrefix + c.Name, "undefined"} }

// readAnswer reads what is taken of an answer.
func readAnswer(r *http.Response) ([]byte, error) {
	return io.ReadAll(io.LimitReader(r.Body, answerMax))
}

// replies turns the answer of a server into events.
func (s *Spec) replies(c *Call, product bool, kind string, body []byte) ([]Reply, error) {
	scope := c.scope()
	if parsed, ok := decode(body); ok {
		scope = append(scope, parsed)
	}
	text := string(body)
	switch {
	case s.ResponseTemplate != "":
		var err error
		if text, err = Render(s.ResponseTemplate, scope); err != nil {
			return nil, fmt.Errorf("responseTemplate: %w", err)
		}
	case s.DataURL:
		text = "data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(body)
	}
	topic, err := s.topic(s.ResponseTopic, ResponsePrefix, c, product, scope)
	if err != nil {
		return nil, fmt.Errorf("responseTopic: %w", err)
	}
	if s.Unchunked {
		piece, _ := cut(text, wholeMax)
		return []Reply{{topic, piece}}, nil
	}
	return pieces(topic, text), nil
}

// failure turns a reason into events.
func (s *Spec) failure(c *Call, product bool, why string) []Reply {
	topic, err := s.topic(s.ErrorResponseTopic, ErrorPrefix, c, product, c.scope())
	if err != nil {
		topic = ErrorPrefix + c.Name
	}
	if s.Unchunked {
		piece, _ := cut(why, wholeMax)
		return []Reply{{topic, piece}}
	}
	return pieces(topic, why)
}

// topic is the name of replies: what the hook says, or the default, which tells the
// devices of a product apart.
func (s *Spec) topic(template, prefix string, c *Call, product bool, scope Scope) (string, error) {
	if template != "" {
		return Render(template, scope)
	}
	if product {
		return c.Core + "/" + prefix + c.Name, nil
	}
	return prefix + c.Name, nil
}

// pieces cuts text so that devices can take it: topic/0, topic/1 and so on. Nothing
// is no event.
func pieces(topic, text string) []Reply {
	if len(text) > answerMax {
		text = text[:answerMax]
	}
	var list []Reply
	for n := 0; text != ""; n++ {
		var piece string
		piece, text = cut(text, pieceSize)
		list = append(list, Reply{topic + "/" + strconv.Itoa(n), piece})
	}
	return list
}

// cut cuts text so that the first part has at most n bytes, between characters if
// it is UTF-8.
func cut(text string, n int) (piece, rest string) {
	if len(text) <= n {
		return text, ""
	}
	at := n
	for at > n-utf8.UTFMax && !utf8.RuneStart(text[at]) {
		at--
	}
	if !utf8.RuneStart(text[at]) {
		at = n
	}
	return text[:at], text[at:]
}
