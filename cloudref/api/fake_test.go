package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/hooks"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/module"
	"github.com/muster/muster/protocol/pdc"
)

// epoch is when the tests happen.
var epoch = time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)

// A fakeCloud has devices that answer at once.
type fakeCloud struct {
	mu      sync.Mutex
	online  map[store.DeviceID]bool
	streams map[*fakeStream]Selection
	said    []string // commands that reached a device
	stages  []app.FlashStage
	stuck   chan error // if not nil: Flash waits until it is given up, and says so here
	flashed chan []byte
	moved   []store.DeviceID
	offered []store.DeviceID
	history hooks.History
	hellos  map[store.DeviceID]pdc.Hello
	modems  map[store.DeviceID]pdc.SystemDescribe
}

func newFakeCloud() *fakeCloud {
	return &fakeCloud{
		online: map[store.DeviceID]bool{}, streams: map[*fakeStream]Selection{},
		stages:  []app.FlashStage{app.FlashStarting, app.FlashTransferring, app.FlashRestarting, app.FlashDone},
		flashed: make(chan []byte, 1),
	}
}

func (f *fakeCloud) Time(at clock.Instant) time.Time { return epoch.Add(time.Duration(at)) }

func (f *fakeCloud) Status(id store.DeviceID) endpoint.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.online[id] {
		return endpoint.Status{Device: id, Heard: -1}
	}
	return endpoint.Status{
		Device: id, Online: true, Hello: f.hellos[id], Transport: "udp", Peer: "[::ffff:127.1.0.1]:5684",
		Dialect: pdc.NewDialect(6200, pdc.Boron), Updates: app.UpdateFlags{Enabled: true},
		Describe: &app.Describe{System: f.modems[id], Application: pdc.ApplicationDescribe{
			Functions: []string{"brew"},
			Variables: []pdc.VariableInfo{{Name: "temp", Type: pdc.VariableDouble}, {Name: "beans", Type: pdc.VariableString}},
		}},
	}
}

// command records a command, unless the device is offline.
func (f *fakeCloud) command(id store.DeviceID, what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.online[id] {
		return &app.Failure{Device: app.DeviceID(id), Reason: app.NotOnline}
	}
	f.said = append(f.said, what)
	return nil
}

func (f *fakeCloud) last() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.said) == 0 {
		return ""
	}
	return f.said[len(f.said)-1]
}

func (f *fakeCloud) Call(_ context.Context, id store.DeviceID, function, argument string) (int32, error) {
	if err := f.command(id, function+"("+argument+")"); err != nil {
		return 0, err
	}
	switch function {
	case "brew":
		return -42, nil
	case "burn":
		return 0, &app.Failure{Reason: app.Refused, Detail: "on fire"}
	case "flood":
		return 0, &app.Failure{Reason: app.TooMany}
	case "break":
		return 0, errors.New("a secret of the inside")
	}
	return 0, &app.Failure{Reason: app.NoSuchName}
}

func (f *fakeCloud) Read(_ context.Context, id store.DeviceID, name string) (pdc.Value, error) {
	if err := f.command(id, "read "+name); err != nil {
		return pdc.Value{}, err
	}
	switch name {
	case "temp":
		return pdc.Value{Type: pdc.VariableDouble, Double: 21.5}, nil
	case "beans":
		return pdc.Value{Type: pdc.VariableString, String: `{"a":"<b>"}`}, nil
	case "count":
		return pdc.Value{Type: pdc.VariableInt, Int: -7}, nil
	case "hot":
		return pdc.Value{Type: pdc.VariableBool, Bool: true}, nil
	}
	return pdc.Value{}, &app.Failure{Reason: app.NoSuchName}
}

func (f *fakeCloud) Ping(_ context.Context, id store.DeviceID) error { return f.command(id, "ping") }

func (f *fakeCloud) Signal(_ context.Context, id store.DeviceID, on bool) error {
	if on {
		return f.command(id, "signal on")
	}
	return f.command(id, "signal off")
}

func (f *fakeCloud) ForceUpdates(_ context.Context, id store.DeviceID, on bool) error {
	if on {
		return f.command(id, "force on")
	}
	return f.command(id, "force off")
}

