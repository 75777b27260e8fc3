package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

func apiSuite() Suite {
	return Suite{
		Name:    "api",
		Text:    "the REST API keeps accounts apart, gives nothing away, and takes nothing without bound",
		Prepare: switchOn,
		Checks: []Check{
			{
				Name: "tokens", Text: "without a good token nothing is answered, and a revoked one is good no more",
				Provoke: "an account's devices are asked for without a token, with one that nobody gave out, and with one before and after it is revoked",
				Observe: "status and error of each answer", Requirements: []string{"A-1", "A-2", "A-3"}, Run: checkTokens,
			},
			{
				Name: "strangers", Text: "a device of another account looks like one that does not exist, and hears nothing",
				Provoke: "each route of a device is asked with another account's token, and for an id that nobody has",
				Observe: "that the two answers are the same, and that no request reaches the device", Requirements: []string{"S14", "A-4", "A-5"}, Run: checkStrangers,
			},
			{
				Name: "possessions", Text: "products, webhooks, clients and ledgers of another account look like ones that do not exist",
				Provoke: "an account makes one of each, and each of their routes is asked with another account's token, and for ones that nobody has",
				Observe: "that the two answers are the same, that lists name none of them, and that all are as they were", Requirements: []string{"S14", "A-15"}, Run: checkPossessions,
			},
			{
				Name: "streams", Text: "an event stream tells the events of its account only",
				Provoke: "a device and the API publish for one account while another listens", Observe: "the events on both streams",
				Requirements: []string{"S9", "S14", "A-6"}, Run: checkStreams,
			},
			{
				Name: "answers", Text: "every answer, also a refusal, is JSON with a body",
				Provoke: "routes that there are and that there are not are asked, rightly and wrongly", Observe: "content type and body of each answer",
				Requirements: []string{"A-7"}, Run: checkAnswers,
			},
			{
				Name: "bounds", Text: "a body of 64 MiB is refused before it is read, and the API goes on",
				Provoke: "64 MiB of a form are sent to publish an event", Observe: "the answer, how much was taken, and the answer to the next request",
				Requirements: []string{"A-8"}, Run: checkBounds,
			},
			{
				Name: "uploads", Text: "an upload of 64 MiB, or of 10,000 parts, is refused, and the API goes on",
				Provoke: "64 MiB are uploaded as one file, and 10,000 small parts in one body", Observe: "the answers, how much was taken, and the answer to the next request",
				Requirements: []string{"A-16"}, Run: checkUploads,
			},
			{
				Name: "keep-alive", Text: "an event stream without events says within 15 s that it is there",
				Provoke: "a stream of events that nobody publishes is read", Observe: "how long nothing comes",
				Requirements: []string{"A-9"}, Run: checkStreamKeepAlive,
			},
			{
				Name: "stored-tokens", Text: "no token can be read in the files of the cloud",
				Provoke: "tokens are given out", Observe: "every byte of the files that the cloud keeps its state in",
				Requirements: []string{"A-10"}, Run: checkStoredTokens,
			},
			{
				Name: "slow-reader", Text: "who does not read its event stream is cut off, and not everything is kept for it",
				Provoke: "12,000 events of 1,000 bytes are published while a stream of them is not read", Observe: "how many are there when it is read again, and whether it ends",
				Requirements: []string{"A-11"}, Run: checkSlowReader,
			},
			{
				Name: "own-webhooks", Text: "a webhook to the API of the cloud itself does not arrive, by any name and by no detour",
				Provoke: "webhooks to the API's own port are called, by each name of the machine and by a redirection", Observe: "which requests of webhooks the API gets, and what is told of each call",
				Requirements: []string{"A-12"}, Run: checkOwnWebhooks,
			},
			{
				Name: "over-tls", Text: "over TLS the API answers who trusts it, and neither TLS 1.1 nor requests in the clear",
				Provoke: "the API is served with a certificate of the cloud's own, and asked in each way", Observe: "the answers",
				Requirements: []string{"A-13"}, Run: checkOverTLS,
			},
			{
				Name: "reclaimed", Text: "a device that changes hands stays connected and can be called",
				Provoke: "a connected device is given up and claimed again", Observe: "what is sent to it, and that it answers a call",
				Requirements: []string{"A-14"}, Run: checkReclaimed,
			},
		},
	}
}

