package target

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster/muster/cloudref"
	"github.com/muster/muster/cloudref/api"
	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/profile"
)

// A foreignCloud is a reference cloud of which the harness knows only what it would
// know of any other.
type foreignCloud struct {
	spec  *CloudSpec
	token string
	cloud *cloudref.Cloud
	api   *api.Server
}

// aForeignCloud runs a cloud that knows one device of each profile. api, if not
// nil, stands between the harness and the API.
func aForeignCloud(t *testing.T, adjust func(*endpoint.Config), front func(http.Handler) http.Handler, profiles ...string) *foreignCloud {
	t.Helper()
	dir := t.TempDir()
	any := netip.MustParseAddrPort("127.0.0.1:0")
	cloud, err := cloudref.Start(t.Context(), cloudref.Options{UDP: any, TCP: any, Adjust: adjust, AnswerTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	account, err := cloud.Account(t.Context(), "carol@example.org")
	if err != nil {
		t.Fatal(err)
	}
	f := &foreignCloud{spec: &CloudSpec{
		UDP: cloud.UDP().String(), TCP: cloud.TCP().String(), Devices: filepath.Join(dir, "fleet"),
		Keys: []string{pemFile(t, dir, "ec.pem", cloud.PublicKeyUDP()), pemFile(t, dir, "rsa.pem", cloud.PublicKeyTCP())},
	}}
	registerFleet(t, cloud, account, f.spec.Devices, profiles)
	server := cloud.API(api.Config{})
	f.cloud, f.api = cloud, server
	if f.token, err = server.IssueToken(t.Context(), account, time.Hour); err != nil {
		t.Fatal(err)
	}
	handler := http.Handler(server)
	if front != nil {
		handler = front(server)
	}
	web := httptest.NewServer(handler)
	f.spec.API = &APISpec{URL: web.URL, Token: Secret{File: filepath.Join(dir, "token")}}
	if err := os.WriteFile(f.spec.API.Token.File, []byte(f.token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
		if err := cloud.Stop(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func pemFile(t *testing.T, dir, name string, der []byte) string {
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// registerFleet makes devices as "muster fleet --keys-out" does.
func registerFleet(t *testing.T, cloud *cloudref.Cloud, account store.AccountID, dir string, profiles []string) {
	keys := fleet.NewKeys(0)
	var list []fleet.Member
	var tcp []device.ID
	for i, name := range profiles {
		p, err := profile.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		m := fleet.Member{ID: fleet.ID(77, i), Profile: p}
		if list = append(list, m); !p.Board.UDP {
			tcp = append(tcp, m.ID)
		}
	}
	if err := errors.Join(keys.MakeRSA(t.Context(), tcp, nil), keys.Save(dir, list)); err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		r := cloudref.Registration{ID: store.DeviceID(m.ID), Name: m.ID.String(), Owner: account}
		if r.P256 = keys.Public(m.ID); !m.Profile.Board.UDP {
			r.P256, r.RSA = nil, r.P256
		}
		if err := cloud.Register(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
}

// start brings devices to the cloud.
func (f *foreignCloud) start(t *testing.T) *Env {
	t.Helper()
	e, err := Start(t.Context(), Options{Devices: 10, Spec: &Spec{Cloud: f.spec}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// probed returns what was found of a capability.
func probed(t *testing.T, p Probe, c Capability) report.Capability {
	t.Helper()
	for _, one := range p.Capabilities {
		if one.Name == string(c) {
			return one
		}
	}
	return report.Capability{}
}

const patient = time.Minute

func TestForeignCloud(t *testing.T) {
	t.Parallel()
	e := aForeignCloud(t, nil, nil, "boron@6.2.0", "photon@3.1.0", "electron@1.4.4").start(t)
	p := e.Probe(t.Context(), patient)
	for _, c := range []Capability{CloudUDP, CloudTCP, Functions, VariableReads, CloudPublish, EventStream} {
		if one := probed(t, p, c); one.Probed != yes {
			t.Errorf("%s: %+v", c, one)
		}
	}
	if len(p.Canaries) != 0 || p.Asked != 4 {
		t.Errorf("%d nonsense cases, said yes to %q", p.Asked, p.Canaries)
	}
	for _, d := range e.Devices() {
		tryForeign(t, e, d)
	}
	for _, c := range []Capability{Restarts, VirtualTime, Registration, ClaimCodes, TwoAccounts} {
		if e.Lacks(c) == "" {
			t.Errorf("%s: a foreign cloud lacks nothing", c)
		}
	}
	if e.Lacks(Functions) != "" || e.Lacks(Strangers) != "" {
		t.Error("it lacks too much")
	}
}

// tryForeign does with a device all that goes through the API, and looks at the
// wire.
func tryForeign(t *testing.T, e *Env, d *Device) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if got, err := e.Call(ctx, d, FunctionSum, "abc"); err != nil || got != Sum("abc") {
		t.Errorf("%s: call: %d, %v", d, got, err)
	}
	for name, want := range d.Variables() {
		if got, err := e.Read(ctx, d, name); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %s is %v, want %v; %v", d, name, got, want, err)
		}
	}
	stream := e.Subscribe(0, "foreign/")
	defer stream.Close()
	if err := d.Publish(ctx, "foreign/event", []byte("data")); err != nil {
		t.Fatal(err)
	}
	select {
	case ev := <-stream.C:
		if ev.Device.String() != d.Hex() || ev.Name != "foreign/event" || string(ev.Data) != "data" {
			t.Errorf("%s: the stream says %+v", d, ev)
		}
	case <-ctx.Done():
		t.Errorf("%s: the stream says nothing", d)
	}
	mark := d.Mark()
	if err := e.Publish(ctx, 0, SubscribedTo+"foreign", []byte("down")); err != nil {
		t.Error(err)
	}
	if _, err := d.Await(ctx, mark, func(e *Event) bool { return e.Kind == EventReceived }); err != nil {
		t.Errorf("%s: %v", d, err)
	}
	sealed, messages := 0, 0
	for _, packet := range d.Packets(Mark{}) {
		for i := range packet.Records {
			if packet.Records[i].Message != nil {
				messages++
			} else if packet.Records[i].State != 0 && packet.Records[i].Handshake == nil && packet.Records[i].Problem != "" {
				sealed++
			}
		}
	}
	if sealed > 0 || messages < 10 {
		t.Errorf("%s: %d messages could be read, and %d records not", d, messages, sealed)
	}
}

func TestForeignCloudUpdates(t *testing.T) {
	t.Parallel()
	e := aForeignCloud(t, nil, nil, "boron@6.2.0").start(t)
	e.Probe(t.Context(), patient)
	d := e.Devices()[0]
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	told := make(chan struct{}, 1000)
	if err := e.Flash(ctx, d, Image(d, 9000), func(Progress) { told <- struct{}{} }); err != nil {
		t.Fatal(err)
	}
	if len(told) == 0 {
		t.Error("no progress was told")
	}
	if err := e.Flash(ctx, d, []byte("no image"), nil); err == nil {
		t.Error("an image that is none was sent")
	} else if _, refused := Refusal(err); !refused {
		t.Errorf("not a refusal: %v", err)
	}
}

// TestForeignCloudOverOne has a cloud of which one key is known only.
func TestForeignCloudOverOne(t *testing.T) {
	t.Parallel()
	f := aForeignCloud(t, nil, nil, "boron@6.2.0", "photon@3.1.0")
	f.spec.Keys = f.spec.Keys[1:]
	e := f.start(t)
	if e.Probe(t.Context(), patient); e.Lacks(CloudTCP) != "" || !strings.Contains(e.Lacks(CloudUDP), "--cloud-key") {
		t.Errorf("udp: %q, tcp: %q", e.Lacks(CloudUDP), e.Lacks(CloudTCP))
	}
	absent := 0
	for _, g := range e.Groups() {
		if g.Absent != "" {
			absent++
		}
	}
	if absent != 1 || len(e.Devices()) != 1 {
		t.Errorf("%d groups are absent, %d devices take part", absent, len(e.Devices()))
	}
}

// TestSilentCloud has a cloud that takes everything and says nothing.
func TestSilentCloud(t *testing.T) {
	t.Parallel()
	f := aForeignCloud(t, nil, nil, "boron@6.2.0", "photon@3.1.0")
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	f.spec.UDP, f.spec.TCP = udp.LocalAddr().String(), tcp.Addr().String()
	e := f.start(t)
	p := e.Probe(t.Context(), 3*time.Second)
	for _, c := range []Capability{CloudUDP, CloudTCP} {
		if one := probed(t, p, c); !one.Contradicts() || !strings.Contains(one.Text, "127.0.0.1") {
			t.Errorf("%s: %+v", c, one)
		}
	}
	if len(e.Devices()) != 0 {
		t.Error("devices take part that cannot")
	}
}

// TestCloudWithoutConnectionIDs has a cloud with one feature less, which devices from
// 3.1 on insist on.
func TestCloudWithoutConnectionIDs(t *testing.T) {
	t.Parallel()
	f := aForeignCloud(t, func(c *endpoint.Config) { c.ServerFaults.Extensions = []uint16{0xff01, 0x0b, 0x13, 0x14} }, nil,
		"boron@2.3.1", "boron@6.2.0")
	e := f.start(t)
	p := e.Probe(t.Context(), 20*time.Second)
	if one := probed(t, p, CloudUDP); one.Probed != yes || one.Text != "1 of 2 devices got in" {
		t.Errorf("%+v", one)
	}
	if len(e.Devices()) != 2 {
		t.Error("devices that are refused do not take part: their checks would be silent")
	}
}

// TestDeclaredToLack has a cloud that is declared to lack what it has.
func TestDeclaredToLack(t *testing.T) {
	t.Parallel()
	f := aForeignCloud(t, nil, nil, "boron@6.2.0")
	e, err := Start(t.Context(), Options{Devices: 1, Spec: &Spec{Cloud: f.spec, Capabilities: map[Capability]bool{Functions: false}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Stop() }()
	if one := probed(t, e.Probe(t.Context(), patient), Functions); !one.Contradicts() {
		t.Errorf("%+v", one)
	}
	if e.Lacks(Functions) == "" {
		t.Error("what is declared to be lacking is asked for")
	}
}

// TestAPIWithoutRoutes has an API of which half is missing.
func TestAPIWithoutRoutes(t *testing.T) {
	t.Parallel()
	e := aForeignCloud(t, nil, func(all http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				http.Error(w, "Cannot POST "+r.URL.Path, http.StatusNotFound)
				return
			}
			all.ServeHTTP(w, r)
		})
	}, "boron@6.2.0").start(t)
	e.Probe(t.Context(), patient)
	if e.Lacks(Functions) == "" || e.Lacks(CloudPublish) == "" || e.Lacks(VariableReads) != "" || e.Lacks(EventStream) != "" {
		t.Errorf("functions: %q, publish: %q, variables: %q, stream: %q",
			e.Lacks(Functions), e.Lacks(CloudPublish), e.Lacks(VariableReads), e.Lacks(EventStream))
	}
	usage := new(Usage)
	if _, err := e.View(e.Groups()[0], usage).Call(t.Context(), e.Devices()[0], FunctionSum, ""); err == nil || len(usage.Missing()) != 1 {
		t.Errorf("%v, %v", err, usage.Missing())
	}
}

// TestCloudThatEnds has a cloud that stops while it is judged.
func TestCloudThatEnds(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := listener.Addr().(*net.TCPAddr).AddrPort()
	if why := gone(at); why != "" {
		t.Error(why)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if why := gone(at); !strings.Contains(why, "nobody listens at 127.0.0.1") {
		t.Errorf("got %q", why)
	}
}

// lateHeader sends the header of an event stream with the first thing that is told, not
// before.
type lateHeader struct {
	http.ResponseWriter
	mu     sync.Mutex
	status int
	told   bool
}

func (l *lateHeader) WriteHeader(status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status = status; status != http.StatusOK {
		l.told = true
		l.ResponseWriter.WriteHeader(status)
	}
}

func (l *lateHeader) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.told = l.told || bytes.Contains(b, []byte("event:")); !l.told {
		return len(b), nil
	}
	return l.ResponseWriter.Write(b)
}

// FlushError is what http.ResponseController asks for.
func (l *lateHeader) FlushError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.told {
		return nil
	}
	return http.NewResponseController(l.ResponseWriter).Flush()
}

func (l *lateHeader) Unwrap() http.ResponseWriter { return l.ResponseWriter }

// breathe is the first sign of life.
func (l *lateHeader) breathe() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = true
	_, _ = l.ResponseWriter.Write([]byte("\n"))
	_ = http.NewResponseController(l.ResponseWriter).Flush()
}

// TestStreamWithLateHeader has an API whose event streams begin to say something when
// there is something to say, or after some seconds. Nothing waits for that.
func TestStreamWithLateHeader(t *testing.T) {
	t.Parallel()
	breathe := make(chan struct{})
	e := aForeignCloud(t, nil, func(all http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.URL.Path, "/events") || r.Method != http.MethodGet {
				all.ServeHTTP(w, r)
				return
			}
			late, over := &lateHeader{ResponseWriter: w}, make(chan struct{})
			breathes := breathe
			if strings.Contains(r.URL.Path, "late") {
				breathes = nil // never
			}
			var done sync.WaitGroup
			done.Go(func() {
				select {
				case <-breathes:
					late.breathe()
				case <-over:
				}
			})
			all.ServeHTTP(late, r)
			close(over)
			done.Wait()
		})
	}, "photon@1.4.4").start(t)
	time.AfterFunc(3*time.Second, func() { close(breathe) })
	e.Probe(t.Context(), patient)
	if why := e.Lacks(EventStream); why != "" {
		t.Fatal(why)
	}
	s := e.Subscribe(0, "late/")
	defer s.Close()
	if err := e.Publish(t.Context(), 0, "late/one", []byte("1")); err != nil {
		t.Fatal(err)
	}
	select {
	case ev, open := <-s.C:
		if !open || ev.Name != "late/one" {
			t.Errorf("open %v, %+v, %v", open, ev, s.Err())
		}
	case <-time.After(patient):
		t.Error("the event did not come")
	}
}

// TestAPIThatSaysYes has an API that agrees to everything.
func TestAPIThatSaysYes(t *testing.T) {
	t.Parallel()
	e := aForeignCloud(t, nil, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"ok":true,"return_value":1,"result":"yes"}`))
		})
	}, "boron@6.2.0").start(t)
	if p := e.Probe(t.Context(), patient); len(p.Canaries) != p.Asked-1 { // its variable has a type that nonsense has not
		t.Errorf("of %d nonsense cases it said yes to %q", p.Asked, p.Canaries)
	}
}

// TestAPIThatNeverAnswers has an API that takes requests and leaves them.
func TestAPIThatNeverAnswers(t *testing.T) {
	t.Parallel()
	e := aForeignCloud(t, nil, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // else the server does not see that the client goes
			<-r.Context().Done()
		})
	}, "boron@6.2.0").start(t)
	p := e.Probe(t.Context(), 20*time.Second)
	for _, c := range []Capability{Functions, VariableReads, CloudPublish, EventStream} {
		if one := probed(t, p, c); !one.Contradicts() || e.Lacks(c) == "" {
			t.Errorf("%s: %+v, lacks %q", c, one, e.Lacks(c))
		}
	}
	if e.Lacks(CloudUDP) != "" {
		t.Error("the wire is not judged although it works")
	}
}

// TestAPIThatHasHeardEnough has an API that limits the rate.
func TestAPIThatHasHeardEnough(t *testing.T) {
	t.Parallel()
	var first atomic.Bool
	e := aForeignCloud(t, nil, func(all http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost && !first.Swap(true) {
				w.Header().Set("Retry-After", "1")
				http.Error(w, `{"error":"too many"}`, http.StatusTooManyRequests)
				return
			}
			all.ServeHTTP(w, r)
		})
	}, "boron@6.2.0").start(t)
	if p := e.Probe(t.Context(), patient); probed(t, p, Functions).Probed != yes || probed(t, p, CloudPublish).Probed != yes {
		t.Errorf("%+v", p.Capabilities)
	}
}

// TestTwoAccounts has a cloud whose devices belong to two accounts.
func TestTwoAccounts(t *testing.T) {
	t.Parallel()
	f := aForeignCloud(t, nil, nil, "boron@6.2.0", "boron@3.1.0")
	second := filepath.Join(t.TempDir(), "second")
	list, err := fleetIDs(f.spec.Devices)
	if err != nil {
		t.Fatal(err)
	}
	account, err := f.cloud.Account(t.Context(), "dave@example.org")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.cloud.Register(t.Context(), cloudref.Registration{ID: list[1], Owner: account, Name: "dave-1"}); err != nil {
		t.Fatal(err)
	}
	token, err := f.api.IssueToken(t.Context(), account, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(second, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	f.spec.API.Second = Secret{File: second}
	e := f.start(t)
	accounts := map[int]int{}
	for _, d := range e.Devices() {
		accounts[d.Account]++
	}
	if e.Lacks(TwoAccounts) != "" || accounts[0] != 1 || accounts[1] != 1 {
		t.Errorf("lacks %q, devices by account %v", e.Lacks(TwoAccounts), accounts)
	}
}

func fleetIDs(dir string) (ids []store.DeviceID, err error) {
	_, list, err := fleet.LoadKeys(dir, 0)
	for _, m := range list {
		ids = append(ids, store.DeviceID(m.ID))
	}
	return ids, err
}

func TestTokensStaySecret(t *testing.T) {
	t.Parallel()
	f := aForeignCloud(t, nil, nil, "boron@6.2.0")
	f.spec.API.URL = "http://127.0.0.1:1" // nobody is there
	e := f.start(t)
	_, err := e.Call(t.Context(), &Device{ID: e.Devices()[0].ID}, FunctionSum, "")
	if err == nil || strings.Contains(err.Error(), f.token) {
		t.Errorf("%v", err)
	}
	f.spec.API.Token = Secret{Env: "MUSTER_TEST_NO_SUCH_VARIABLE"}
	var spec *SpecError
	if _, err := Start(t.Context(), Options{Spec: &Spec{Cloud: f.spec}}); !errors.As(err, &spec) {
		t.Errorf("a token that is not there: %v", err)
	}
}

func TestPrivateKeyIsNoCloudKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	der, err := x509.MarshalPKCS8PrivateKey(virtualKeys().cloudEC)
	if err != nil {
		t.Fatal(err)
	}
	c := &CloudSpec{UDP: "127.0.0.1", Devices: dir, Keys: []string{pemFile(t, dir, "key.pem", der)}}
	if _, err := Start(t.Context(), Options{Spec: &Spec{Cloud: c}}); err == nil || !strings.Contains(err.Error(), "private") {
		t.Errorf("%v", err)
	}
}
