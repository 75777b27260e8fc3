package api

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
)

const (
	noToken      = `{"error":"invalid_request","error_description":"The access token was not found"}`
	badToken     = `{"error":"invalid_token","error_description":"The access token provided is invalid."}`
	oldToken     = `{"error":"invalid_token","error_description":"The access token provided has expired."}`
	noDevice     = `{"error":"Permission Denied","info":"I didn't recognize that device name or ID, try GET /v1/devices for a list of yours"}`
	timedOut     = `{"ok":false,"error":"Timed out."}`
	putTimedOut  = `{"ok":false,"code":500,"errors":["Request Timed Out"]}`
	notFound     = `{"ok":false,"error":"Not Found","error_description":"This cloud has no route of this path for %s."}`
	badGrant     = `{"error":"invalid_grant","error_description":"User credentials are invalid"}`
	badClient    = `{"error":"invalid_client","error_description":"Client credentials are invalid"}`
	badGrantType = `{"error":"unsupported_grant_type","error_description":"Invalid or missing grant_type parameter"}`
)

// Every error body of every route.
func TestErrorBodies(t *testing.T) {
	const js = "application/json"
	b := newBench(t, nil)
	for _, test := range []struct {
		method, path, kind, content string
		status                      int
		want                        string
	}{
		{"GET", "/v1/nothing", "", "", 404, fmt.Sprintf(notFound, "GET")},
		{"GET", "/", "", "", 404, fmt.Sprintf(notFound, "GET")},
		{"PATCH", "/v1/devices", "", "", 404, fmt.Sprintf(notFound, "PATCH")},
		{"GET", "/v1/devices/kitchen/a/b", "", "", 404, fmt.Sprintf(notFound, "GET")},

		{"GET", "/v1/devices/" + absent, "", "", 403, noDevice},
		{"GET", "/v1/devices/" + bobs, "", "", 403, noDevice},
		{"GET", "/v1/devices/" + nobodys, "", "", 403, noDevice},
		{"GET", "/v1/devices/bobs", "", "", 403, noDevice},
		{"GET", "/v1/devices/" + bobs + "/temp", "", "", 403, noDevice},
		{"GET", "/v1/devices/" + absent + "/temp", "", "", 403, noDevice},
		{"GET", "/v1/devices/" + bobs + "/events", "", "", 403, noDevice},
		{"GET", "/v1/devices/" + absent + "/events/x", "", "", 403, noDevice},
		{"DELETE", "/v1/devices/" + bobs, js, "{}", 403, noDevice},
		{"DELETE", "/v1/devices/" + absent, js, "{}", 403, noDevice},
		{"PUT", "/v1/devices/" + bobs, js, `{"name":"mine"}`, 400, noDevice},
		{"PUT", "/v1/devices/" + absent, js, `{"name":"mine"}`, 400, noDevice},
		{"PUT", "/v1/devices/" + bobs + "/ping", "", "", 400, noDevice},
		{"POST", "/v1/devices/" + bobs + "/brew", form, "arg=x", 404, noDevice},
		{"POST", "/v1/devices/" + absent + "/brew", form, "arg=x", 404, noDevice},

		{"POST", "/v1/devices/kitchen/nope", form, "arg=x", 404, `{"ok":false,"error":"Function nope not found"}`},
		{"POST", "/v1/devices/cellar%20one/brew", js, `{}`, 400, timedOut},
		{"POST", "/v1/devices/kitchen/burn", js, `{}`, 400, `{"ok":false,"error":"on fire"}`},
		{"POST", "/v1/devices/kitchen/flood", js, `{}`, 429, `{"ok":false,"error":"too many requests wait for this device"}`},
		{"POST", "/v1/devices/kitchen/break", js, `{}`, 500, `{"ok":false,"error":"Internal error"}`},
		{"GET", "/v1/devices/kitchen/NOPE", "", "", 404, `{"ok":false,"error":"Unknown Variable: NOPE"}`},
		{"GET", "/v1/devices/" + cellar + "/temp", "", "", 408, `{"error":"Timed out."}`},
		{"PUT", "/v1/devices/" + cellar, js, `{"signal":"1"}`, 500, putTimedOut},
		{"PUT", "/v1/devices/" + cellar, js, `{"firmware_updates_forced":true}`, 500, putTimedOut},
		{"PUT", "/v1/devices/kitchen", js, `{}`, 400, `{"ok":false,"error":"Nothing to do: give name, notes, signal, firmware_updates_forced or a file."}`},
		{"PUT", "/v1/devices/kitchen", js, `{"name":" "}`, 400, `{"ok":false,"error":"A device name has 1 to 128 characters and no slash."}`},
		{"PUT", "/v1/devices/kitchen", js, `{"app_id":"tinker"}`, 400, `{"ok":false,"error":"This cloud has no apps of its own. Upload a binary in the part \"file\"."}`},

		{"POST", "/v1/devices", js, `{"id":"` + absent + `"}`, 404, `{"ok":false,"errors":["device not found"]}`},
		{"POST", "/v1/devices", js, `{"id":"short"}`, 404, `{"ok":false,"errors":["device not found"]}`},
		{"POST", "/v1/devices", js, `{}`, 404, `{"ok":false,"errors":["device not found"]}`},
		{"POST", "/v1/devices", js, `{"id":"` + bobs + `","request_transfer":false}`, 403, `{"ok":false,"errors":["That belongs to someone else."]}`},

		{"POST", "/v1/devices/events", js, `{"data":"x"}`, 400, `{"ok":false,"error":"An event needs a name."}`},
		{"POST", "/v1/devices/events", js, `{"name":"x","ttl":"soon"}`, 400, `{"ok":false,"error":"ttl is a number of seconds."}`},
		{"POST", "/v1/devices/events", js, `{"name":"spark/device/reset","data":"dfu"}`, 400, `{"ok":false,"error":"Names that begin with spark or particle are reserved."}`},
		{"GET", "/v1/events", "", "", 400, `{"ok":false,"error":"event prefix filter is required"}`},
		{"GET", "/v1/events/", "", "", 400, `{"ok":false,"error":"event prefix filter is required"}`},

		{"POST", "/v1/provisioning/short", form, "publicKey=x", 400, `{"ok":false,"error":"A device id has 24 hexadecimal digits."}`},
		{"POST", "/v1/provisioning/" + absent, form, "publicKey=x", 400, `{"ok":false,"error":"publicKey is not a public key in PEM."}`},

		{"GET", "/v1/products/9", "", "", 404, `{"ok":false,"error":"Permission denied"}`},
		{"GET", "/v1/products/mine/devices", "", "", 404, `{"ok":false,"error":"Permission denied"}`},

		{"POST", "/v1/clients", js, `{"type":"web"}`, 400, `{"ok":false,"error":"A client needs a name."}`},
		{"POST", "/v1/clients", js, `{"name":"x","type":"y"}`, 400, `{"ok":false,"error":"The type of a client is installed or web."}`},
		{"DELETE", "/v1/clients/absent", "", "", 404, `{"ok":false,"error":"Client not found"}`},
		{"PUT", "/v1/clients/absent", js, `{}`, 404, `{"ok":false,"error":"Client not found"}`},

		{"PUT", "/v1/devices/kitchen", js, `{"name":`, 400, `{"ok":false,"error":"The body of the request is not JSON."}`},
		{"PUT", "/v1/devices/kitchen", js, `[1]`, 400, `{"ok":false,"error":"The body of the request is not a JSON object."}`},
		{"PUT", "/v1/devices/kitchen", form, `%zz`, 400, `{"ok":false,"error":"The body of the request is not a form."}`},
		{
			"PUT", "/v1/devices/kitchen", form, `{"name":"bath"}`, 400,
			`{"ok":false,"error":"The body looks like JSON, but its Content-Type is application/x-www-form-urlencoded. Send Content-Type: application/json."}`,
		},
		{"PUT", "/v1/devices/kitchen", "multipart/form-data", `x`, 400, `{"ok":false,"error":"The multipart body has no boundary."}`},
		{"PUT", "/v1/devices/kitchen", "multipart/form-data; boundary=b", `x`, 400, `{"ok":false,"error":"The body of the request cannot be read."}`},

		{"POST", "/v1/users", js, `{"password":"x"}`, 400, `{"ok":false,"errors":["username must be an email address"]}`},
		{"POST", "/v1/users", js, `{"username":"x@example.com"}`, 400, `{"ok":false,"errors":["password is required"]}`},
		{"POST", "/v1/users", js, `{"username":"Alice@example.com","password":"x"}`, 400, `{"ok":false,"errors":["username must be unique"]}`},

		{"POST", "/oauth/token", form, "grant_type=password&client_id=particle&client_secret=wrong", 400, badClient},
		{"POST", "/oauth/token", form, "grant_type=password&client_id=nobody&client_secret=x", 400, badClient},
		{"POST", "/oauth/token", form, "grant_type=password", 400, badClient},
		{"POST", "/oauth/token", form, "grant_type=magic&client_id=particle&client_secret=particle", 400, badGrantType},
		{"POST", "/oauth/token", form, "grant_type=client_credentials&client_id=particle&client_secret=particle", 400, badClient},
		{
			"POST", "/oauth/token", form, "grant_type=password&client_id=particle&client_secret=particle&username=x", 400,
			`{"error":"invalid_request","error_description":"Missing parameters. \"username\" and \"password\" are required"}`,
		},
		{"POST", "/oauth/token", form, "grant_type=password&client_id=particle&client_secret=particle&username=x&password=y", 400, badGrant},
		{"POST", "/oauth/token", form, "grant_type=password&client_id=particle&client_secret=particle&username=alice@example.com&password=y", 400, badGrant},
		{
			"POST", "/oauth/token", form, "grant_type=refresh_token&client_id=particle&client_secret=particle&refresh_token=x", 400,
			`{"error":"invalid_grant","error_description":"Invalid refresh token"}`,
		},
	} {
		t.Run(test.method+" "+test.path+" "+test.content, func(t *testing.T) {
			b.t = t
			b.do(test.method, test.path, b.alice, test.kind, test.content).want(test.status, test.want)
		})
	}
}