func (f *fakeCloud) Flash(ctx context.Context, id store.DeviceID, data []byte, progress func(app.FlashProgress)) error {
	if err := f.command(id, "flash"); err != nil {
		return err
	}
	if string(data) == "nonsense" {
		_, err := app.ParseImage(data)
		return err
	}
	for _, stage := range f.stages {
		p := app.FlashProgress{Stage: stage}
		if stage == app.FlashFailed {
			p.Err = &app.Failure{Reason: app.BadImage, Detail: "wrong platform"}
		}
		progress(p)
		if p.Err != nil {
			return p.Err
		}
	}
	if f.stuck != nil {
		<-ctx.Done()
		f.stuck <- ctx.Err()
		return ctx.Err()
	}
	f.flashed <- data
	return nil
}

func (f *fakeCloud) Publish(_ context.Context, p Publication) error {
	f.announce(Event{
		Name: p.Event.Name, Data: p.Event.Data, TTL: p.Event.TTL, Published: epoch,
		Owner: p.Owner, Product: p.Product, Device: p.Device,
	})
	return nil
}

// announce gives an event to its readers.
func (f *fakeCloud) announce(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s, which := range f.streams {
		if which.Selects(&e) {
			s.c <- e
		}
	}
}

func (f *fakeCloud) HookHistory(context.Context, store.DeviceID) (hooks.History, error) {
	return f.history, nil
}

func (f *fakeCloud) TestHook(_ context.Context, h *store.Hook, e Event) ([]byte, error) {
	if h.Event == "bad" {
		return nil, &hooks.SpecError{What: "error status 500 from example.com"}
	}
	return []byte(e.Name), nil
}

func (f *fakeCloud) AskVitals(id store.DeviceID) { _ = f.command(id, "vitals") }

func (f *fakeCloud) LedgerChanged(l *store.Ledger, scope string, _ time.Time) {
	f.said = append(f.said, "ledger "+l.Key.Name+" of "+scope)
}

func (f *fakeCloud) LedgerDefined(l *store.Ledger) { f.said = append(f.said, "ledger "+l.Key.Name) }

func (f *fakeCloud) Own(netip.AddrPort) {}

func (f *fakeCloud) OfferFirmware(id store.DeviceID) { f.offered = append(f.offered, id) }

func (f *fakeCloud) ClaimCode(context.Context, store.AccountID, time.Duration) (string, error) {
	return strings.Repeat("c", 63), nil
}

func (f *fakeCloud) OwnerChanged(id store.DeviceID) { f.moved = append(f.moved, id) }

func (f *fakeCloud) Subscribe(which Selection) Stream {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &fakeStream{f: f, c: make(chan Event, 64), closed: make(chan struct{})}
	f.streams[s] = which
	return s
}

type fakeStream struct {
	f      *fakeCloud
	c      chan Event
	closed chan struct{}
}

func (s *fakeStream) Next(stop <-chan struct{}, tick <-chan time.Time) (Event, Next) {
	select {
	case e, ok := <-s.c:
		if !ok {
			return e, NextEnded
		}
		return e, NextEvent
	case <-tick:
		return Event{}, NextTick
	case <-stop:
		return Event{}, NextStopped
	}
}

func (s *fakeStream) Close() {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	delete(s.f.streams, s)
	close(s.closed)
}

// A bench is a server with two accounts. Alice has a device that is online, one
// that is not, and Bob one that is.
type bench struct {
	t      *testing.T
	cloud  *fakeCloud
	store  *store.Store
	server *Server
	now    time.Time
	alice  string // tokens
	bob    string
}

const (
	kitchen = "e00fce680000000000000001"
	cellar  = "e00fce680000000000000002"
	bobs    = "e00fce680000000000000003"
	nobodys = "e00fce680000000000000004"
	absent  = "e00fce680000000000000009"
)

func deviceID(text string) store.DeviceID {
	id, err := store.ParseDeviceID(text)
	if err != nil {
		panic(err)
	}
	return id
}

