package endpoint

import (
	"sync"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// A job is work for one device that could not be done where it arose: because
// another device was locked there, or because the store completed a write on a
// goroutine of its own. It runs with its device locked.
type job func(now clock.Instant, d *device, w *work)

// jobs are the devices that have jobs waiting. The jobs themselves lie with each
// device and are done in their order, whoever does them: taking them and doing
// them happens under the lock of the device.
type jobs struct {
	mu   sync.Mutex // guards list, and every device's inbox and queued
	list []*device
}

// put queues a job. The caller sees to it that somebody runs it.
func (q *jobs) put(d *device, j job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	d.inbox = append(d.inbox, j)
	if !d.queued {
		d.queued = true
		q.list = append(q.list, d)
	}
}

// next returns a device that has jobs, nil if there is none.
func (q *jobs) next() *device {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.list) == 0 {
		q.list = nil
		return nil
	}
	d := q.list[0]
	q.list = q.list[1:]
	d.queued = false
	return d
}

// take empties the inbox of a device, which is locked.
func (q *jobs) take(d *device) []job {
	q.mu.Lock()
	defer q.mu.Unlock()
	inbox := d.inbox
	d.inbox = nil
	return inbox
}

func (q *jobs) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.list) == 0
}

// later queues a job from outside of any call of the node, and asks for
// somebody to run it.
func (n *Node) later(d *device, j job) {
	n.jobs.put(d, j)
	n.c.Wake()
}

// Run does the jobs that wait. A driver calls it after Config.Wake; every other
// call of the node does so too, at its end.
func (n *Node) Run(now clock.Instant, out *transport.Out) {
	w := n.work(out)
	defer n.release(w)
	n.drain(now, w)
}

// drain runs jobs until none is left: a job may make others.
func (n *Node) drain(now clock.Instant, w *work) {
	for d := n.jobs.next(); d != nil; d = n.jobs.next() {
		d.do(now, w, func() {})
	}
}

// catchUp does the jobs of a device, which is locked.
func (d *device) catchUp(now clock.Instant, w *work) {
	for _, j := range d.n.jobs.take(d) {
		j(now, d, w)
	}
}
