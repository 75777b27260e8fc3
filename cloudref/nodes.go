package cloudref

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/muster/muster/cloudref/api"
	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/cluster"
	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/hooks"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
)

// What a cloud of several nodes does besides. The nodes share their state in a NATS
// cluster; which node a device talks to is nobody's choice but the network's.
//
//	a device moves       its new node adopts the session (package endpoint)
//	a command            goes to the node that the device is connected to
//	a stored event       every node follows the stream of events, and leaves out its own
//	any other event      is told to all nodes
//	a webhook            is a call in a queue, made by whoever takes it

// nodes is a cloud's view of the others, nil where there are none.
type nodes struct {
	cloud   *Cloud
	cluster *cluster.Cluster
	stop    func() // of following events
}

// keysName is under what the nodes agree on the keys of the cloud.
const keysName = "cloud_keys"

// agreeOnKeys makes sure that boards take this node for the cloud that they know.
func agreeOnKeys(ctx context.Context, st *store.Store, o *Options) error {
	ours := store.FingerprintOf(spki(&o.ECKey.PublicKey)).String() + " " + store.FingerprintOf(spki(&o.RSAKey.PublicKey)).String()
	theirs, err := st.Agree(ctx, keysName, []byte(ours))
	if err != nil {
		return fmt.Errorf("cloud: comparing keys with the other nodes: %w", err)
	}
	if string(theirs) != ours {
		return fmt.Errorf("cloud: the nodes of a cloud need the same keys, and those in %s are others: copy %s, %s and %s there from the data directory of a node that runs",
			o.Dir, fileECKey, fileRSAKey, filepath.Base(o.keyFile()))
	}
	return nil
}

// needSessionKey makes the key that seals what is stored in a cluster, where it is
// not there yet. Whether it is the cluster's shows when the store opens.
func (o *Options) needSessionKey() error {
	if err := store.NewKeyFile(o.keyFile()); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cloud: %w", err)
	}
	return nil
}

// join makes the cloud a node among others, where its store is shared.
func (c *Cloud) join() error {
	conn := c.store.Conn()
	if conn == nil {
		return nil
	}
	n := &nodes{cloud: c}
	var err error
	if n.cluster, err = cluster.Join(conn, c.id, n); err != nil {
		return err
	}
	c.nodes.Store(n)
	c.hooks.Guard.Others(n.cluster.Places())
	n.stop, err = c.store.Follow(store.Selection{}, n.follow)
	if err != nil {
		return errors.Join(err, n.cluster.Leave())
	}
	return nil
}

// leave is the opposite of join.
func (c *Cloud) leave() error {
	n := c.nodes.Load()
	if n == nil {
		return nil
	}
	if n.stop != nil {
		n.stop()
	}
	return n.cluster.Leave()
}

// Nodes returns how many nodes the cloud has, this one included.
func (c *Cloud) Nodes() int {
	if n := c.nodes.Load(); n != nil {
		return n.cluster.Nodes()
	}
	return 1
}

// follow passes on what other nodes have stored.
func (n *nodes) follow(e store.Event) {
	if e.Node == n.cloud.id {
		return
	}
	event, err := endpoint.ParseEvent(e.Body)
	if err != nil {
		return // of a newer version
	}
	event.Data = append([]byte(nil), event.Data...)
	answers := e.To != (store.DeviceID{})
	switch {
	case answers && strings.HasPrefix(event.Name, hooks.SentPrefix):
		// For people only.
	case answers && e.Product != 0:
		// The owner of the hook need not be that of the device.
		if n.cloud.node.Holds(e.To) {
			n.cloud.node.Command(e.To, func(now clock.Instant, d *app.Device, out *app.Out) { d.Deliver(now, event, app.DeviceID{}, out) })
		}
	default:
		n.cloud.node.Pass(e.Account, event, e.Device)
	}
	told := Event{
		Name: event.Name, Data: event.Data, Content: event.Content, TTL: event.TTL, Published: e.At,
		Device: e.Device, Owner: e.Account, Product: store.ProductID(e.Product), Version: e.Version,
	}
	switch {
	case answers:
		told.Device, told.Core = e.To, api.CoreInternal
	case e.Device != (store.DeviceID{}):
		told.Product = n.cloud.store.ProductOf(e.Device, e.Product)
	}
	n.cloud.events.emit(told)
}

// A tale is what one node tells all others: one of its fields is set.
type tale struct {
	Event *Event `json:"event,omitempty"` // one that is not stored
	// Vitals are wanted of a device, wherever it is.
	Vitals store.DeviceID `json:"vitals,omitzero"`
	// Ledger was defined or, if Updated is not zero, has other data for a scope.
	Ledger  *store.Ledger    `json:"ledger,omitempty"`
	Key     *store.LedgerKey `json:"key,omitempty"` // of Ledger
	Scope   string           `json:"scope,omitempty"`
	Updated time.Time        `json:"updated,omitzero"`
}

