package api

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/hooks"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
)

// A Cloud is what the API needs of the cloud behind it. Commands to devices fail
// with an *app.Failure where the device is the reason.
type Cloud interface {
	// Status returns what the cloud knows of a device right now.
	Status(id store.DeviceID) endpoint.Status
	// Time returns the time of day at an Instant of this run.
	Time(at clock.Instant) time.Time

	Call(ctx context.Context, id store.DeviceID, function, argument string) (int32, error)
	Read(ctx context.Context, id store.DeviceID, variable string) (pdc.Value, error)
	Ping(ctx context.Context, id store.DeviceID) error
	Signal(ctx context.Context, id store.DeviceID, on bool) error
	ForceUpdates(ctx context.Context, id store.DeviceID, on bool) error
	// Flash sends an image and returns when the device runs it. What becomes of it
	// is told on the streams too. progress must be quick.
	Flash(ctx context.Context, id store.DeviceID, image []byte, progress func(app.FlashProgress)) error

	// AskVitals asks a device to report its vitals, and does not wait for it: they come
	// into the store, and on the streams as spark/device/diagnostics/update.
	AskVitals(id store.DeviceID)

	// Publish publishes an event of the API. It returns when that is durable.
	Publish(ctx context.Context, p Publication) error
	// Subscribe opens a stream of events, those of the cloud itself (spark/status
	// and so on) among them.
	Subscribe(which Selection) Stream

	// OfferFirmware sends a device the firmware that its product wants it to have,
	// if it is online and has another. It does not wait.
	OfferFirmware(id store.DeviceID)

	// LedgerChanged says that a ledger has other data for a scope, and LedgerDefined
	// that the ledger itself is new or was archived: devices hear of it.
	LedgerChanged(l *store.Ledger, scope string, updated time.Time)
	LedgerDefined(l *store.Ledger)

	// HookHistory returns what became of the last calls of a webhook. TestHook makes a
	// call at once and returns the body of the answer; its error is a *hooks.SpecError
	// where the hook or its server is the reason.
	HookHistory(ctx context.Context, id store.DeviceID) (hooks.History, error)
	TestHook(ctx context.Context, h *store.Hook, e Event) ([]byte, error)
	// Own says that the API is served on an address, which webhooks must not reach.
	Own(a netip.AddrPort)

	ClaimCode(ctx context.Context, owner store.AccountID, valid time.Duration) (string, error)
	// OwnerChanged says that a device has another owner in the store, or none:
	// from now on it hears that account's events.
	OwnerChanged(id store.DeviceID)
}

// A Publication is an event of the API.
type Publication struct {
	Owner store.AccountID // whose devices hear it
	// Product is the product whose event it is, zero for none.
	Product store.ProductID
	// Device is the device in whose name it is published, zero for none.
	Device store.DeviceID
	Event  app.Event
}

// A Selection says which events a stream yields.
type Selection struct {
	// Owner is the account whose events they are. Product, if it is not zero, takes
	// its place: the events of the devices that the product lists, whoever owns
	// them.
	Owner   store.AccountID
	Product store.ProductID
	// Device is who published them; zero: anyone.
	Device store.DeviceID
	// Prefix begins their names.
	Prefix string
	// Everybody makes them those of every account, Patient keeps very many for a reader.
	// They are faults, to prove the suites.
	Everybody, Patient bool
}

// Selects reports whether an event is one of those.
func (s *Selection) Selects(e *Event) bool {
	if !s.Everybody && (s.Product != 0 && s.Product != e.Product || s.Product == 0 && s.Owner != e.Owner) {
		return false
	}
	return (s.Device == store.DeviceID{} || s.Device == e.Device) && strings.HasPrefix(e.Name, s.Prefix)
}

// CoreInternal stands in the place of the publisher of what the cloud says by
// itself.
const CoreInternal = "particle-internal"

// An Event is one event on its way to readers.
type Event struct {
	Name      string
	Data      []byte // nil: none
	Content   pdc.ContentFormat
	TTL       uint32 // seconds
	Published time.Time
	Device    store.DeviceID // who published it; zero for the API
	Core      string         // who published it, if neither a device nor the API
	Owner     store.AccountID
	Product   store.ProductID // that lists the device; zero for none
	Version   uint16          // of the firmware of the product that the device runs
}

// A Stream is one reader's view of the events of an account.
type Stream interface {
	// Next waits for the next event, until stop is closed or tick yields.
	Next(stop <-chan struct{}, tick <-chan time.Time) (Event, Next)
	Close()
}

// Next says why [Stream].Next returned.
type Next uint8

// The outcomes of Next.
const (
	NextEvent   Next = iota // an event came
	NextTick                // tick yielded
	NextStopped             // stop was closed
	NextEnded               // the stream is over: the cloud stopped, or the reader was too slow
)
