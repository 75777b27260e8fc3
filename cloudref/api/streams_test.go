package api

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/protocol/pdc"
)

// A reader is a client of an event stream over a real connection.
type reader struct {
	t      *testing.T
	answer *http.Response
	lines  *bufio.Scanner
}

// serve carries the server over a real HTTP server.
func (b *bench) serve() string {
	b.t.Helper()
	h := httptest.NewServer(b.server)
	b.t.Cleanup(h.Close)
	b.t.Cleanup(b.server.Close) // first
	return h.URL
}

func open(t *testing.T, url, token string) *reader {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	return &reader{t, answer, bufio.NewScanner(answer.Body)}
}

// want reads lines and compares them. Keep-alives are passed over.
func (r *reader) want(lines ...string) {
	r.t.Helper()
	for _, want := range lines {
		for {
			if !r.lines.Scan() {
				r.t.Fatalf("the stream ended before %q: %v", want, r.lines.Err())
			}
			if r.lines.Text() == ":keep-alive" {
				r.lines.Scan()
				continue
			}
			break
		}
		if got := r.lines.Text(); got != want {
			r.t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func (r *reader) wantEnd() {
	r.t.Helper()
	for r.lines.Scan() {
		if text := r.lines.Text(); text != ":keep-alive" && text != "" {
			r.t.Fatalf("got %q, want the end", text)
		}
	}
}

func TestStreamFormat(t *testing.T) {
	b := newBench(t, nil)
	url := b.serve()
	r := open(t, url+"/v1/devices/events?nonce=1234", b.alice)
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no", "Access-Control-Allow-Origin": "*",
	} {
		if got := r.answer.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	r.want(":ok", "")
	b.cloud.announce(Event{Owner: aliceID, Name: "temperature", Data: []byte("25.3 <\"°>"), TTL: 60, Published: epoch, Device: deviceID(kitchen)})
	r.want("event: temperature",
		`data: {"data":"25.3 <\"°>","ttl":60,"published_at":"2026-01-02T03:04:05.678Z","coreid":"e00fce680000000000000001"}`, "")
	b.do("POST", "/v1/devices/events", b.alice, "application/json", `{"name":"hello","private":true,"ttl":30}`).want(200, `{"ok":true}`)
	r.want("event: hello", `data: {"data":null,"ttl":30,"published_at":"2026-01-02T03:04:05.678Z","coreid":"api"}`, "")
	b.cloud.announce(Event{Owner: aliceID, Name: "two\nlines", Data: []byte{0xff}, Content: pdc.FormatOctetStream, TTL: 60, Published: epoch})
	r.want("event: two lines",
		`data: {"data":"data:application/octet-stream;base64,/w==","ttl":60,"published_at":"2026-01-02T03:04:05.678Z","coreid":"api"}`, "")
	b.server.Close()
	r.wantEnd()
}

// Which events come on which stream, by whose token.
func TestStreamScopes(t *testing.T) {
	b := newBench(t, nil)
	url := b.serve()
	for _, test := range []struct{ path, token, want string }{
		{"/v1/devices/events", b.alice, "temp hook/a temp-api"},
		{"/v1/devices/events/", b.alice, "temp hook/a temp-api"},
		{"/v1/devices/events/temp", b.alice, "temp temp-api"},
		{"/v1/devices/events/Temp", b.alice, ""},
		{"/v1/devices/events/hook/a", b.alice, "hook/a"},
		{"/v1/devices/events/hook%2Fa", b.alice, "hook/a"},
		{"/v1/events/temp", b.alice, "temp temp-api"},
		{"/v1/devices/" + kitchen + "/events", b.alice, "temp hook/a"},
		{"/v1/devices/kitchen/events/temp", b.alice, "temp"},
		{"/v1/devices/" + cellar + "/events", b.alice, ""},
		{"/v1/devices/events", b.bob, "bobs"},
		{"/v1/events/temp", b.bob, ""},
	} {
		t.Run(test.path, func(t *testing.T) {
			b.t = t
			r := open(t, url+test.path, test.token)
			r.want(":ok", "")
			b.cloud.announce(Event{Owner: aliceID, Name: "temp", Device: deviceID(kitchen)})
			b.cloud.announce(Event{Owner: aliceID, Name: "hook/a", Device: deviceID(kitchen)})
			b.cloud.announce(Event{Owner: aliceID, Name: "temp-api"})
			b.cloud.announce(Event{Owner: bobID, Name: "bobs", Device: deviceID(bobs)})
			for name := range strings.FieldsSeq(test.want) {
				r.want("event: " + name)
				r.lines.Scan() // data
				r.want("")
			}
			// Nothing else was queued: the stream ends with its token's scope.
			b.cloud.mu.Lock()
			for s := range b.cloud.streams {
				close(s.c)
			}
			clear(b.cloud.streams)
			b.cloud.mu.Unlock()
			r.wantEnd()
		})
	}
}

func TestKeepAlive(t *testing.T) {
	b := newBench(t, func(c *Config) { c.KeepAlive = 5 * time.Millisecond })
	r := open(t, b.serve()+"/v1/devices/events", b.alice)
	for _, want := range []string{":ok", "", ":keep-alive", "", ":keep-alive", ""} {
		if !r.lines.Scan() || r.lines.Text() != want {
			t.Fatalf("got %q, want %q", r.lines.Text(), want)
		}
	}
	// A token that is revoked closes its streams.
	b.json("DELETE", "/v1/access_tokens/current", "").want(200, `{"ok":true}`)
	r.wantEnd()
}

func TestStreamsAreBounded(t *testing.T) {
	b := newBench(t, func(c *Config) { c.StreamsMax = 1 })
	url := b.serve()
	open(t, url+"/v1/devices/events", b.alice).want(":ok", "")
	if a := open(t, url+"/v1/devices/events", b.bob).answer; a.StatusCode != http.StatusTooManyRequests {
		t.Errorf("status %d, want 429", a.StatusCode)
	}
}

// An account that opens all the streams it can leaves some to others.
func TestStreamsOfAnAccountAreBounded(t *testing.T) {
	b := newBench(t, func(c *Config) { c.StreamsMax = 4 })
	url := b.serve()
	for range 2 {
		open(t, url+"/v1/devices/events", b.alice).want(":ok", "")
	}
	if a := open(t, url+"/v1/devices/events", b.alice).answer; a.StatusCode != http.StatusTooManyRequests {
		t.Errorf("status %d, want 429", a.StatusCode)
	}
	r := open(t, url+"/v1/devices/events", b.bob)
	r.want(":ok", "")
	b.server.opened.mu.Lock()
	defer b.server.opened.mu.Unlock()
	if got := len(b.server.opened.taken); got != 2 {
		t.Errorf("%d accounts have streams, want 2", got)
	}
}

// What an account uploads slowly keeps nobody else from uploading.
func TestUploadsOfAnAccountAreBounded(t *testing.T) {
	b := newBench(t, func(c *Config) { c.UploadsMax = 4 })
	url := b.serve()
	image := upload("file", "firmware.bin", testBinary(pdc.Boron, 1000))
	var slow []*io.PipeWriter
	for range 4 {
		r, w := io.Pipe()
		q, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url+"/v1/devices/kitchen", r)
		b.must(err)
		q.Header.Set("Authorization", "Bearer "+b.alice)
		q.Header.Set("Content-Type", image.kind)
		go func() {
			if a, err := http.DefaultClient.Do(q); err == nil {
				_ = a.Body.Close()
			}
		}()
		_, err = io.WriteString(w, image.content[:50]) // it was taken
		b.must(err)
		slow = append(slow, w)
	}
	for until := time.Now().Add(time.Minute); len(b.server.loads.places) == 0; {
		if time.Now().After(until) {
			t.Fatal("no upload is under way")
		}
		time.Sleep(time.Millisecond)
	}
	b.do("PUT", "/v1/devices/bobs", b.bob, image.kind, image.content).decode()
	for _, w := range slow {
		_ = w.CloseWithError(io.ErrUnexpectedEOF)
	}
}

// A reader that does not read is cut, and holds nothing back.
func TestSlowReaderIsCut(t *testing.T) {
	b := newBench(t, func(c *Config) { c.WriteTimeout = time.Second })
	open(t, b.serve()+"/v1/devices/events", b.alice).want(":ok", "")
	b.cloud.mu.Lock()
	var stream *fakeStream
	for s := range b.cloud.streams {
		stream = s
	}
	b.cloud.mu.Unlock()
	flood := Event{Name: "flood", Data: make([]byte, 1<<20)}
	for range 1000 {
		select {
		case stream.c <- flood:
		case <-stream.closed:
			return
		}
	}
	t.Error("a gigabyte was held for a reader that does not read")
}

// A device that was unclaimed tells its former owner nothing more.
func TestStreamEndsWithOwnership(t *testing.T) {
	b := newBench(t, nil)
	r := open(t, b.serve()+"/v1/devices/kitchen/events", b.alice)
	r.want(":ok", "")
	b.json("DELETE", "/v1/devices/kitchen", "{}").want(200, `{"ok":true}`)
	b.cloud.announce(Event{Owner: aliceID, Name: "late", Device: deviceID(kitchen)})
	r.wantEnd()
}

// Who only asks for the header of a stream gets it, and holds none open.
func TestHeadOfAStream(t *testing.T) {
	b := newBench(t, nil)
	url := b.serve()
	for _, path := range []string{"/v1/devices/events", "/v1/devices/kitchen/events/temp", "/v1/events/temp"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodHead, url+path, http.NoBody)
		b.must(err)
		r.Header.Set("Authorization", "Bearer "+b.alice)
		answer, err := http.DefaultClient.Do(r)
		b.must(err)
		_ = answer.Body.Close()
		if kind := answer.Header.Get("Content-Type"); answer.StatusCode != http.StatusOK || kind != "text/event-stream" {
			t.Errorf("%s: %d, %q", path, answer.StatusCode, kind)
		}
		if n := len(b.server.opened.places); n != 0 {
			t.Errorf("%s: %d streams are open", path, n)
		}
	}
}
