package cloudref

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// scrape reads the metrics of a cloud.
func scrape(t *testing.T, api string) string {
	t.Helper()
	answer, err := http.Get(api + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text := must(io.ReadAll(answer.Body))
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("metrics: %s", answer.Status)
	}
	return string(text)
}

// What happens is counted, and nobody is named.
func TestMetrics(t *testing.T) {
	dir := t.TempDir()
	out, stop := startCommand(t, dir, "--trust-new-for", "5m")
	addr, key := cloudOf(t, dir, out.String())
	api := apiOf(out.String())
	token := readLogin(t, filepath.Join(dir, fileLogin))["token"]
	p := newPuppet(1, key)
	if err := p.dial(addr); err != nil {
		t.Fatal(err)
	}
	if err := p.connect(); err != nil {
		t.Fatal(err)
	}
	if !p.say(p.publish("temp", "1"), patience) {
		t.Fatal("no acknowledgement")
	}
	background(t, p)
	r := must(http.NewRequestWithContext(t.Context(), http.MethodPost, fmt.Sprintf("%s/v1/devices/%s/double", api, p.id), strings.NewReader("arg=12")))
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", answer.Status, err)
	}
	if said, _, err := execute(t.Context(), "device", "trust", "0", "--data", dir); err != nil {
		t.Fatal(said, err)
	}
	stranger := newPuppet(2, key)
	if err := stranger.dial(addr); err != nil {
		t.Fatal(err)
	}
	if err := stranger.handshake(); err == nil {
		t.Fatal("a stranger got in")
	}
	text := scrape(t, api)
	for _, want := range []string{
		`muster_cloud_sessions{device_os="6.2",state="online",transport="udp"} 1`,
		`muster_cloud_devices 1`,
		`muster_cloud_handshakes_total{result="completed"} 1`,
		`muster_cloud_handshakes_total{result="failed"} 1`,
		`muster_cloud_refusals_total{reason="unknown_key"} 1`,
		`muster_cloud_refusals_total{reason="server_key"} 0`,
		`muster_cloud_events_total{from="device"} 1`,
		`muster_cloud_hellos_total 1`,
		`muster_cloud_webhook_calls_waiting 0`,
		`muster_cloud_webhook_calls_dropped_total{reason="share"} 0`,
		`muster_cloud_command_duration_seconds_count{command="function",result="ok"} 1`,
		`muster_cloud_api_request_duration_seconds_count{code="200",route="POST /v1/devices/{device}/{function}"} 1`,
		`go_goroutines `, `process_resident_memory_bytes `,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	for _, secret := range []string{p.id.String(), token, "127.0.0.1", defaultOwner} {
		if strings.Contains(text, secret) {
			t.Errorf("the metrics name %q", secret)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	stop()
}
