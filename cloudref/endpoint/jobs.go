package endpoint

import (
	"sync"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// A job is work for one device that could not be done where it arose: because
// another device was locked there, or because the store completed a write on a
// goroutine of its own.
type job struct {
	device *device
	run    func(now clock.Instant, d *device, w *work)
}

// jobs is the queue of jobs, in order.
type jobs struct {
	mu   sync.Mutex
	list []job
}

// put queues a job. The caller sees to it that somebody runs it.
func (q *jobs) put(j job) {
	q.mu.Lock()
	q.list = append(q.list, j)
	q.mu.Unlock()
}

func (q *jobs) take() []job {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.list
	q.list = nil
	return list
}

func (q *jobs) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.list) == 0
}

// later queues a job from outside of any call of the node, and asks for
// somebody to run it.
func (n *Node) later(d *device, run func(clock.Instant, *device, *work)) {
	n.jobs.put(job{d, run})
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
	for {
		list := n.jobs.take()
		if len(list) == 0 {
			return
		}
		for _, j := range list {
			j.device.do(now, w, func() { j.run(now, j.device, w) })
		}
	}
}
