package store

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// scanBatch is how many messages a scan asks for at a time.
const scanBatch = 5000

func (j *jet) scan(ctx context.Context, b bucket, pattern string, yield func(entry) error) error {
	config := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}
	if pattern != ">" { // a filter that admits all still costs
		config.FilterSubjects = []string{j.subject(b, pattern)}
	}
	consumer, err := j.js.OrderedConsumer(ctx, bucketStream+b.String(), config)
	if err != nil {
		return err
	}
	if info := consumer.CachedInfo(); info != nil && info.NumPending == 0 {
		return nil
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(scanBatch))
	if err != nil {
		return err
	}
	defer messages.Stop()
	defer context.AfterFunc(ctx, messages.Stop)()

	skip := len(j.subject(b, ""))
	for {
		m, err := messages.Next()
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if m.Headers().Get(headerOperation) != operationDelete {
			e := entry{key: m.Subject()[skip:], value: m.Data(), revision: Revision(meta.Sequence.Stream)}
			if err := yield(e); err != nil {
				return err
			}
		}
		if meta.NumPending == 0 {
			return nil
		}
	}
}
