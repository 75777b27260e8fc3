package cloudref

import (
	"context"
	"net/http"
	"time"

	"github.com/muster/muster/cloudref/api"
	"github.com/muster/muster/cloudref/page"
)

// API returns the REST interface and the event streams of the cloud, an
// http.Handler. The fields Cloud and Store of config are set here.
//
//	rest := cloud.API(api.Config{})
//	server := rest.HTTP(rest)
//	go server.Serve(listener)
//	…
//	server.Shutdown(ctx) // ends the event streams too
//	cloud.Stop()
func (c *Cloud) API(config api.Config) *api.Server {
	config.Cloud, config.Store = rest{c}, c.store
	return api.New(config)
}

// withPage returns rest with the live page at /, if the cloud has one.
func (c *Cloud) withPage(rest *api.Server) http.Handler {
	if c.traffic == nil {
		return rest
	}
	return page.Handler(page.Config{
		Account: rest.Account, Store: c.store, Status: c.Status, Time: c.Time, Traffic: c.traffic, Closing: rest.Closing(),
		Reader: rest.Reader,
	}, rest)
}

// rest is a Cloud as package api wants it.
type rest struct{ *Cloud }

// Subscribe implements api.Cloud.
func (r rest) Subscribe(which api.Selection) api.Stream { return restStream{r.share(which)} }

// Publish implements api.Cloud.
func (r rest) Publish(ctx context.Context, p api.Publication) error { return r.publish(ctx, p) }

// restStream is a Stream as package api wants it.
type restStream struct{ s *Stream }

// Next implements api.Stream.
func (s restStream) Next(stop <-chan struct{}, tick <-chan time.Time) (api.Event, api.Next) {
	select {
	case e, open := <-s.s.shared:
		if !open {
			return api.Event{}, api.NextEnded
		}
		return *e, api.NextEvent
	case <-tick:
		return api.Event{}, api.NextTick
	case <-stop:
		return api.Event{}, api.NextStopped
	}
}

// Close implements api.Stream.
func (s restStream) Close() { s.s.Close() }