// docs/api.md lists every route, and no other.
func TestRoutesAreDocumented(t *testing.T) {
	b := newBench(t, nil)
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Z]+ /[^`]+)`( †)? \\|").FindAllStringSubmatch(string(page), -1) {
		documented[row[1]] = row[2] != ""
	}
	for _, r := range b.server.servedRoutes() {
		if !strings.Contains(r.pattern, " ") {
			continue // answers for what does not exist
		}
		marked, there := documented[r.pattern]
		if !there || marked != (r.access == anyone) {
			t.Errorf("%s: documented %v, as open %v", r.pattern, there, marked)
		}
		delete(documented, r.pattern)
	}
	for pattern := range documented {
		t.Errorf("%s is documented and does not exist", pattern)
	}
}

// Every route that needs a token says the same without one.
func TestEveryRouteNeedsAToken(t *testing.T) {
	b := newBench(t, nil)
	for _, r := range b.server.routes() {
		method, path, found := strings.Cut(r.pattern, " ")
		if r.access == anyone || !found {
			continue
		}
		path = regexp.MustCompile(`\{[a-z.]+\}`).ReplaceAllString(path, "x")
		t.Run(r.pattern, func(t *testing.T) {
			b.t = t
			b.do(method, path, "", "", "").want(http.StatusBadRequest, noToken)
			b.do(method, path, "0123456789012345678901234567890123456789", "", "").want(http.StatusUnauthorized, badToken)
		})
	}
}

