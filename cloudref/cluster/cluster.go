// Package cluster lets the nodes of a cloud work as one: they know which of them a
// device is connected to, ask that one to talk to it, and tell each other of
// events that are not stored.
//
// It is all news over NATS, nothing is kept: what must not be lost is in the
// store. A node says that it lives every second; one that is silent is forgotten
// with its devices after some. Who joins, and who has lost its connection to NATS for
// a moment, asks the others where devices are and tells which it has. Who has missed
// anything else is told that it has.
//
// What this package is not: it knows no device and no session, and decides
// nothing about them.
package cluster

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/muster/muster/cloudref/store"
)

// Subjects. Those of one node end in its id.
const (
	subjectAlive    = "muster.node.alive"
	subjectPresence = "muster.node.presence"
	subjectSync     = "muster.node.sync"
	subjectTold     = "muster.node.told"
	subjectAsk      = "muster.node.ask."
)

const (
	// aliveEvery is how often a node says that it lives, and silentAfter when it is
	// given up: a machine that is busy may be late.
	aliveEvery  = time.Second
	silentAfter = 10 * time.Second
	// flushPatience is how long the server may take to note who listens.
	flushPatience = 10 * time.Second
	// syncChunk is how many devices are told in one message.
	syncChunk = 2000
)

// A Presence says that a device is connected to a node, or was last.
type Presence struct {
	Device    store.DeviceID `json:"d"`
	Node      store.NodeID   `json:"-"`
	Online    bool           `json:"o,omitempty"`
	Gone      bool           `json:"g,omitempty"` // the node has no session of it any more
	Transport string         `json:"t,omitempty"`
	Peer      string         `json:"p,omitempty"`
	At        time.Time      `json:"at"` // when this became so
}

// A Handler is what a node does for the others. Its functions must not block, but
// for Answer, which has a goroutine of its own.
type Handler interface {
	// Arrived hears that a device is connected to another node now, and reports
	// whether that can be: it is late news if the device has connected here since.
	Arrived(p Presence) bool
	// Told hears what another node told, and Missed that something which was told did
	// not arrive.
	Told(message []byte)
	Missed()
	// Answer answers what another node asks; progress may be called before.
	Answer(stop <-chan struct{}, question []byte, progress func([]byte)) (answer []byte)
	// Mine returns the devices that are connected to this node.
	Mine() []Presence
	// Place returns where this node listens.
	Place() Place
}

// A Cluster is the other nodes, as this one sees them.
type Cluster struct {
	id      store.NodeID
	conn    *nats.Conn
	handler Handler
	subs    []*nats.Subscription
	stop    chan struct{}
	done    sync.WaitGroup

	mu      sync.Mutex
	nodes   map[store.NodeID]time.Time // when it was heard last
	devices map[store.DeviceID]Presence
	places  map[string]place // of the others, by the id of the node
	left    map[store.NodeID]time.Time
	since   time.Time               // when what the others say began to arrive
	tales   uint64                  // that this node has told
	tallies map[store.NodeID]*tally // of the others
}

// news is a message of a node about devices.
type news struct {
	Node    string     `json:"n"`
	Devices []Presence `json:"devices,omitempty"`
	// Leaving says that the node ends.
	Leaving bool `json:"leaving,omitempty"`
	// Told is how much it has told.
	Told uint64 `json:"told,omitempty"`
	// Place is where it listens.
	Place *Place `json:"place,omitempty"`
}

// NewID draws the id of a node. Each run of a program is a node of its own.
func NewID() (id store.NodeID) {
	if _, err := rand.Read(id[:]); err != nil {
		panic("cluster: no random bytes: " + err.Error()) // crypto/rand never returns one
	}
	return id
}

// Join makes this process a node.
func Join(conn *nats.Conn, id store.NodeID, h Handler) (*Cluster, error) {
	c := &Cluster{
		id: id, conn: conn, handler: h, stop: make(chan struct{}),
		nodes: make(map[store.NodeID]time.Time), devices: make(map[store.DeviceID]Presence), tallies: make(map[store.NodeID]*tally),
		places: make(map[string]place), left: make(map[store.NodeID]time.Time), since: time.Now(),
	}
	for subject, receive := range map[string]nats.MsgHandler{
		subjectAlive: c.alive, subjectPresence: c.presence, subjectSync: c.sync, subjectTold: c.told, subjectAsk + id.String(): c.asked,
	} {
		sub, err := conn.Subscribe(subject, receive)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("cluster: joining: %w", err), c.unsubscribe())
		}
		c.subs = append(c.subs, sub)
	}
	// What the others say from now on arrives here; they answer with what they know.
	if err := conn.FlushTimeout(flushPatience); err != nil {
		return nil, errors.Join(fmt.Errorf("cluster: joining: %w", err), c.unsubscribe())
	}
	c.publish(subjectSync, news{Node: id.String()})
	c.done.Go(c.live)
	return c, nil
}

// Leave tells the others that this node ends, and stops listening to them.
func (c *Cluster) Leave() error {
	close(c.stop)
	c.done.Wait()
	c.publish(subjectAlive, news{Node: c.id.String(), Leaving: true})
	return errors.Join(c.unsubscribe(), c.conn.FlushTimeout(flushPatience))
}

