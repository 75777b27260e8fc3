package loadtest

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/protocol/module"
	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/profile"
	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/scenario"
	"github.com/muster/muster/sim/standin"
)

const secret = "5ec2e7-token"

// onSockets makes the options of a run against a stand-in on loopback, with an API.
func onSockets(t *testing.T, s *scenario.Scenario, api http.Handler) (Options, *collected) {
	t.Helper()
	rsaKey, err := x509.ParsePKCS1PrivateKey(fixtures.ByName("v3.1.0-tcp-session").ServerKey)
	if err != nil {
		t.Fatal(err)
	}
	keys := fleet.NewKeys(1)
	cloud := standin.New(keys, rsaKey)
	list := members(t, s)
	for i := range s.Devices() {
		cloud.Know(keys.Public(list(i).ID), list(i).ID)
	}
	udp, tcp, serve, err := cloud.Open()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx) }()
	server := httptest.NewServer(api)
	t.Cleanup(func() {
		server.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	sink := &collected{}
	return Options{
		Scenario: s, Keys: keys, Member: list, Sink: sink, Seed: 5,
		Cloud: Cloud{
			Name: "standin", EC: &standin.EC.PublicKey, RSA: cloud.RSA(), UDP: udp, TCP: tcp,
			API: server.URL, Token: secret,
		},
	}, sink
}

// Callers call at their rates; what fails is counted by reason and tells no secret.
func TestCallers(t *testing.T) {
	var mu sync.Mutex
	seen := make(map[string]int)
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer "+secret {
			t.Errorf("no token: %v", r.Header)
		}
		switch parts := strings.Split(r.URL.Path, "/"); {
		case r.Method == http.MethodPost && parts[3] == "events":
			seen["publish "+string(body)]++
		case r.Method == http.MethodPost:
			seen["call "+parts[4]+" "+string(body)]++
		case r.Method == http.MethodGet:
			seen["read "+parts[4]]++
			w.WriteHeader(http.StatusRequestTimeout)
			io.WriteString(w, `{"error":"Timed out `+secret+`"}`)
		default:
			seen["ping"]++
		}
	})
	s := read(t, `
name: callers
groups:
  - {name: a, devices: 3, profiles: boron@6.2.0, functions: [{name: led}], variables: [{name: level}]}
phases:
  - {name: arrive, duration: 2s, arrive: {at-once: true}}
  - {name: calls, duration: 2s}
callers:
  - {name: f, do: function, group: a, target: led, argument: "on", rate: 20/s, spacing: constant, phases: [calls]}
  - {name: v, do: variable, group: a, target: level, rate: 10/s, spacing: constant, phases: [calls]}
  - {name: p, do: publish, group: a, target: news, argument: hot, rate: 5/s, spacing: constant, phases: [calls]}
  - {name: q, do: ping, group: a, rate: 5/s, spacing: constant, phases: [calls]}
`)
	o, sink := onSockets(t, s, api)
	r, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	// 40, 20, 10 and 10 are due; what is late when the run ends is not begun.
	if seen["call led arg=on"] < 20 || seen["read level"] < 10 || seen["ping"] < 5 || seen["publish data=hot&name=news&private=true"] < 5 {
		t.Errorf("%v", seen)
	}
	calls := r.Sum("calls", "a")
	if n := calls.Counts[record.Calls]; n < 40 || n > 80 || calls.Counts[record.CallsFailed] != uint64(seen["read level"]) ||
		calls.Errors["api: status 408"] != uint64(seen["read level"]) || calls.Times[record.CallTime].Count() == 0 {
		t.Errorf("%v %v, seen %v", calls.Counts, calls.Errors, seen)
	}
	if r.Sum("arrive", "").Counts[record.Calls] != 0 {
		t.Error("called too early")
	}
	for _, n := range sink.notes {
		if strings.Contains(n.Text, secret) {
			t.Errorf("the token is told: %s", n.Text)
		}
	}
}

