package store

import (
	"context"
	"time"
)

// A bucket is one kind of record: a key-value bucket of JetStream.
type bucket uint8

const (
	bucketMeta bucket = iota
	bucketDevices
	bucketAccounts
	bucketClaims
	bucketSessions
	bucketProgress
	bucketApps
	bucketUsers
	bucketTokens
	bucketClients
	bucketProducts
	bucketMembers
	bucketHooks
	bucketLedgers
	bucketLedgerData
	bucketVitals
	bucketHookLogs
	numBuckets
)

var buckets = [numBuckets]struct {
	name     string
	about    string
	compress bool
}{
	bucketMeta:     {name: "muster_meta", about: "format of the stored state"},
	bucketDevices:  {name: "muster_devices", about: "devices and their public keys"},
	bucketAccounts: {name: "muster_accounts", about: "accounts"},
	bucketClaims:   {name: "muster_claims", about: "claim codes, by hash"},
	bucketSessions: {name: "muster_sessions", about: "sessions, encrypted"},
	bucketProgress: {name: "muster_progress", about: "reserved sequence numbers and windows of sessions"},
	bucketApps:     {name: "muster_apps", about: "application state of devices", compress: true},
	bucketUsers:    {name: "muster_users", about: "hashed passwords of accounts"},
	bucketTokens:   {name: "muster_tokens", about: "tokens, by hash"},
	bucketClients:  {name: "muster_clients", about: "OAuth clients, with hashed secrets"},

	bucketProducts:   {name: "muster_products", about: "products, their groups and their firmware", compress: true},
	bucketMembers:    {name: "muster_members", about: "which device is in which product"},
	bucketHooks:      {name: "muster_hooks", about: "webhooks, encrypted"},
	bucketLedgers:    {name: "muster_ledgers", about: "ledgers"},
	bucketLedgerData: {name: "muster_ledger_data", about: "what ledgers hold", compress: true},
	bucketVitals:     {name: "muster_vitals", about: "what devices measured of themselves", compress: true},
	bucketHookLogs:   {name: "muster_hook_logs", about: "what became of the last calls of webhooks", compress: true},
}

func (b bucket) String() string { return buckets[b].name }

// An entry is a record as a backend holds it.
type entry struct {
	key      string
	value    []byte
	revision Revision
}

// A write puts value under key, or deletes the key. The backend owns value.
type write struct {
	bucket bucket
	key    string // of letters, digits and full stops
	value  []byte
	delete bool

	cas    bool     // fail with ErrConflict unless the revision is expect
	expect Revision // zero: there is no such key
	by     string   // see Op.By
}

// A filter selects events. A nil field selects all.
type filter struct {
	account *AccountID
	device  *DeviceID
}

// A backend keeps bytes. Writes to one bucket take effect in the order of the
// calls. Each done is called exactly once, perhaps before the call returns, and
// then says that the write is durable.
type backend interface {
	write(w write, done func(Revision, error))
	read(b bucket, key string, done func(entry, error))
	// latest is read that never misses a write that was acknowledged, by whatever
	// process. It costs more.
	latest(b bucket, key string, done func(entry, error))

	// scan yields at least every entry whose key matches the pattern (as a NATS
	// subject does: "*" is one token, ">" all that follows) and that exists during the
	// whole scan, in the order of revisions. It may yield an entry again after
	// it was changed. An error from yield ends the scan and is returned.
	scan(ctx context.Context, b bucket, pattern string, yield func(entry) error) error

	// once, if not empty, names the event: see Op.Once.
	appendEvent(e Event, once string, done func(Revision, error))
	// follow calls fn with every event from sequence number from on (0: only
	// those to come), in order, until stop is called.
	follow(f filter, from uint64, fn func(Event)) (stop func(), err error)

	// watch calls fn with every entry of a bucket and then with every change,
	// where other processes write to it too; elsewhere it does nothing. A deleted
	// entry has no value. It returns when the entries that were there are told.
	watch(ctx context.Context, b bucket, fn func(e entry, deleted bool)) (stop func(), err error)

	// appendCall adds a call to the queue.
	appendCall(key string, value []byte, once string, done func(Revision, error))
	// serveCalls hands the calls of the queue to fn, each to one of all who serve,
	// until stop is called. fn may be called on many goroutines.
	serveCalls(atOnce int, fn func(Delivery)) (stop func(), err error)

	putImage(ctx context.Context, id ImageID, data []byte) error
	image(ctx context.Context, id ImageID) ([]byte, error)
	images(ctx context.Context) ([]Image, error)
	deleteImage(ctx context.Context, id ImageID) error
	// sweepImages removes what unfinished uploads left, and says how many.
	sweepImages(ctx context.Context) (int, error)

	// now is the wall clock, or a constant where time is virtual.
	now() time.Time
	close() error
}