func (c *Cluster) unsubscribe() (err error) {
	for _, s := range c.subs {
		err = errors.Join(err, s.Unsubscribe())
	}
	return err
}

// publish sends news. What does not leave, or gets lost with a connection, is told
// again when there is the next.
func (c *Cluster) publish(subject string, n news) {
	b, err := json.Marshal(n)
	if err != nil {
		panic("cluster: encoding news: " + err.Error())
	}
	_ = c.conn.Publish(subject, b)
}

// live says that this node lives, and forgets those that do not.
func (c *Cluster) live() {
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	back := c.conn.StatusChanged(nats.CONNECTED)
	defer c.conn.RemoveStatusListener(back)
	for {
		c.SayAlive()
		select {
		case now := <-tick.C:
			c.forgetSilent(now)
		case <-back:
			c.mu.Lock()
			c.since = time.Now()
			c.mu.Unlock()
			// Nobody knows what got lost with the connection before this one.
			c.publish(subjectSync, news{Node: c.id.String()})
			c.announceAll()
		case <-c.stop:
			return
		}
	}
}

func (c *Cluster) forgetSilent(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, heard := range c.nodes {
		if now.Sub(heard) > silentAfter {
			c.forget(id)
		}
	}
	c.forgetTallies(now)
	c.forgetPlaces(now)
}

// forget drops a node with its devices. mu is held.
func (c *Cluster) forget(id store.NodeID) {
	delete(c.nodes, id)
	for device, p := range c.devices {
		if p.Node == id {
			delete(c.devices, device)
		}
	}
}

// parse reads news of another node.
func (c *Cluster) parse(m *nats.Msg) (n news, from store.NodeID, other bool) {
	if err := json.Unmarshal(m.Data, &n); err != nil {
		return n, from, false
	}
	from, err := store.ParseNodeID(n.Node)
	return n, from, err == nil && from != c.id
}

func (c *Cluster) alive(m *nats.Msg) {
	n, from, other := c.parse(m)
	if !other {
		return
	}
	if c.noteAlive(n, from, time.Now()) {
		c.handler.Missed()
	}
}

// noteAlive reports whether the node has told something that did not arrive.
func (c *Cluster) noteAlive(n news, from store.NodeID, now time.Time) (missed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n.Leaving {
		c.forget(from)
		delete(c.tallies, from)
		delete(c.places, n.Node)
		c.left[from] = now
		return false
	}
	if _, known := c.nodes[from]; !known {
		// It is new, or was given up although it lives: it tells what it has.
		c.publish(subjectSync, news{Node: c.id.String()})
	}
	c.nodes[from] = now
	c.notePlace(n, now)
	return c.says(from, n.Told, now)
}

// sync tells a node that asks for it which devices are here.
func (c *Cluster) sync(m *nats.Msg) {
	if _, _, other := c.parse(m); other {
		c.announceAll()
	}
}

// announceAll tells the others which devices are here.
func (c *Cluster) announceAll() {
	mine := c.handler.Mine()
	for len(mine) > 0 {
		part := mine[:min(len(mine), syncChunk)]
		mine = mine[len(part):]
		c.Announce(part...)
	}
}

// Announce tells the others of devices that are connected to this node, or no
// more.
func (c *Cluster) Announce(list ...Presence) {
	c.mu.Lock()
	for i := range list {
		if old, known := c.devices[list[i].Device]; known && !list[i].At.Before(old.At) {
			delete(c.devices, list[i].Device) // it is here now
		}
	}
	c.mu.Unlock()
	c.publish(subjectPresence, news{Node: c.id.String(), Devices: list})
}

func (c *Cluster) presence(m *nats.Msg) {
	n, from, other := c.parse(m)
	if !other {
		return
	}
	c.mu.Lock()
	c.nodes[from] = time.Now()
	c.mu.Unlock()
	for _, p := range n.Devices {
		p.Node = from
		if c.late(p) || !p.Gone && !c.handler.Arrived(p) {
			continue
		}
		c.mu.Lock()
		switch {
		case !p.Gone:
			c.devices[p.Device] = p
		case c.devices[p.Device].Node == from:
			delete(c.devices, p.Device)
		}
		c.mu.Unlock()
	}
}

// late reports whether news is of a node that the device has left.
func (c *Cluster) late(p Presence) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	old, known := c.devices[p.Device]
	return known && old.Node != p.Node && p.At.Before(old.At)
}

// Find returns the node that a device is connected to, or was last. It knows
// nothing of devices of this node.
func (c *Cluster) Find(id store.DeviceID) (Presence, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, known := c.devices[id]
	return p, known
}

// Gone reports whether a node is certainly not there: it said that it ends, or was
// silent for long while this one could hear it.
func (c *Cluster) Gone(id store.NodeID) bool { return c.gone(id, time.Now()) }

func (c *Cluster) gone(id store.NodeID, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, lives := c.nodes[id]
	_, left := c.left[id]
	return id != c.id && !lives && (left || c.conn.IsConnected() && now.Sub(c.since) > silentAfter)
}

// Nodes returns the number of nodes, this one included.
func (c *Cluster) Nodes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return 1 + len(c.nodes)
}
