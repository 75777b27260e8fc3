package cloudref

import (
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// A cloud that was asked to tells this machine where its memory and time go, and
// does so no longer when it has stopped.
func TestPprof(t *testing.T) {
	dir := t.TempDir()
	out, stop := startCommand(t, dir, "--pprof", "127.0.0.1:0")
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
	// A webhook is no way there.
	login, api := readLogin(t, filepath.Join(dir, fileLogin)), apiOf(out.String())
	post := func(path, form string) string {
		answer, err := http.Post(api+path+"?access_token="+login["token"], "application/x-www-form-urlencoded", strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return string(must(io.ReadAll(answer.Body)))
	}
	var hook struct{ ID string }
	if made := post("/v1/integrations", "event=x&requestType=GET&url="+url); json.Unmarshal([]byte(made), &hook) != nil || hook.ID == "" {
		t.Fatal(made)
	}
	if told := post("/v1/integrations/"+hook.ID+"/test", ""); !strings.Contains(told, `"pass":false`) || !strings.Contains(told, "does not let webhooks") {
		t.Error(told)
	}
	stop()
	if answer, err := http.Get(url); err == nil {
		answer.Body.Close()
		t.Error("the profiles of a cloud that has stopped are still served")
	}
}