// tell tells the other nodes.
func (c *Cloud) tell(t tale) {
	n := c.nodes.Load()
	if n == nil {
		return
	}
	b, err := json.Marshal(t)
	if err != nil {
		panic("cloudref: encoding what nodes tell: " + err.Error())
	}
	if err := n.cluster.Tell(b); err != nil {
		c.o.Log("the other nodes do not hear of something: " + err.Error())
	}
}

// Told implements cluster.Handler.
func (n *nodes) Told(message []byte) {
	var t tale
	if json.Unmarshal(message, &t) != nil {
		return
	}
	switch {
	case t.Event != nil:
		n.cloud.events.emit(*t.Event)
	case t.Vitals != store.DeviceID{}:
		n.cloud.askVitalsHere(t.Vitals)
	case t.Ledger != nil && t.Key != nil:
		t.Ledger.Key = *t.Key
		if t.Updated.IsZero() {
			n.cloud.ledgerDefinedHere(t.Ledger)
		} else {
			n.cloud.ledgerChangedHere(t.Ledger, t.Scope, t.Updated)
		}
	}
}

// Missed implements cluster.Handler. Ledgers of devices that are here may have changed.
func (n *nodes) Missed() { n.cloud.node.ResetLedgers() }

// Arrived implements cluster.Handler.
func (n *nodes) Arrived(p cluster.Presence) bool {
	return !p.Online || n.cloud.node.Elsewhere(p.Device, clock.Instant(p.At.Sub(n.cloud.o.Clock.Start())))
}

// Mine implements cluster.Handler.
func (n *nodes) Mine() (list []cluster.Presence) {
	for _, st := range n.cloud.node.Statuses() {
		if st.Transport != "" {
			list = append(list, cluster.Presence{
				Device: st.Device, Online: st.Online, Transport: st.Transport, Peer: st.Peer, At: n.cloud.Time(max(st.Heard, 0)),
			})
		}
	}
	return list
}

// Place implements cluster.Handler: webhooks of other nodes must not come here.
func (n *nodes) Place() cluster.Place {
	return cluster.Place{Addrs: hooks.MachineAddrs(), Ports: n.cloud.hooks.Guard.OwnPorts()}
}

// tellPlace tells the other nodes of a port at once.
func (c *Cloud) tellPlace() {
	if n := c.nodes.Load(); n != nil {
		n.cluster.SayAlive()
	}
}

// announce tells the other nodes where a device is.
func (c *Cloud) announce(o endpoint.Observation) {
	n := c.nodes.Load()
	if n == nil {
		return
	}
	n.cluster.Announce(cluster.Presence{
		Device: o.Device, Online: o.What == endpoint.Online || o.What == endpoint.Adopted, Gone: o.What == endpoint.Ended,
		Transport: o.Session.Transport, Peer: o.Session.Peer, At: c.Time(o.At),
	})
}

// elsewhere returns the node that a device is connected to, if it is not this one: over
// UDP also where that node is about to find out whether the device is there.
func (c *Cloud) elsewhere(id store.DeviceID) (store.NodeID, bool) {
	n := c.nodes.Load()
	if n == nil || c.node.Holds(id) {
		return store.NodeID{}, false
	}
	p, known := n.cluster.Find(id)
	return p.Node, known && (p.Online || p.Transport == "udp")
}