func checkTokens(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	w, err := e.Web(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	ask := func(requirement, what string, who, status int, word string) error {
		a, err := w.Ask(ctx, who, "GET", "/v1/devices/"+g.Devices[0].Hex(), "")
		if err != nil {
			return err
		}
		if Equal(r, requirement, "", what+": status", a.Status, status) && word != "" {
			Equal(r, requirement, "", what+": the error in "+a.Body, strings.Contains(a.Body, word), true)
		}
		return nil
	}
	if err := ask("A-1", "no token", target.Nobody, 400, "invalid_request"); err != nil {
		return err
	}
	if err := ask("A-2", "a token that nobody gave out", target.Anybody, 401, "invalid_token"); err != nil {
		return err
	}
	if !w.HasSpare() {
		return nil // that of a user is not ours to revoke
	}
	owner := target.Spare
	if g.Devices[0].Account != 0 {
		owner = g.Devices[0].Account
	}
	if err := ask("A-3", "a good token", owner, 200, ""); err != nil {
		return err
	}
	if _, err := w.Ask(ctx, target.Spare, "DELETE", "/v1/access_tokens/current", ""); err != nil {
		return err
	}
	return ask("A-3", "a revoked token", target.Spare, 401, "invalid_token")
}

// deviceRoutes are requests that concern a device, behind its id.
var deviceRoutes = []struct{ method, path, form string }{
	{"GET", "", ""},
	{"GET", "/" + target.VariableCount, ""},
	{"GET", "/no-such-variable", ""},
	{"GET", "/events", ""},
	{"POST", "/" + target.FunctionSum, "arg=stranger"},
	{"PUT", "", "name=stolen"},
	{"PUT", "", "signal=1"},
	{"PUT", "/ping", ""},
	{"DELETE", "", ""},
}

// nobodysDevice is an id that no device has.
const nobodysDevice = "e00fce68ffffffffffffffff"

func checkStrangers(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	w, err := e.Web(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	d, stranger, err := twoAccounts(e, g)
	if err != nil || d == nil {
		return err
	}
	mark := d.Mark()
	for _, route := range deviceRoutes {
		theirs, err := w.Ask(ctx, stranger, route.method, "/v1/devices/"+d.Hex()+route.path, route.form)
		if err != nil {
			return err
		}
		nobodys, err := w.Ask(ctx, stranger, route.method, "/v1/devices/"+nobodysDevice+route.path, route.form)
		if err != nil {
			return err
		}
		what := fmt.Sprintf("%s /v1/devices/:id%s", route.method, route.path)
		Equal(r, "A-4", id(d), what+" of another's device is refused", theirs.Status >= 400, true)
		Equal(r, "A-5", id(d), what+": the answer, as for a device that does not exist",
			strings.ReplaceAll(theirs.String(), d.Hex(), "ID"), strings.ReplaceAll(nobodys.String(), nobodysDevice, "ID"))
	}
	// The owner's own call is behind whatever a stranger's would have sent.
	if _, err := e.Call(ctx, d, target.FunctionMinus, ""); err != nil {
		if _, refused := target.Refusal(err); !refused {
			return err
		}
	}
	calls := 0
	for _, s := range messages(d.Packets(mark)) {
		if s.packet.Direction == trace.Down && s.message.Repeat == 0 {
			switch {
			case kind(pdc.KindVariableRequest)(s), kind(pdc.KindSignal)(s):
				calls++
			case kind(pdc.KindFunctionCall)(s) && strings.Contains(string(s.message.Wire), "stranger"):
				calls++
			}
		}
	}
	Equal(r, "A-4", id(d), "requests of a stranger that reached the device", calls, 0)
	return nil
}

// twoAccounts returns a connected device, and the account whose it is not.
func twoAccounts(e *target.Env, g *target.Group) (d *target.Device, other int, err error) {
	for _, d := range g.Devices {
		if d.Connected() {
			return d, 1 - d.Account, e.Needs(target.TwoAccounts)
		}
	}
	return nil, 0, nil // present tells
}

func checkStreams(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	w, err := e.Web(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	d, stranger, err := twoAccounts(e, g)
	if err != nil || d == nil {
		return err
	}
	prefix := "api/" + g.DeviceOS + g.Transport + "/"
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	theirs, err := w.Listen(ctx, stranger, "api/")
	if err != nil {
		return err
	}
	mine, err := w.Listen(ctx, d.Account, prefix)
	if err != nil {
		return err
	}
	publish := func(account int, name string) error {
		a, err := w.Ask(ctx, account, "POST", "/v1/devices/events", url.Values{"name": {name}, "data": {"x"}}.Encode())
		if err == nil && a.Status != 200 {
			err = fmt.Errorf("publishing %s: %s", name, a)
		}
		return err
	}
	if err := publish(d.Account, prefix+"by-api"); err != nil {
		return err
	}
	if err := d.Publish(ctx, prefix+"by-device", []byte("x")); err != nil {
		return err
	}
	for _, name := range []string{prefix + "by-api", prefix + "by-device"} {
		Equal(r, "A-6", id(d), "the owner's stream tells "+name, mine.Await(ctx, answers, name), true)
	}
	if err := publish(stranger, prefix+"marker"); err != nil {
		return err
	}
	Equal(r, "A-6", id(d), "the other account's stream tells its own event", theirs.Await(ctx, answers, prefix+"marker"), true)
	for _, name := range theirs.Seen() {
		if strings.HasPrefix(name, prefix+"by-") {
			r.Fail(report.Finding{Requirement: "A-6", Device: id(d), Text: "the stream of another account tells " + name})
		}
	}
	return nil
}

func checkAnswers(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	w, err := e.Web(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	d := g.Devices[0]
	for _, route := range []struct{ method, path, form string }{
		{"GET", "/v1/devices/" + d.Hex(), ""},
		{"GET", "/v1/devices/" + nobodysDevice, ""},
		{"POST", "/v1/devices/" + d.Hex() + "/no-such-function", "arg=x"},
		{"GET", "/v1/devices/" + d.Hex() + "/no-such-variable", ""},
		{"GET", "/v1/no/such/route", ""},
		{"POST", "/v1/devices/events", "name="},
		{"POST", "/oauth/token", "grant_type=none"},
		{"GET", "/v1/access_tokens/current", ""},
	} {
		a, err := w.Ask(ctx, d.Account, route.method, route.path, route.form)
		if err != nil {
			return err
		}
		what := route.method + " " + route.path
		Equal(r, "A-7", "", what+": the content type begins with application/json", strings.HasPrefix(a.Type, "application/json"), true)
		Equal(r, "A-7", "", what+": the body is JSON and not empty", json.Valid([]byte(a.Body)), true, a.String())
	}
	return nil
}

// What is sent to an API that must not take it, and how much of it may be under way
// in buffers of both systems when it says so, in bytes.
const (
	floodSize = 64 << 20
	floodMost = 32 << 20
)

func checkBounds(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	w, err := e.Web(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	account := g.Devices[0].Account
	a, taken, err := w.Flood(ctx, account, "/v1/devices/events", floodSize)
	if err != nil {
		return err
	}
	Equal(r, "A-8", "", fmt.Sprintf("a body of %d bytes is refused", floodSize), a.Status == 0 || a.Status >= 400 && a.Status < 500, true, a.String())
	Equal(r, "A-8", "", fmt.Sprintf("at most %d bytes were taken, of %d", floodMost, taken), taken <= floodMost, true)
	next, err := w.Ask(ctx, account, "GET", "/v1/access_tokens/current", "")
	if err != nil {
		return err
	}
	Equal(r, "A-8", "", "status of the next answer", next.Status, 200)
	return nil
}

// streamPatience is how long the JavaScript client bears a stream that says nothing.
const streamPatience = 15 * time.Second

func checkStreamKeepAlive(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	w, err := e.Web(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	silent, err := w.Quiet(ctx, g.Devices[0].Account, streamPatience)
	if err != nil {
		return err
	}
	Equal(r, "A-9", "", fmt.Sprintf("the stream was silent for %v", silent.Round(100*time.Millisecond)), silent < streamPatience, true)
	return nil
}

func checkReclaimed(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	w, err := e.Web(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	// Where devices are the run's own they may be given up: those of a user are not ours
	// to risk.
	if err := e.Needs(target.Registration); err != nil {
		return err
	}
	i := slices.IndexFunc(g.Devices, func(d *target.Device) bool { return d.Connected() })
	if i < 0 {
		return nil // present tells
	}
	d := g.Devices[i]
	mark := d.Mark()
	if a, err := w.Ask(ctx, d.Account, "DELETE", "/v1/devices/"+d.Hex(), ""); err != nil || a.Status != 200 {
		return fmt.Errorf("giving up %s: %s: %w", d.Hex(), a, err)
	}
	if a, err := w.Ask(ctx, d.Account, "POST", "/v1/devices", url.Values{"id": {d.Hex()}}.Encode()); err != nil || a.Status != 200 {
		return fmt.Errorf("claiming %s: %s: %w", d.Hex(), a, err)
	}
	_, err = e.Call(ctx, d, target.FunctionMinus, "")
	if _, refused := target.Refusal(err); err != nil && !refused {
		return err
	}
	Equal(r, "A-14", id(d), "a call behind that is answered", err == nil, true)
	told := 0
	for _, s := range messages(d.Packets(mark)) {
		if s.packet.Direction == trace.Down && s.message.Repeat == 0 && kind(pdc.KindLedgerNotify)(s) {
			told++
		}
	}
	Equal(r, "A-14", id(d), "requests about ledgers, of which the device never asked", told, 0)
	return nil
}
