package cloudref

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/cluster"
	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/hooks"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/cloudref/traffic"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// A Cloud is a running reference cloud. It is safe for concurrent use.
type Cloud struct {
	o      Options
	store  *store.Store
	faults endpoint.Faults
	node   *endpoint.Node
	driver *driver
	calls  calls
	events events
	safe   safeMode
	fleet  fleet
	order  order
	hooks  *hooks.Runner
	trust  trust
	// traffic remembers what devices say, nil without Options.Page.
	traffic *traffic.Recorder

	refusals refusals
	visits   atomic.Uint64 // of the doctor
	metrics  *metrics

	id    store.NodeID // of this node, zero where there is no other
	nodes atomic.Pointer[nodes]
}

// Start runs a cloud until Stop. The error says what to do.
func Start(ctx context.Context, o Options) (*Cloud, error) {
	if o.Clock == nil {
		o.Clock = transport.NewClock()
	}
	if o.Log == nil {
		o.Log = func(string) {}
	}
	if o.Dir != "" {
		if err := os.MkdirAll(o.Dir, 0o700); err != nil {
			return nil, fmt.Errorf("cloud: making the data directory: %w", err)
		}
	}
	if err := o.loadKeys(); err != nil {
		return nil, err
	}
	st, err := openStore(ctx, o)
	if err != nil {
		return nil, err
	}
	c := &Cloud{o: o, store: st}
	if st.Conn() != nil {
		c.id = cluster.NewID()
		if err := agreeOnKeys(ctx, st, &c.o); err != nil {
			return nil, errors.Join(err, st.Close())
		}
	}
	c.calls.init()
	c.order.init()
	c.safe.init()
	c.fleet.init()
	c.o.Hooks.Log = o.Log
	c.hooks = hooks.NewRunner(c.o.Hooks, st, replier{c})
	st.OnCallDropped(c.hooks.Dropped)
	if o.Page {
		c.traffic = traffic.NewRecorder(c.Time, c.ownerOf)
	}
	c.refusals.init()
	c.metrics = newMetrics(c)
	c.events.init(c.metrics.cut.Inc)
	c.driver = newDriver(&c.o)
	if err := c.startNode(ctx); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	if err := c.driver.start(c.node); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	if err := c.join(); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	c.resumeFlashes()
	c.Own(c.TCP())
	if err := c.hooks.Start(); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func openStore(ctx context.Context, o Options) (*store.Store, error) {
	switch {
	case o.Memory:
		return store.NewMemory(), nil
	case o.NATS != "":
		if err := o.needSessionKey(); err != nil {
			return nil, err
		}
		return store.Open(ctx, store.Config{URL: o.NATS, Files: o.NATSFiles, KeyFile: o.keyFile(), Warn: o.Log})
	case o.Dir != "":
		return store.Open(ctx, store.Config{Dir: o.storeDir(), SyncAlways: o.SyncAlways, Warn: o.Log})
	default:
		return store.NewMemory(), nil
	}
}

// queueMax is how many messages may wait for one device: the pieces of the largest
// answer of a webhook, and some.
const queueMax = 240

func (c *Cloud) startNode(ctx context.Context) error {
	config := endpoint.Config{
		Store: c.store, Node: c.id, Rand: rand.Reader, Seed: randomSeed(), KeepSecrets: c.o.KeepSecrets,
		WallClock:    func(at clock.Instant) time.Time { return c.o.Clock.Start().Add(time.Duration(at)) },
		Observe:      c.observe,
		Along:        c.along,
		Spawn:        c.driver.spawn,
		Wake:         c.driver.wake,
		Welcome:      c.trust.open,
		Adopt:        c.adopt,
		ClassicStale: true,
		App:          app.Config{Epoch: c.o.Clock.Start().Unix(), AnswerTimeout: c.o.AnswerTimeout, Share: newShare(), QueueMax: queueMax, Ledgers: true},
	}
	if c.o.UDP.IsValid() {
		config.ECKey = c.o.ECKey
	}
	if c.o.TCP.IsValid() {
		config.RSAKey = c.o.RSAKey
	}
	if c.traffic != nil {
		config.Traffic = c.traffic.Traffic
	}
	if c.o.Adjust != nil {
		c.o.Adjust(&config)
	}
	c.faults = config.Faults
	node, err := endpoint.New(ctx, config)
	c.node = node
	if err == nil && node.Counts().Restored.Load() > restoredMany {
		// What reading left behind is more than what stays, and the next collection
		// would wait until as much again is used.
		debug.FreeOSMemory()
	}
	return err
}

// restoredMany is how many sessions of a start are worth a collection, which takes
// a second for a million.
const restoredMany = 50_000

// Stop closes the sockets and the store. Sessions stay: devices resume them when
// a cloud with the same state is back.
func (c *Cloud) Stop() error {
	c.hooks.Stop()
	err := c.leave()
	c.driver.stop()
	c.node.KeepWindows()
	c.safe.stop()
	c.fleet.stop()
	c.calls.cancel()
	c.events.close()
	return errors.Join(err, c.store.Close())
}

// UDP and TCP return the addresses that the cloud listens on, the zero AddrPort
// for a transport that is off.
func (c *Cloud) UDP() netip.AddrPort { return c.driver.udpAddr }

// TCP returns the address for boards over TCP, see [Cloud.UDP].
func (c *Cloud) TCP() netip.AddrPort { return c.driver.tcpAddr }

// PublicKeyUDP returns the key that devices over UDP pin, SubjectPublicKeyInfo
// in DER, 91 bytes.
func (c *Cloud) PublicKeyUDP() []byte { return spki(&c.o.ECKey.PublicKey) }

// PublicKeyTCP returns the key that devices over TCP pin, SubjectPublicKeyInfo in
// DER, 294 bytes.
func (c *Cloud) PublicKeyTCP() []byte { return spki(&c.o.RSAKey.PublicKey) }

func spki(key any) []byte {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic(fmt.Sprintf("cloudref: encoding our own key: %v", err))
	}
	return der
}

// Node returns what drives the sessions, for counters and for tests.
func (c *Cloud) Node() *endpoint.Node { return c.node }

// Store returns what the cloud remembers.
func (c *Cloud) Store() *store.Store { return c.store }

// Clock returns the time of the run.
func (c *Cloud) Clock() *transport.Clock { return c.o.Clock }

// RSAKey returns the private key of the cloud over TCP, with which a harness on
// the same machine reads what crosses the wire.
func (c *Cloud) RSAKey() *rsa.PrivateKey { return c.o.RSAKey }