// reclaim brings the session of a device here whose node is gone, so that it can be
// asked before it says anything itself.
func (c *Cloud) reclaim(ctx context.Context, id store.DeviceID) {
	n := c.nodes.Load()
	if n == nil {
		return
	}
	done := make(chan struct{})
	c.node.Reclaim(id, &endpoint.Claim{Gone: n.cluster.Gone, Local: c.speaksFrom}, sync.OnceFunc(func() { close(done) }))
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// speaksFrom returns the address that a device knows the cloud by, if it is this node's
// now: who has several machines behind one address gives it to the next when one dies.
// Else the system chooses.
func (c *Cloud) speaksFrom(local netip.AddrPort) netip.AddrPort {
	if local.Port() == c.UDP().Port() && slices.Contains(hooks.MachineAddrs(), local.Addr()) {
		return local
	}
	return netip.AddrPort{}
}

// An reply is what a node answers. Of Error and Failure at most one is set.
type reply struct {
	Result  app.Result   `json:"result"`
	Failure *app.Failure `json:"failure,omitempty"` // of the device
	Error   string       `json:"error,omitempty"`
}

func (r *reply) err() error {
	switch {
	case r.Failure != nil:
		return r.Failure
	case r.Error != "":
		return errors.New(r.Error)
	default:
		return nil
	}
}

// askNode has a command done by another node.
func (c *Cloud) askNode(ctx context.Context, node store.NodeID, q *question) (app.Result, error) {
	return c.askNodeWith(ctx, node, q, nil)
}

func (c *Cloud) askNodeWith(ctx context.Context, node store.NodeID, q *question, progress func([]byte)) (app.Result, error) {
	b, err := json.Marshal(q)
	if err != nil {
		return app.Result{}, fmt.Errorf("cloud: device %s: %w", q.Device, err)
	}
	answer, err := c.nodes.Load().cluster.Ask(ctx, node, b, progress)
	if errors.Is(err, cluster.ErrNoNode) {
		return app.Result{}, &app.Failure{Device: app.DeviceID(q.Device), Reason: app.Unreachable, Detail: "the node that it was connected to is gone; it comes back by itself"}
	}
	if err != nil {
		return app.Result{}, fmt.Errorf("cloud: device %s: %w", q.Device, err)
	}
	var r reply
	if err := json.Unmarshal(answer, &r); err != nil {
		return app.Result{}, fmt.Errorf("cloud: device %s: the node that has it answered nonsense: %w", q.Device, err)
	}
	return r.Result, r.err()
}

// answerPatience bounds a command that another node asked for and forgot.
const answerPatience = 5 * time.Minute

// Answer implements cluster.Handler.
func (n *nodes) Answer(stop <-chan struct{}, b []byte, progress func([]byte)) []byte {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	over := ctx.Done()
	go func() {
		select {
		case <-stop:
			cancel()
		case <-over:
		}
	}()
	var q question
	var r reply
	err := json.Unmarshal(b, &q)
	_, known := commands[q.Command]
	switch {
	case err != nil:
	case q.Command == commandFlash:
		err = n.flash(ctx, &q, progress)
	case known:
		var done context.CancelFunc
		ctx, done = context.WithTimeout(ctx, answerPatience)
		defer done()
		r.Result, err = n.cloud.command(ctx, &q)
	default:
		err = fmt.Errorf("cloud: this node knows no command %q: it is of another version", q.Command)
	}
	if err != nil && !errors.As(err, &r.Failure) {
		r.Error = err.Error()
	}
	answer, err := json.Marshal(r)
	if err != nil {
		panic("cloudref: encoding an answer: " + err.Error())
	}
	return answer
}

// flash flashes a device of this node with an image that another node has stored.
func (n *nodes) flash(ctx context.Context, q *question, progress func([]byte)) error {
	data, err := n.cloud.store.Image(ctx, q.Image)
	if err != nil {
		return err
	}
	return n.cloud.flashHere(ctx, q.Device, data, func(p app.FlashProgress) {
		if b, err := json.Marshal(p); err == nil {
			progress(b)
		}
	})
}

// flashThere has another node flash a device of it.
func (c *Cloud) flashThere(ctx context.Context, node store.NodeID, id store.DeviceID, image store.ImageID, progress func(app.FlashProgress)) error {
	_, err := c.askNodeWith(ctx, node, &question{Command: commandFlash, Device: id, Image: image}, func(b []byte) {
		var p app.FlashProgress
		if progress != nil && json.Unmarshal(b, &p) == nil {
			progress(p)
		}
	})
	return err
}

// statusPatience is how long the store may take to tell of a device.
const statusPatience = 2 * time.Second

// Status returns what the cloud knows of a device right now, at whatever node.
func (c *Cloud) Status(id store.DeviceID) endpoint.Status {
	st, _ := c.node.Status(id)
	n := c.nodes.Load()
	if n == nil || st.Transport != "" {
		return st
	}
	ctx, cancel := context.WithTimeout(context.Background(), statusPatience)
	defer cancel()
	if stored, err := c.node.StoredStatus(ctx, id); err == nil {
		st = stored
	}
	if p, known := n.cluster.Find(id); known {
		st.Online, st.Transport, st.Peer = p.Online, p.Transport, p.Peer
		st.Heard = max(0, clock.Instant(p.At.Sub(c.o.Clock.Start())))
	}
	return st
}

// firstLogin reports whether this node is the one that makes the login of the
// first user.
func (c *Cloud) firstLogin(ctx context.Context) (bool, error) {
	if c.nodes.Load() == nil {
		return true, nil
	}
	agreed, err := c.store.Agree(ctx, "first_login", []byte(c.id.String()))
	return string(agreed) == c.id.String(), err
}
