package hooks

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/cloudref/store"
)

var testCall = Call{
	ID: "3f2a", Name: "temp/kitchen", Data: []byte(`{"t":21,"unit":"°C & <F>"}`), Text: `{"t":21,"unit":"°C & <F>"}`,
	Published: time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC), Core: "e00fce680000000000000001",
	Owner: store.AccountID{0xa1}, Product: 1000, Version: 7,
}

// Every kind of request, as the server sees it.
func TestRequests(t *testing.T) {
	const defaults = `coreid=e00fce680000000000000001&data=%7B%22t%22%3A21%2C%22unit%22%3A%22%C2%B0C+%26+%3CF%3E%22%7D&event=temp%2Fkitchen&published_at=2026-01-02T03%3A04%3A05.678Z`
	for name, test := range map[string]struct {
		spec             string
		method, url      string
		kind, body, want string // want: in the headers
	}{
		"plain":          {`{"url":"http://h/x"}`, "POST", "http://h/x", kindForm, defaults, "User-Agent: ParticleBot/1.1 (https://docs.particle.io/webhooks)"},
		"plain get":      {`{"url":"http://h/x?a=b","requestType":"get"}`, "GET", "http://h/x?a=b&" + defaults, "", "", ""},
		"no defaults":    {`{"url":"http://h/x","noDefaults":true}`, "POST", "http://h/x", "", "", ""},
		"query":          {`{"url":"http://h/{{t}}","query":{"u":"{{{unit}}}","event":"mine"},"requestType":"GET","noDefaults":true}`, "GET", "http://h/21?event=mine&u=%C2%B0C+%26+%3CF%3E", "", "", ""},
		"query on a put": {`{"url":"http://h/","query":{"u":"{{PRODUCT_ID}}"},"requestType":"PUT","noDefaults":true,"body":"{{{PARTICLE_EVENT_VALUE}}}"}`, "PUT", "http://h/?u=1000", kindText, `{"t":21,"unit":"°C & <F>"}`, ""},
		"form":           {`{"url":"http://h/","form":{"v{{PRODUCT_VERSION}}":"{{t}}"},"noDefaults":true}`, "POST", "http://h/", kindForm, "v7=21", ""},
		"form and all":   {`{"url":"http://h/","form":{"data":"{{t}}"}}`, "POST", "http://h/", kindForm, "coreid=e00fce680000000000000001&data=21&event=temp%2Fkitchen&published_at=2026-01-02T03%3A04%3A05.678Z", ""},
		"json": {
			`{"url":"http://h/","json":{"a":"{{{t}}}","{{PARTICLE_EVENT_NAME}}":[1,"{{PARTICLE_DEVICE_ID}}"],"data":null},"noDefaults":true}`, "POST", "http://h/", kindJSON,
			`{"a":"21","data":null,"temp/kitchen":[1,"e00fce680000000000000001"]}`, "Accept: application/json",
		},
		"json and all": {
			`{"url":"http://h/","json":{"data":5}}`, "POST", "http://h/", kindJSON,
			`{"coreid":"e00fce680000000000000001","data":5,"event":"temp/kitchen","published_at":"2026-01-02T03:04:05.678Z"}`, "",
		},
		"json text": {`{"url":"http://h/","json":"{\"t\":{{{t}}},\"v\":{{{PARTICLE_EVENT_JSON}}}}","noDefaults":true}`, "POST", "http://h/", kindJSON, `{"t":21,"v":{"t":21,"unit":"°C & <F>"}}`, ""},
		"body":      {`{"url":"http://h/","body":"{{t}} {{unit}} {{SPARK_EVENT_NAME}} {{PRODUCT_USER_ID}}"}`, "POST", "http://h/", kindText, "21 °C &amp; &lt;F&gt; temp/kitchen a10000000000000000000000", ""},
		"delete":    {`{"url":"http://h/","requestType":"DELETE","noDefaults":true}`, "DELETE", "http://h/", "", "", ""},
		"headers": {
			`{"url":"http://h/","headers":{"User-Agent":"me","X-{{t}}":"a\nb {{PARTICLE_EVENT_ID}}","Content-Type":"text/csv"},"body":"x"}`, "POST", "http://h/", "text/csv", "x",
			"User-Agent: me\nX-21: a b 3f2a",
		},
		"auth": {`{"url":"http://h/","auth":{"username":"u{{t}}","password":"p"},"noDefaults":true}`, "POST", "http://h/", "", "", "Authorization: Basic dTIxOnA="},
	} {
		t.Run(name, func(t *testing.T) {
			var s Spec
			if err := json.Unmarshal([]byte(test.spec), &s); err != nil {
				t.Fatal(err)
			}
			if err := s.Check(); err != nil {
				t.Fatal(err)
			}
			r, err := s.request(t.Context(), &testCall)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(r.Body)
			if r.Method != test.method || r.URL.String() != test.url || string(body) != test.body || r.Header.Get("Content-Type") != test.kind {
				t.Errorf("got  %s %s %q\n%s\nwant %s %s %q\n%s", r.Method, r.URL, r.Header.Get("Content-Type"), body, test.method, test.url, test.kind, test.body)
			}
			for line := range strings.Lines(test.want) {
				header, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
				if r.Header.Get(header) != value {
					t.Errorf("%s is %q, want %q", header, r.Header.Get(header), value)
				}
			}
		})
	}
}

