package store

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"
)

func (j *jet) watch(ctx context.Context, b bucket, fn func(e entry, deleted bool)) (func(), error) {
	if j.embedded != nil {
		return func() {}, nil // nobody else writes
	}
	consumer, err := j.js.OrderedConsumer(ctx, bucketStream+b.String(), jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, FilterSubjects: []string{j.subject(b, ">")},
	})
	if err != nil {
		return func() {}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	caughtUp := make(chan struct{})
	if info := consumer.CachedInfo(); info != nil && info.NumPending == 0 {
		close(caughtUp)
	}
	var stopped, caught atomic.Bool
	skip := len(j.subject(b, ""))
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		meta, err := m.Metadata()
		if err != nil || stopped.Load() {
			return
		}
		e := entry{key: m.Subject()[skip:], value: m.Data(), revision: Revision(meta.Sequence.Stream)}
		fn(e, m.Headers().Get(headerOperation) != "")
		if meta.NumPending == 0 && caught.CompareAndSwap(false, true) {
			select {
			case <-caughtUp:
			default:
				close(caughtUp)
			}
		}
	})
	if err != nil {
		return func() {}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	stop := func() {
		stopped.Store(true)
		consuming.Stop()
	}
	select {
	case <-caughtUp:
		return stop, nil
	case <-ctx.Done():
		stop()
		return func() {}, ctx.Err()
	}
}