var (
	aliceID = store.AccountID{0xa1}
	bobID   = store.AccountID{0xb0}
)

func newBench(t *testing.T, edit func(*Config)) *bench {
	t.Helper()
	b := &bench{t: t, cloud: newFakeCloud(), store: store.NewMemory(), now: epoch}
	c := Config{
		Cloud: b.cloud, Store: b.store, Now: func() time.Time { return b.now },
		Log: func(line string) { t.Log("log:", line) },
	}
	if edit != nil {
		edit(&c)
	}
	b.server = New(c)
	ctx := t.Context()
	for id, name := range map[store.AccountID]string{aliceID: "alice@example.com", bobID: "bob@example.com"} {
		b.must(b.store.PutAccount(ctx, &store.Account{ID: id, Username: name}))
	}
	for _, d := range []*store.Device{
		{ID: deviceID(kitchen), Owner: aliceID, Name: "kitchen", LastHandshake: epoch.Add(-time.Hour)},
		{ID: deviceID(cellar), Owner: aliceID, Name: "cellar one", Platform: 6},
		{ID: deviceID(bobs), Owner: bobID, Name: "bobs"},
		{ID: deviceID(nobodys)},
	} {
		b.must(b.store.Do(ctx, store.PutDevice(d)))
	}
	b.cloud.online[deviceID(kitchen)] = true
	b.cloud.online[deviceID(bobs)] = true
	var err error
	b.alice, err = b.server.IssueToken(ctx, aliceID, 0)
	b.must(err)
	b.bob, err = b.server.IssueToken(ctx, bobID, time.Hour)
	b.must(err)
	return b
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// An answered is what came back.
type answered struct {
	t      *testing.T
	status int
	header http.Header
	body   string
}

// do sends a request; kind is the type of the body, "" for none.
func (b *bench) do(method, path, token, kind, content string) answered {
	b.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(content))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	return b.send(r)
}

func (b *bench) send(r *http.Request) answered {
	b.t.Helper()
	w := httptest.NewRecorder()
	b.server.ServeHTTP(w, r)
	raw, err := io.ReadAll(w.Result().Body)
	b.must(err)
	return answered{b.t, w.Code, w.Result().Header, string(raw)}
}

func (b *bench) json(method, path, content string) answered {
	b.t.Helper()
	return b.do(method, path, b.alice, "application/json", content)
}

const form = "application/x-www-form-urlencoded"

// want checks the status and the whole body, as JSON.
func (a answered) want(status int, body string) {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	var got, want any
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		a.t.Fatalf("not JSON: %q", a.body)
	}
	if err := json.Unmarshal([]byte(body), &want); err != nil {
		a.t.Fatal(err)
	}
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(want)
	if !bytes.Equal(g, w) {
		a.t.Errorf("got  %s\nwant %s", g, w)
	}
	if kind := a.header.Get("Content-Type"); kind != "application/json; charset=utf-8" {
		a.t.Errorf("Content-Type %q", kind)
	}
}

// decode checks for success and returns the body.
func (a answered) decode() map[string]any {
	a.t.Helper()
	if a.status/100 != 2 {
		a.t.Fatalf("status %d: %s", a.status, a.body)
	}
	var o map[string]any
	if err := json.Unmarshal([]byte(a.body), &o); err != nil {
		a.t.Fatalf("not a JSON object: %q", a.body)
	}
	return o
}

// testBinary is an image that is whole.
func testBinary(platform pdc.Platform, size int) []byte {
	m := module.Module{Prefix: module.Prefix{
		Start: 0xd4000, Version: 7, Platform: platform, Function: pdc.ModuleUserPart, Index: 1,
	}}
	m.Fill(size, bytes.NewReader(bytes.Repeat([]byte("firmware"), size)))
	return m.Append(nil)
}

// hello makes a device say which product its firmware names.
func (f *fakeCloud) hello(id string, product, version uint16) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hellos == nil {
		f.hellos = map[store.DeviceID]pdc.Hello{}
	}
	f.hellos[deviceID(id)] = pdc.Hello{ProductID: product, ProductVersion: version, Platform: pdc.Boron}
}
