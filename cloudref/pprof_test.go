package cloudref

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// A cloud that was asked to tells this machine where its memory and time go, and
// does so no longer when it has stopped.
func TestPprof(t *testing.T) {
	out, stop := startCommand(t, t.TempDir(), "--pprof", "127.0.0.1:0")
	_, url, _ := strings.Cut(wait(t, out, "/debug/pprof/"), "url=")
	url, _, _ = strings.Cut(url, "\n")
	answer, err := http.Get(url + "goroutine?debug=1")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(body), "cloudref") {
		t.Errorf("%v: %s: %.200s", err, answer.Status, body)
	}
	stop()
	if answer, err := http.Get(url); err == nil {
		answer.Body.Close()
		t.Error("the profiles of a cloud that has stopped are still served")
	}
}
