package cloudref

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// apiOf returns the URL of the API from the log of a cloud.
func apiOf(log string) string {
	_, address, _ := strings.Cut(log, " http=")
	address, _, _ = strings.Cut(address, " ")
	return "http://" + address
}

// readLogin reads a file with a login.
func readLogin(t *testing.T, path string) map[string]string {
	t.Helper()
	if info := must(os.Stat(path)); info.Mode().Perm() != 0o600 {
		t.Errorf("%s has mode %v", path, info.Mode())
	}
	login := map[string]string{}
	for line := range strings.Lines(string(must(os.ReadFile(path)))) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		login[key] = value
	}
	if len(login) != 3 || login["user"] != defaultOwner || len(login["password"]) < 20 || len(login["token"]) != 40 {
		t.Fatalf("%s holds %d lines, or not a login", path, len(login))
	}
	return login
}

// devicesOf asks for the devices of a token, none if it is empty.
func devicesOf(t *testing.T, url, token string) (status int, body string) {
	t.Helper()
	r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v1/devices", http.NoBody))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	return answer.StatusCode, strings.TrimSpace(string(must(io.ReadAll(answer.Body))))
}

// wantNoDevices wants the token to see an empty account.
func wantNoDevices(t *testing.T, url, token string) {
	t.Helper()
	if status, body := devicesOf(t, url, token); status != http.StatusOK || body != "[]" {
		t.Errorf("the devices of the token: %d %s", status, body)
	}
}

// The first start makes a login that lasts; no secret of it is printed.
func TestCloudServesAPI(t *testing.T) {
	dir := t.TempDir()
	out, stop := startCommand(t, dir)
	login := readLogin(t, filepath.Join(dir, fileLogin))
	wantNoDevices(t, apiOf(out.String()), login["token"])
	for token, want := range map[string]int{"": http.StatusBadRequest, strings.Repeat("0", 40): http.StatusUnauthorized} {
		if status, _ := devicesOf(t, apiOf(out.String()), token); status != want {
			t.Errorf("with token %q: %d, want %d", token, status, want)
		}
	}
	answer, err := http.PostForm(apiOf(out.String())+"/oauth/token", map[string][]string{
		"grant_type": {"password"}, "username": {login["user"]}, "password": {login["password"]},
		"client_id": {"particle"}, "client_secret": {"particle"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("logging in with the password: %s, %v", answer.Status, err)
	}
	stop()
	first := out.String()
	for _, want := range []string{"apiUrl " + apiOf(first), filepath.Join(dir, fileLogin)} {
		if !strings.Contains(first, want) {
			t.Errorf("the first start does not say %q: %s", want, first)
		}
	}

	out, stop = startCommand(t, dir)
	wantNoDevices(t, apiOf(out.String()), login["token"])
	stop()
	if again := readLogin(t, filepath.Join(dir, fileLogin)); again["token"] != login["token"] || again["password"] != login["password"] {
		t.Error("the second start changed the login")
	}
	if strings.Contains(out.String(), "apiUrl") {
		t.Error("the second start tells the first steps")
	}
	logs := first + out.String()

	// In memory there is another user; that of the data directory keeps its file.
	out, stop = startCommand(t, dir, "--memory")
	wantNoDevices(t, apiOf(out.String()), readLogin(t, filepath.Join(dir, fileLoginMemory))["token"])
	if status, _ := devicesOf(t, apiOf(out.String()), login["token"]); status != http.StatusUnauthorized {
		t.Errorf("the token of the data directory, in memory: %d", status)
	}
	stop()
	readLogin(t, filepath.Join(dir, fileLogin))
	for _, secret := range []string{"token", "password"} {
		if strings.Contains(logs+out.String(), login[secret]) {
			t.Errorf("the %s is printed", secret)
		}
	}
}

// An account from before there was an API gets a login with it.
func TestLoginOfOlderAccount(t *testing.T) {
	dir := t.TempDir()
	out, stop := startCommand(t, dir, "--http", "")
	stop()
	if !strings.Contains(out.String(), "http=off") {
		t.Errorf("the API is not off: %s", out)
	}
	if _, err := os.Stat(filepath.Join(dir, fileLogin)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a login without an API: %v", err)
	}
	out, stop = startCommand(t, dir)
	wantNoDevices(t, apiOf(out.String()), readLogin(t, filepath.Join(dir, fileLogin))["token"])
	stop()
}

// The token command makes a token, with the cloud running and without.
func TestTokenCommand(t *testing.T) {
	dir := t.TempDir()
	_, stop := startCommand(t, dir)
	made := func() string {
		t.Helper()
		out, log, err := execute(t.Context(), "token", "--data", dir)
		if token := strings.TrimSpace(out); err != nil || len(token) != 40 || strings.Contains(log, token) {
			t.Errorf("printed %d bytes, %v", len(out), err)
		}
		return strings.TrimSpace(out)
	}
	tokens := []string{made()}
	if _, _, err := execute(t.Context(), "token", "nobody", "--data", dir); err == nil || !strings.Contains(err.Error(), "there is no user") {
		t.Errorf("a token of nobody: %v", err)
	}
	stop()
	tokens = append(tokens, made())
	out, stop := startCommand(t, dir)
	for _, token := range tokens {
		wantNoDevices(t, apiOf(out.String()), token)
	}
	stop()
}

// An open event stream ends with the cloud.
func TestStopEndsStreams(t *testing.T) {
	dir := t.TempDir()
	out, stop := startCommand(t, dir)
	r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, apiOf(out.String())+"/v1/devices/events", http.NoBody))
	r.Header.Set("Authorization", "Bearer "+readLogin(t, filepath.Join(dir, fileLogin))["token"])
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	stream := bufio.NewReader(answer.Body)
	if line, err := stream.ReadString('\n'); err != nil || !strings.HasPrefix(line, ":ok") {
		t.Fatalf("the stream begins with %q, %v", line, err)
	}
	stop()
	if _, err := io.ReadAll(stream); err != nil {
		t.Errorf("the stream was cut: %v", err)
	}
}

func TestPortInUse(t *testing.T) {
	l := must((&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.1:0"))
	defer l.Close()
	_, _, err := execute(t.Context(), "--data", t.TempDir(), "--udp", "127.0.0.1:0", "--tcp", "", "--http", l.Addr().String())
	if err == nil || !strings.Contains(err.Error(), "--http") {
		t.Errorf("got %v, want an error that names the flag", err)
	}
	var usage *UsageError
	if errors.As(err, &usage) {
		t.Error("a port in use is called wrong usage")
	}
}

// A listener that fails ends the command, which says so.
func TestServeFailure(t *testing.T) {
	l := must((&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.1:0"))
	w := &web{server: &http.Server{ReadHeaderTimeout: webGrace}, listener: l}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	w.start(end)
	<-ctx.Done()
	if err := w.stop(); err == nil || !strings.Contains(err.Error(), "serving HTTP") {
		t.Errorf("got %v", err)
	}
}
