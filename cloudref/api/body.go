package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// partsMax bounds the parts of an upload.
const partsMax = 32

// A body is what a request carries, whether as JSON, as a form or in parts:
// names with strings, numbers, booleans, lists or further bodies.
type body map[string]any

// A file is a part of an upload that is a file. It may have no name.
type file struct {
	field, name string
	data        []byte
}

// base is the name of a file without folders: clients may send a whole path, of
// whichever system they run on.
func (f *file) base() string { return f.name[strings.LastIndexAny(f.name, `/\\`)+1:] }

// read reads the body of a request, of any of the three types that clients send.
func (s *Server) read(q *request) (err error) {
	if q.Body == nil || q.Body == http.NoBody {
		return nil
	}
	control := http.NewResponseController(q.w)
	// Not every ResponseWriter has deadlines: those of tests do not.
	_ = control.SetReadDeadline(time.Now().Add(s.c.ReadTimeout))
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()

	kind, params, _ := mime.ParseMediaType(q.Header.Get("Content-Type"))
	if kind == "multipart/form-data" {
		return s.readParts(q, params["boundary"])
	}
	raw, err := io.ReadAll(http.MaxBytesReader(q.w, q.Body, s.c.BodyMax))
	if err != nil {
		return badBody(err)
	}
	switch trimmed := strings.TrimSpace(string(raw)); {
	case trimmed == "":
		return nil
	case kind == "application/json", strings.HasSuffix(kind, "+json"), kind == "" && trimmed[0] == '{':
		return q.readJSON(trimmed)
	case trimmed[0] == '{':
		// What curl makes of JSON when nobody says what it is.
		return refuse(http.StatusBadRequest, "The body looks like JSON, but its Content-Type is %s. Send Content-Type: application/json.", kind)
	default:
		return q.readForm(trimmed)
	}
}

// badBody explains why a body could not be read.
func badBody(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return refuse(http.StatusRequestEntityTooLarge, "The request is larger than %d bytes.", large.Limit)
	}
	return refuse(http.StatusBadRequest, "The body of the request cannot be read.")
}

func (q *request) readJSON(raw string) error {
	decoder := json.NewDecoder(strings.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil || decoder.More() {
		return refuse(http.StatusBadRequest, "The body of the request is not JSON.")
	}
	switch value := value.(type) {
	case map[string]any:
		q.body = value
	case nil:
	default:
		return refuse(http.StatusBadRequest, "The body of the request is not a JSON object.")
	}
	return nil
}

func (q *request) readForm(raw string) error {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return refuse(http.StatusBadRequest, "The body of the request is not a form.")
	}
	for name, list := range values {
		for _, value := range list {
			q.body.add(name, value)
		}
	}
	return nil
}

// add puts a form field in: a, a[] or a[b].
func (b body) add(name, value string) {
	outer, inner, bracketed := strings.Cut(name, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	switch {
	case !bracketed || !closed:
		if _, there := b[name]; !there {
			b[name] = value
		}
	case inner == "":
		list, _ := b[outer].([]any)
		b[outer] = append(list, value)
	default:
		fields, ok := b[outer].(map[string]any)
		if !ok {
			fields = map[string]any{}
			b[outer] = fields
		}
		fields[inner] = value
	}
}

// readParts reads an upload: its files into memory, at most UploadMax of them.
func (s *Server) readParts(q *request, boundary string) error {
	if boundary == "" {
		return refuse(http.StatusBadRequest, "The multipart body has no boundary.")
	}
	limit := s.c.UploadMax
	if !q.authed {
		limit = s.c.BodyMax // there is nothing to upload
	}
	done, err := s.uploading(q)
	if err != nil {
		return err
	}
	q.after = append(q.after, done)
	q.Body = http.MaxBytesReader(q.w, q.Body, limit)
	parts, err := q.MultipartReader()
	if err != nil {
		return refuse(http.StatusBadRequest, "The body of the request is not multipart.")
	}
	most := partsMax
	if s.c.Faults.UnboundedUploads {
		most = 1 << 30
	}
	for range most {
		part, err := parts.NextPart()
		if err == io.EOF { //nolint:errorlint // a wrapped EOF is an upload that was cut short
			return nil
		}
		if err != nil {
			return badBody(err)
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return badBody(err)
		}
		if isFile(part) {
			q.files = append(q.files, file{part.FormName(), part.FileName(), data})
		} else {
			q.body.add(part.FormName(), string(data))
		}
	}
	return refuse(http.StatusBadRequest, "The multipart body has more than %d parts.", partsMax)
}

// uploading takes a place among the uploads.
func (s *Server) uploading(q *request) (done func(), err error) {
	if q.token != nil {
		return s.loads.acquire(q.Context(), q.account)
	}
	// The token may be one of the parts. Strangers can hold up each other, but nobody
	// else.
	if err := acquire(q.Context(), s.strangers); err != nil {
		return nil, err
	}
	return func() { release(s.strangers) }, nil
}

// fileParts are the names of parts that are files even if they say no file name:
// file, file2 and so on, binary.
var fileParts = regexp.MustCompile(`^(file[0-9]*|binary)$`)

// isFile reports whether a part of an upload is a file.
func isFile(part *multipart.Part) bool {
	return part.FileName() != "" || fileParts.MatchString(part.FormName())
}

// has reports whether a field is there at all.
func (b body) has(name string) bool {
	_, there := b[name]
	return there
}

// text returns a field as text, "" if it is not there. What is not text is told
// as JSON.
func (b body) text(name string) string {
	switch value := b[name].(type) {
	case nil:
		return ""
	case string:
		return value
	case json.Number:
		return value.String()
	case bool:
		return strconv.FormatBool(value)
	default:
		raw, err := json.Marshal(value)
		if err != nil {
			panic(fmt.Sprintf("api: encoding what was decoded: %v", err))
		}
		return string(raw)
	}
}

// flag returns a field as true or false: clients send true, "true", 1 and "1".
func (b body) flag(name string) bool {
	switch b.text(name) {
	case "true", "1":
		return true
	default:
		return false
	}
}

// object returns a field that has fields of its own, empty if it has none.
func (b body) object(name string) body {
	fields, _ := b[name].(map[string]any)
	return fields
}

// list returns a field that is a list, in the form of JSON, of a form (a[]=…) or,
// as some clients send it, of text with commas.
func (b body) list(name string) []string {
	switch value := b[name].(type) {
	case []any:
		var list []string
		for i := range value {
			list = append(list, body{"": value[i]}.text(""))
		}
		return list
	case string:
		if value != "" {
			return strings.Split(value, ",")
		}
	}
	return nil
}