func TestBadSpecs(t *testing.T) {
	for spec, want := range map[string]string{
		`{}`:                  "url is required",
		`{"url":"ftp://h/"}`:  "url: it must begin with http:// or https://",
		`{"url":"http:///x"}`: "url: it names no host",
		`{"url":"http://h/","requestType":"PATCH"}`:     "requestType must be GET, POST, PUT or DELETE",
		`{"url":"http://h/","body":"x","json":{"a":1}}`: "give only one of body, json and form",
		`{"url":"http://h/","json":5}`:                  "json must be an object, or text that becomes one",
		`{"url":"http://h/{{#a}}"}`:                     "template: {{#a}} has no end",
		`{"url":"http://h/","headers":{"a":"{{"}}`:      "template: {{ has no end",
	} {
		var s Spec
		if err := json.Unmarshal([]byte(spec), &s); err != nil {
			t.Fatal(err)
		}
		if err := s.Check(); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", spec, err, want)
		}
	}
	// What only an event shows.
	s := Spec{URL: "{{where}}", RequestType: http.MethodGet}
	if _, err := s.request(t.Context(), &testCall); err == nil {
		t.Error("a URL that becomes nothing is taken")
	}
	s = Spec{URL: "http://h/", RequestType: http.MethodPost, JSON: json.RawMessage(`"{\"a\":{{{unit}}}}"`)}
	if _, err := s.request(t.Context(), &testCall); err == nil {
		t.Error("a JSON template that becomes no JSON is taken")
	}
}

func TestReplies(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 40) // 640 bytes
	for name, test := range map[string]struct {
		spec    Spec
		product bool
		body    string
		want    []Reply
	}{
		"nothing":   {Spec{}, false, "", nil},
		"short":     {Spec{}, false, "ok", []Reply{{"hook-response/temp/kitchen/0", "ok"}}},
		"long":      {Spec{}, false, long, []Reply{{"hook-response/temp/kitchen/0", long[:512]}, {"hook-response/temp/kitchen/1", long[512:]}}},
		"product":   {Spec{}, true, "ok", []Reply{{"e00fce680000000000000001/hook-response/temp/kitchen/0", "ok"}}},
		"topic":     {Spec{ResponseTopic: "{{PARTICLE_DEVICE_ID}}_{{{id}}}"}, true, `{"id":5}`, []Reply{{"e00fce680000000000000001_5/0", `{"id":5}`}}},
		"template":  {Spec{ResponseTemplate: "{{#main}}{{humidity}}~{{/main}}{{list.1.x}}"}, false, `{"main":{"humidity":80},"list":[{},{"x":"y"}]}`, []Reply{{"hook-response/temp/kitchen/0", "80~y"}}},
		"unchunked": {Spec{Unchunked: true}, false, long, []Reply{{"hook-response/temp/kitchen", long}}},
		"data URL":  {Spec{DataURL: true}, false, "\x00\xff", []Reply{{"hook-response/temp/kitchen/0", "data:image/x;base64,AP8="}}},
	} {
		got, err := test.spec.replies(&testCall, test.product, "image/x", []byte(test.body))
		if err != nil || len(got) != len(test.want) {
			t.Errorf("%s: got %v, %v", name, got, err)
			continue
		}
		for i := range got {
			if got[i] != test.want[i] {
				t.Errorf("%s: got %v, want %v", name, got[i], test.want[i])
			}
		}
	}
	if got := len(pieces("x", strings.Repeat("y", 200<<10))); got != 200 {
		t.Errorf("200 KB become %d pieces, want those of 100 KB", got)
	}
	// Pieces are cut between characters.
	for _, r := range pieces("x", strings.Repeat("€", 400)) {
		if !strings.HasPrefix(r.Data, "€") || len(r.Data) > pieceSize || len(r.Data)%3 != 0 {
			t.Errorf("%q", r.Data)
		}
	}
}

// Thousands of templates, each of which becomes large or takes long, are one request.
func TestRequestsAreBounded(t *testing.T) {
	list := "[" + strings.Repeat("1,", 400) + "1]"
	call := testCall
	call.Data, call.Text = []byte(`{"a":`+list+`}`), `{"a":`+list+`}`
	for name, template := range map[string]string{
		"large": "{{#a}}" + strings.Repeat("x", 1000) + "{{/a}}",
		"long":  "{{#a}}{{#a}}{{nothing}}{{/a}}{{/a}}",
	} {
		t.Run(name, func(t *testing.T) {
			fields := map[string]string{}
			for n := range 500 {
				fields[fmt.Sprint("f", n)] = template
			}
			raw, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			s := Spec{URL: "http://h/", RequestType: "POST", JSON: raw}
			if err := s.Check(); err != nil {
				t.Fatal(err)
			}
			b := builder{spec: &s, call: &call, scope: call.scope()}
			_ = b.json()
			if b.err == nil || b.size > requestMax+renderMax || b.steps > requestSteps+stepsMax+1 {
				t.Errorf("%d bytes in %d steps: %v", b.size, b.steps, b.err)
			}
			if _, err := s.request(t.Context(), &call); err == nil {
				t.Error("the request is made")
			}
		})
	}
}
