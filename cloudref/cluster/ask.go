package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/muster/muster/cloudref/store"
)

// Headers of questions and answers.
const (
	headerStop = "Muster-Stop" // where to say that the answer is not wanted any more
	headerPart = "Muster-Part" // set in what comes before the answer; without data: the node listens for that
)

// ErrNoNode means that the node that was asked does not live any more.
var ErrNoNode = errors.New("cluster: the node that has the device is gone")

// askEvery is how often it is looked whether the node that was asked still lives.
const askEvery = time.Second

// stopFor is how long a node that is asked may take to begin, and be told still that
// the answer is not wanted any more.
const stopFor = time.Minute

// Ask asks a node and waits for its answer. What the node tells before goes to
// progress. When ctx ends first, the node is told to stop.
func (c *Cluster) Ask(ctx context.Context, node store.NodeID, question []byte, progress func([]byte)) ([]byte, error) {
	inbox, stop := nats.NewInbox(), nats.NewInbox()
	answers := make(chan *nats.Msg, 64)
	sub, err := c.conn.ChanSubscribe(inbox, answers)
	if err != nil {
		return nil, fmt.Errorf("cluster: asking: %w", err)
	}
	stopping := false
	defer func() {
		if !stopping {
			_ = sub.Unsubscribe()
		}
	}()
	m := nats.NewMsg(subjectAsk + node.String())
	m.Reply, m.Data = inbox, question
	m.Header.Set(headerStop, stop)
	if err := c.conn.PublishMsg(m); err != nil {
		return nil, fmt.Errorf("cluster: asking: %w", err)
	}
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		select {
		case a := <-answers:
			switch {
			case a.Header.Get("Status") == "503": // nobody listens there
				return nil, ErrNoNode
			case a.Header.Get(headerPart) == "":
				return a.Data, nil
			case progress != nil && len(a.Data) > 0:
				progress(a.Data)
			}
		case <-tick.C:
			if !c.lives(node) {
				return nil, ErrNoNode
			}
		case <-ctx.Done():
			stopping = true
			_ = c.conn.Publish(stop, nil)
			go c.keepStopping(sub, answers, stop)
			return nil, ctx.Err()
		}
	}
}

// keepStopping tells a node once more that its answer is not wanted, as soon as it
// listens for that: what was said before is lost.
func (c *Cluster) keepStopping(sub *nats.Subscription, answers <-chan *nats.Msg, stop string) {
	defer func() { _ = sub.Unsubscribe() }()
	late := time.NewTimer(stopFor)
	defer late.Stop()
	for {
		select {
		case a := <-answers:
			if a.Header.Get(headerPart) == "" {
				return // it has answered, or there is no such node
			}
			_ = c.conn.Publish(stop, nil)
		case <-c.stop:
			return
		case <-late.C:
			return
		}
	}
}

func (c *Cluster) lives(node store.NodeID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, known := c.nodes[node]
	return known
}

// asked answers a question on a goroutine of its own: a device may take its time.
func (c *Cluster) asked(m *nats.Msg) {
	stop := make(chan struct{})
	sub, err := c.conn.Subscribe(m.Header.Get(headerStop), func(*nats.Msg) { close(stop) })
	if err != nil {
		return
	}
	if err := sub.AutoUnsubscribe(1); err != nil {
		return
	}
	tell := func(part []byte) {
		p := nats.NewMsg(m.Reply)
		p.Header.Set(headerPart, "1")
		p.Data = part
		_ = c.conn.PublishMsg(p)
	}
	tell(nil)
	go func() {
		defer func() { _ = sub.Unsubscribe() }()
		answer := c.handler.Answer(stop, m.Data, tell)
		_ = c.conn.Publish(m.Reply, answer)
	}()
}
