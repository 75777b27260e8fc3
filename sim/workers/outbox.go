package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/workers/plan"
)

// batchMost is how large a batch may be, in bytes, where the server takes so much.
const batchMost = 256 << 10

// An outbox brings what one owner of a part measured to the stream: in order, each
// batch until the server has said that it is stored, and stored once. It is the
// Sink of the part.
type outbox struct {
	bus   *Bus
	run   string
	lease plan.Lease
	say   func(string)

	mu      sync.Mutex
	now     plan.Batch // of the interval that is not over
	queue   []plan.Batch
	closed  bool
	wake    chan struct{}
	done    chan struct{}
	seq     uint64
	last    time.Duration // the latest interval
	pending int           // batches that are not stored
}

// newOutbox returns one that works until it is closed and empty, or ctx is done.
func newOutbox(ctx context.Context, b *Bus, run string, l plan.Lease, say func(string)) *outbox {
	o := &outbox{bus: b, run: run, lease: l, say: say, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go o.work(ctx)
	return o
}

// Sample implements Sink.
func (o *outbox) Sample(s *record.Sample) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.now.Samples) > 0 && o.now.Samples[0].At != s.At {
		o.seal() // the interval before had no end: it is over all the same
	}
	o.now.Samples = append(o.now.Samples, *s)
	o.last = max(o.last, s.At)
	if s.Group == "" {
		o.seal()
	}
}

// Note implements Sink.
func (o *outbox) Note(n record.Note) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now.Notes = append(o.now.Notes, n)
}

// seal queues the interval. o.mu is held.
func (o *outbox) seal() {
	o.queue = append(o.queue, o.now)
	o.now = plan.Batch{}
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// close says that the part is over, and waits until all is stored or ctx is done.
func (o *outbox) close(ctx context.Context) {
	o.mu.Lock()
	o.now.Last = true
	o.seal()
	o.closed = true
	o.mu.Unlock()
	select {
	case <-o.done:
	case <-ctx.Done():
	}
}

// left returns how many intervals are not stored.
func (o *outbox) left() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.queue) + o.pending
}

func (o *outbox) work(ctx context.Context) {
	defer close(o.done)
	for {
		o.mu.Lock()
		var next []plan.Batch
		next, o.queue = o.queue, nil
		o.pending = len(next)
		closed := o.closed
		o.mu.Unlock()
		if !o.send(ctx, next) {
			return
		}
		if len(next) > 0 {
			continue
		}
		if closed {
			return
		}
		select {
		case <-o.wake:
		case <-ctx.Done():
			return
		}
	}
}

// send stores intervals: several in a batch, when several wait, and one in several
// batches, if it is large. It reports false when ctx is done before.
func (o *outbox) send(ctx context.Context, intervals []plan.Batch) bool {
	for len(intervals) > 0 {
		b, n := together(intervals, min(batchMost, o.bus.largest/2))
		b.Part, b.Epoch, b.Worker = o.lease.Part, o.lease.Epoch, o.lease.Worker
		for _, piece := range pieces(b, min(batchMost, o.bus.largest/2)) {
			piece.Seq = o.seq
			o.seq++
			if !o.store(ctx, &piece) {
				return false
			}
		}
		intervals = intervals[n:]
		o.mu.Lock()
		o.pending -= n
		o.mu.Unlock()
	}
	return true
}

// together puts intervals into one batch, as many as fit, but one at least.
func together(intervals []plan.Batch, size int) (b plan.Batch, n int) {
	used := 0
	for _, x := range intervals {
		encoded, err := json.Marshal(&x)
		if err != nil {
			panic("workers: encoding an interval: " + err.Error())
		}
		if used += len(encoded); used > size && n > 0 {
			break
		}
		b.Samples, b.Notes, b.Last = append(b.Samples, x.Samples...), append(b.Notes, x.Notes...), x.Last
		n++
	}
	return b, n
}

// pieces cuts a batch into pieces of some size. One that ends within an interval says
// that there is more of it.
func pieces(b plan.Batch, size int) (list []plan.Batch) {
	head := plan.Batch{Part: b.Part, Epoch: b.Epoch, Worker: b.Worker}
	piece, used := head, 0
	cut := func(more bool) {
		piece.More = more
		list = append(list, piece)
		piece, used = head, 0
	}
	for _, s := range b.Samples {
		encoded, err := json.Marshal(&s)
		if err != nil {
			panic("workers: encoding a sample: " + err.Error())
		}
		if n := len(piece.Samples); n > 0 && used+len(encoded) > size {
			cut(piece.Samples[n-1].At == s.At)
		}
		piece.Samples, used = append(piece.Samples, s), used+len(encoded)
	}
	for _, n := range b.Notes {
		if used > 0 && used+len(n.Text) > size {
			cut(false)
		}
		piece.Notes, used = append(piece.Notes, n), used+len(n.Text)+64
	}
	piece.Last = b.Last
	return append(list, piece)
}

// store stores a batch, trying again until it is.
func (o *outbox) store(ctx context.Context, b *plan.Batch) bool {
	value, err := json.Marshal(b)
	if err != nil {
		panic("workers: encoding a batch: " + err.Error())
	}
	said := false
	for ctx.Err() == nil {
		err := o.bus.publish(ctx, o.run, batchID(o.run, b), value)
		switch {
		case err == nil:
			return true
		case errors.Is(err, nats.ErrMaxPayload):
			o.say(fmt.Sprintf("an interval of part %d is too large for the server (%d bytes) and is left out", b.Part, len(value)))
			lost := plan.Batch{Part: b.Part, Epoch: b.Epoch, Seq: b.Seq, Worker: b.Worker, Last: b.Last, Notes: []record.Note{{
				At: o.last, Kind: "worker", Count: uint64(len(b.Samples)),
				Text: fmt.Sprintf("worker %s could not tell of an interval: it is too large for the server", b.Worker),
			}}}
			return o.store(ctx, &lost)
		case !said && ctx.Err() == nil:
			o.say(fmt.Sprintf("what is measured cannot be stored, trying again: %v", explain(err)))
			said = true
		}
		wait(ctx, 500*time.Millisecond)
	}
	return false
}

// batchID is by what the server knows a batch again.
func batchID(run string, b *plan.Batch) string {
	if b.Key != "" {
		return run + "/" + b.Key
	}
	return fmt.Sprintf("%s/%d/%d/%d", run, b.Part, b.Epoch, b.Seq)
}

// storeTime is how long the server may take to say that it has stored a message. It
// is short, since the answer is lost when the connection is, and a message that comes
// a second time is known by its id.
const storeTime = 2 * time.Second

// publish stores a message of a run, once.
func (b *Bus) publish(ctx context.Context, run, id string, value []byte) error {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	_, err := b.js.PublishMsg(ctx, &nats.Msg{Subject: subjectSamples + run, Data: value},
		jetstream.WithMsgID(id), jetstream.WithExpectStream(Stream), jetstream.WithRetryAttempts(0))
	return err
}

// wait waits, or until ctx is done.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
