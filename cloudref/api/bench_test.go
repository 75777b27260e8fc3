package api_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
)

// What a function call costs, from HTTP to the device and back, in one process
// with the device.
func BenchmarkCall(b *testing.B) {
	x := newSite(b)
	x.puppet(1, "kitchen", x.account)
	for b.Loop() {
		if x.send("POST", "/v1/devices/kitchen/brew", jsonType, `{"args":"x"}`); x.status != http.StatusOK {
			b.Fatal(x.status)
		}
	}
}

// What a request costs that no device sees.
func BenchmarkDetail(b *testing.B) {
	x := newSite(b)
	x.puppet(1, "kitchen", x.account)
	for b.Loop() {
		if x.send("GET", "/v1/devices/kitchen", jsonType, ""); x.status != http.StatusOK {
			b.Fatal(x.status)
		}
	}
}

// What one event costs with 100 readers, from the API to the last of them.
func BenchmarkEventToReaders(b *testing.B) {
	x := newSite(b)
	const readers = 100
	got := make(chan bool, readers)
	for range readers {
		r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, x.url+"/v1/devices/events?access_token="+x.token, http.NoBody)
		if err != nil {
			b.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = answer.Body.Close() })
		go func() {
			for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
				if strings.HasPrefix(lines.Text(), "event: ") {
					got <- true
				}
			}
		}()
	}
	for b.Loop() {
		x.send("POST", "/v1/devices/events", jsonType, `{"name":"bench","data":"x"}`)
		for range readers {
			<-got
		}
	}
}