// No route ever answers 200 without a body: the JavaScript library cannot read it.
func TestNoEmptyAnswers(t *testing.T) {
	b := newBench(t, nil)
	for _, r := range b.server.routes() {
		method, path, found := strings.Cut(r.pattern, " ")
		if !found || strings.Contains(path, "events") && method == http.MethodGet {
			continue // a stream has no end
		}
		path = strings.NewReplacer("{device}", kitchen, "{rest...}", "temp").Replace(path)
		path = regexp.MustCompile(`\{[a-z.]+\}`).ReplaceAllString(path, "x")
		a := b.do(method, path, b.alice, "application/json", `{}`)
		empty := a.body == ""
		if empty != (a.status == http.StatusNoContent) || a.status >= 500 && a.status != 500 && a.status != http.StatusNotImplemented {
			t.Errorf("%s: %d %q", r.pattern, a.status, a.body)
		}
		if b.alice != "" && method == http.MethodDelete && strings.HasPrefix(path, "/v1/access_tokens") {
			var err error
			if b.alice, err = b.server.IssueToken(t.Context(), aliceID, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestPreflight(t *testing.T) {
	b := newBench(t, nil)
	a := b.do(http.MethodOptions, "/v1/devices", "", "", "")
	if a.status != http.StatusNoContent || a.body != "" || a.header.Get("Access-Control-Allow-Origin") != "*" ||
		a.header.Get("Access-Control-Allow-Headers") != "X-Requested-With, Content-Type, Accept, Authorization" {
		t.Errorf("got %d %q %v", a.status, a.body, a.header)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodOptions, "/v1/devices/events", http.NoBody)
	r.Header.Set("Access-Control-Request-Headers", "last-event-id,x-particle-tool")
	if got := b.send(r).header.Get("Access-Control-Allow-Headers"); !strings.HasSuffix(got, "Authorization, last-event-id,x-particle-tool") {
		t.Errorf("a client with headers of its own may send %q", got)
	}
	if a := b.json("GET", "/v1/devices", ""); a.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("no CORS header: %v", a.header)
	}
}

func TestWaysToGiveAToken(t *testing.T) {
	b := newBench(t, nil)
	for name, a := range map[string]answered{
		"header":      b.do("GET", "/v1/devices/kitchen", b.alice, "", ""),
		"query":       b.do("GET", "/v1/devices/kitchen?access_token="+b.alice, "", "", ""),
		"form":        b.do("PUT", "/v1/devices/kitchen", "", form, "name=kitchen&access_token="+b.alice),
		"JSON":        b.do("PUT", "/v1/devices/kitchen", "", "application/json", `{"name":"kitchen","access_token":"`+b.alice+`"}`),
		"put + query": b.do("PUT", "/v1/devices/kitchen?access_token="+b.alice, "", form, "name=kitchen"),
	} {
		if a.status != http.StatusOK {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	parts := &bytes.Buffer{}
	w := multipart.NewWriter(parts)
	_ = w.WriteField("access_token", b.alice)
	_ = w.WriteField("name", "kitchen")
	_ = w.Close()
	b.do("PUT", "/v1/devices/kitchen", "", w.FormDataContentType(), parts.String()).decode()
	b.do("PUT", "/v1/devices/kitchen", "", w.FormDataContentType(), strings.ReplaceAll(parts.String(), "access_token", "name")).want(400, noToken)
	// The token is no argument of the function.
	b.do("POST", "/v1/devices/kitchen/brew", "", form, "access_token="+b.alice).decode()
	if got := b.cloud.last(); got != "brew()" {
		t.Errorf("called %s", got)
	}
}

// Bodies are bounded; strangers cannot send large ones at all.
func TestBodiesAreBounded(t *testing.T) {
	b := newBench(t, func(c *Config) { c.BodyMax, c.UploadMax = 100, 1000 })
	large := `{"name":"` + string(make([]byte, 200)) + `"}`
	b.json("PUT", "/v1/devices/kitchen", large).want(413, `{"ok":false,"error":"The request is larger than 100 bytes."}`)
	upload := upload("file", "firmware.bin", make([]byte, 2000))
	b.do("PUT", "/v1/devices/kitchen", b.alice, upload.kind, upload.content).want(413, `{"ok":false,"error":"The request is larger than 1000 bytes."}`)
	b.do("PUT", "/v1/devices/kitchen", "", upload.kind, upload.content).want(413, `{"ok":false,"error":"The request is larger than 1000 bytes."}`)
	b.do("POST", "/oauth/token", "", upload.kind, upload.content).want(413, `{"ok":false,"error":"The request is larger than 100 bytes."}`)
}
