package cluster

import (
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/muster/muster/cloudref/store"
)

// What nodes tell one another is numbered. A number that is left out, or that the
// others say they have reached (they do every second) and that does not come, is a
// message that got lost: with the connection of either node, or because one was too
// slow. It is not told again. The node hears that it has missed something, and asks
// those that it cares about.

const (
	headerFrom   = "Muster-Node"   // who tells
	headerNumber = "Muster-Number" // of what it tells, from 1
)

// A tally is how much a node has told.
type tally struct {
	heard uint64    // the last that arrived
	said  uint64    // what it said to have told, last
	at    time.Time // when it was said
}

// tallyKept is how long a node that is silent may come back and have its lost
// messages noticed.
const tallyKept = time.Hour

// Tell tells all other nodes. Those that it does not reach learn that they have
// missed something, see [Handler].
func (c *Cluster) Tell(message []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock() // they leave in the order of their numbers
	c.tales++
	m := nats.NewMsg(subjectTold)
	m.Header.Set(headerFrom, c.id.String())
	m.Header.Set(headerNumber, strconv.FormatUint(c.tales, 10))
	m.Data = message
	return c.conn.PublishMsg(m)
}

func (c *Cluster) told(m *nats.Msg) {
	from, err := store.ParseNodeID(m.Header.Get(headerFrom))
	if err != nil || from == c.id {
		return
	}
	if number, err := strconv.ParseUint(m.Header.Get(headerNumber), 10, 64); err == nil && c.counts(from, number) {
		c.handler.Missed()
	}
	c.handler.Told(m.Data)
}

// counts notes what has arrived, and reports whether something before it has not.
func (c *Cluster) counts(from store.NodeID, number uint64) (missed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tallies[from]
	if t == nil {
		c.tallies[from] = &tally{heard: number, at: time.Now()}
		return false
	}
	missed = number > t.heard+1
	t.heard = max(t.heard, number)
	return missed
}

// says notes what a node says to have told, and reports whether what it had said
// before has not arrived until now: the two come on different ways. mu is held.
func (c *Cluster) says(from store.NodeID, told uint64, now time.Time) (missed bool) {
	t := c.tallies[from]
	if t == nil {
		c.tallies[from] = &tally{heard: told, said: told, at: now}
		return false
	}
	missed = t.said > t.heard
	t.heard = max(t.heard, t.said)
	t.said, t.at = told, now
	return missed
}

// forgetTallies drops those of nodes that have been silent for long. mu is held.
func (c *Cluster) forgetTallies(now time.Time) {
	for id, t := range c.tallies {
		if now.Sub(t.at) > tallyKept {
			delete(c.tallies, id)
		}
	}
}
