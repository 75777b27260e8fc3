package conformance

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/muster/muster/harness/target"
)

func checkStoredTokens(ctx context.Context, e *target.Env, _ *target.Group, r *Recorder) error {
	w, err := e.Web(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	found, files, err := e.StoredInClear(w)
	if err != nil {
		return err
	}
	if files == 0 {
		return fmt.Errorf("the cloud has no files")
	}
	Equal(r, "A-10", "", "tokens in the files of the cloud", strings.Join(found, ", "), "")
	return nil
}

func checkSlowReader(ctx context.Context, e *target.Env, _ *target.Group, r *Recorder) error {
	u, err := e.LeaveUnread(ctx)
	if err != nil {
		return err
	}
	Equal(r, "A-11", "", fmt.Sprintf("of %d events that were published while nobody read, all are kept", u.Published), u.Kept == u.Published, false)
	Equal(r, "A-11", "", fmt.Sprintf("behind %d of them the cloud has ended the stream", u.Kept), u.Ended, true)
	return nil
}

// hookPatience bounds how long a webhook may take to be told of.
const hookPatience = 40 * time.Second

func checkOwnWebhooks(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	w, err := e.Web(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	urls, stop, err := e.OwnAddresses(w)
	if err != nil {
		return err
	}
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	prefix := "api/own/" + g.DeviceOS + g.Transport + "/"
	told, err := w.Listen(ctx, 0, "hook-")
	if err != nil {
		return err
	}
	for n, address := range urls {
		name := fmt.Sprint(prefix, n)
		form := url.Values{"event": {name}, "url": {address}, "requestType": {"GET"}}
		if a, err := w.Ask(ctx, 0, "POST", "/v1/webhooks", form.Encode()); err != nil || a.Status != 201 {
			return fmt.Errorf("making a webhook: %s: %w", a, err)
		}
		if a, err := w.Ask(ctx, 0, "POST", "/v1/devices/events", url.Values{"name": {name}}.Encode()); err != nil || a.Status != 200 {
			return fmt.Errorf("publishing an event: %s: %w", a, err)
		}
	}
	for n := range urls {
		refused := fmt.Sprint("hook-error/", prefix, n, "/0")
		Equal(r, "A-12", "", refused+" is told", told.Await(ctx, hookPatience, refused), true)
	}
	answered := slices.ContainsFunc(told.Seen(), func(name string) bool { return strings.HasPrefix(name, "hook-response/"+prefix) })
	Equal(r, "A-12", "", "one of the webhooks was answered", answered, false)
	Equal(r, "A-12", "", "requests of webhooks that arrived at the API", w.Visited(), 0)
	return nil
}

func checkOverTLS(ctx context.Context, e *target.Env, _ *target.Group, r *Recorder) error {
	s, err := e.Secured(ctx)
	if err != nil {
		return err
	}
	Equal(r, "A-13", "", "status for who trusts its certificate", s.Trusting.Status, 200)
	Equal(r, "A-13", "", "who speaks TLS 1.1 at most is let in", s.Old == nil, false)
	Equal(r, "A-13", "", "who speaks no TLS gets an answer with status 200", s.Plain.Status == 200, false)
	return nil
}
