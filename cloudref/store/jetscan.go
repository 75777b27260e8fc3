package store

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

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
			return fmt.Errorf("%w: %v", ErrUnavailable, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("%w: %v", ErrUnavailable, err)
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

func eventSubjectOf(e *Event) string {
	return eventSubject + e.Account.String() + "." + e.Device.String()
}

func (f filter) subject() string {
	account, device := "*", "*"
	if f.account != nil {
		account = f.account.String()
	}
	if f.device != nil {
		device = f.device.String()
	}
	return eventSubject + account + "." + device
}

func (j *jet) follow(f filter, from uint64, fn func(Event)) (func(), error) {
	config := jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{f.subject()},
		DeliverPolicy:  jetstream.DeliverNewPolicy,
	}
	if from > 0 {
		config.DeliverPolicy = jetstream.DeliverByStartSequencePolicy
		config.OptStartSeq = from
	}
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	consumer, err := j.js.OrderedConsumer(ctx, eventStream, config)
	if err != nil {
		return nil, err
	}
	var stopped atomic.Bool
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		if stopped.Load() {
			return
		}
		if e, err := eventOf(m); err == nil {
			fn(e)
		}
		// Else a record of a newer version: the one that reads it is not us.
	})
	if err != nil {
		return nil, err
	}
	return func() {
		stopped.Store(true)
		consuming.Stop()
	}, nil
}

func eventOf(m jetstream.Msg) (e Event, err error) {
	meta, err := m.Metadata()
	if err != nil {
		return e, err
	}
	account, device, _ := strings.Cut(strings.TrimPrefix(m.Subject(), eventSubject), ".")
	if e.Account, err = ParseAccountID(account); err != nil {
		return e, err
	}
	if e.Device, err = ParseDeviceID(device); err != nil {
		return e, err
	}
	e.Sequence = meta.Sequence.Stream
	return e, e.parse(m.Data())
}