// A campaign goes on in waves while updates succeed, and stops when they do not.
func TestCampaign(t *testing.T) {
	for _, c := range []struct {
		name    string
		fails   func(nth int) string
		want    record.Verdict
		applied int
	}{
		{"all well", func(int) string { return "" }, record.Pass, 40},
		{"one fails, within the budget", func(n int) string {
			if n == 30 {
				return "bad luck"
			}
			return ""
		}, record.Pass, 39},
		{"the canaries die", func(int) string { return "bad image" }, record.Fail, 0},
		{"the second wave is bad", func(n int) string {
			if n > 4 {
				return "bad image"
			}
			return ""
		}, record.Fail, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := read(t, `
name: campaign
groups: [{name: a, devices: 40, profiles: argon@6.2.0}]
phases: [{name: all, duration: 1h, arrive: {at-once: true}}]
campaigns:
  - {name: two, group: a, phase: all, waves: [10%, 50%, 100%], rate: 1000/s, pause: 1ms, budget: 5%}
`)
			var mu sync.Mutex
			begun := 0
			var ready *Ready
			o, _ := onSockets(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				file, _, err := r.FormFile("file")
				if errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrUnexpectedEOF) {
					return // given up on its way: the campaign is over
				}
				if err != nil {
					t.Error(err)
					return
				}
				image, _ := io.ReadAll(file)
				if m, err := module.Parse(image); err != nil || m.Version != 2 || !m.CRCValid() {
					t.Errorf("the image: %v", err)
				}
				mu.Lock()
				begun++
				nth := begun
				mu.Unlock()
				id := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
				for i := range 40 {
					if ready.conductor.id(i).String() == id {
						ready.conductor.updated(i, c.fails(nth))
					}
				}
			}))
			var err error
			if ready, err = Prepare(o); err != nil {
				t.Fatal(err)
			}
			defer ready.Close()
			ready.conductor.begin(time.Now())
			one := ready.conductor.campaigns[0]
			one.run(context.Background())
			run := &record.Run{}
			run.Cell("all", "").Campaign("two", one.since())
			if again := one.since(); again != (record.Campaign{}) {
				t.Errorf("it counts twice: %+v", again)
			}
			scenario.Judge(s, run)
			if got := run.Thresholds[0]; got.Verdict != c.want || one.applied != c.applied {
				t.Errorf("%+v, %d applied of %d begun, %v", got, one.applied, one.begun, one.reasons)
			}
			if c.want == record.Fail && one.begun > 30 {
				t.Errorf("it went on: %d begun", one.begun)
			}
		})
	}
}

// The module that is made for a board is one that the board takes.
func TestImages(t *testing.T) {
	c := &scenario.Campaign{Name: "c", Version: 9, Size: 4000}
	made := 0
	for _, p := range profile.All() {
		b, err := image(c, "", p)
		if err != nil {
			if !strings.Contains(err.Error(), "no place for an application alone") {
				t.Error(err)
			}
			continue
		}
		made++
		board := module.Board{Platform: p.Board.Platform}
		for _, slot := range p.Factory() {
			board.Installed = append(board.Installed, module.Installed{
				Function: module.Function(slot.Function), Index: slot.Index, Version: slot.Version, Start: slot.Start, Size: slot.Size,
			})
		}
		if _, err := board.Validate(b); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
	if made < 20 {
		t.Errorf("%d images", made)
	}
	c.Size = 10 << 20
	boron, _ := profile.Lookup("boron@6.2.0")
	if _, err := image(c, "", boron); err == nil {
		t.Error("ten megabytes fit")
	}
	c.File = "no.bin"
	if _, err := image(c, t.TempDir(), boron); err == nil {
		t.Error("a file that is not there")
	}
}

// Parts of a campaign together begin as many updates a second as the whole.
func TestCampaignOfPart(t *testing.T) {
	s := simple(40)
	for _, n := range []int{40, 10} {
		c := &campaign{
			conductor: &conductor{options: &Options{Scenario: s}}, what: &scenario.Campaign{Group: "borons", Rate: 4}, order: make([]int, n),
		}
		if got, want := c.pause(), 250*time.Millisecond*40/time.Duration(n); got != want {
			t.Errorf("%d of 40 devices: %v between updates, want %v", n, got, want)
		}
	}
}
