package store

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The queue of webhook calls: a stream whose messages go when they are
// acknowledged, with one subject for each hook and class of sizes.
const (
	callStream   = "muster_calls"
	callSubject  = "muster.calls."
	callConsumer = "hooks"

	// callWait is how long one request for a call stays open.
	callWait = 30 * time.Second
)

func callConfig(c Config) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        callStream,
		Description: "webhook calls to be made",
		Subjects:    []string{callSubject + "*"},
		Retention:   jetstream.WorkQueuePolicy,
		Storage:     jetstream.FileStorage,
		Replicas:    c.Replicas,
		MaxBytes:    callBytesMax,
		// A hook whose server is away fills its own part of the queue only.
		Discard:              jetstream.DiscardNew,
		DiscardNewPerSubject: true,
		MaxMsgsPerSubject:    CallsMax,
		Duplicates:           c.duplicates(),
	}
}

// codeStoreFailed is JetStream's for a stream, or a subject in it, that is full.
const codeStoreFailed = 10077

func (j *jet) appendCall(key string, value []byte, once string, done func(Revision, error)) {
	if s := j.requests.space; s != nil {
		if err := s.check(time.Now()); err != nil {
			done(0, err)
			return
		}
	}
	msg := &nats.Msg{Subject: callSubject + key, Data: value}
	j.once(msg, once)
	j.requests.send(msg, func(m *nats.Msg, err error) {
		if err != nil {
			done(0, err)
			return
		}
		var ack struct {
			Error *apiError `json:"error"`
		}
		if json.Unmarshal(m.Data, &ack) == nil && ack.Error != nil &&
			ack.Error.ErrCode == codeStoreFailed && strings.Contains(ack.Error.Description, "maximum") {
			done(0, ErrQueueFull)
			return
		}
		done(j.acked.note(callStream, m.Data))
	})
}

// callsWaiting returns how many calls wait, by the key of [callKey].
func (j *jet) callsWaiting(ctx context.Context) (map[string]uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	s, err := j.js.Stream(ctx, callStream)
	if err != nil {
		return nil, err
	}
	counts := make(map[string]uint64)
	if s.CachedInfo().State.Msgs == 0 {
		return counts, nil
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(callSubject+">"))
	if err != nil {
		return nil, err
	}
	for subject, n := range info.State.Subjects {
		counts[strings.TrimPrefix(subject, callSubject)] = n
	}
	return counts, nil
}

func (j *jet) serveCalls(atOnce int, fn func(Delivery)) (func(), error) {
	consumer, err := j.callConsumer()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() { takeCalls(ctx, consumer, fn) })
	}
	return func() {
		cancel()
		workers.Wait()
	}, nil
}

// callConsumer returns what all nodes take calls from.
func (j *jet) callConsumer() (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	if j.embedded != nil {
		// What this process was about before it died need not wait until its
		// time is up: nobody else can be at it.
		err := j.js.DeleteConsumer(ctx, callStream, callConsumer)
		if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return nil, err
		}
	}
	return j.js.CreateOrUpdateConsumer(ctx, callStream, jetstream.ConsumerConfig{
		Durable: callConsumer, AckPolicy: jetstream.AckExplicitPolicy, AckWait: CallPatience,
		// Calls that wait to be repeated count as pending: they must not keep
		// others out.
		MaxAckPending: -1,
		MaxWaiting:    4096,
	})
}

// takeCalls is one worker: it takes a call, and the next when that is done.
func takeCalls(ctx context.Context, consumer jetstream.Consumer, fn func(Delivery)) {
	for ctx.Err() == nil {
		m, err := nextCall(ctx, consumer)
		if err != nil {
			if !errors.Is(err, nats.ErrTimeout) && !errors.Is(err, jetstream.ErrNoMessages) {
				pause(ctx, time.Second) // the storage is away
			}
			continue
		}
		meta, err := m.Metadata()
		if err != nil {
			continue
		}
		c, class, err := parseCall(strings.TrimPrefix(m.Subject(), callSubject), m.Data())
		if err != nil {
			// Of a newer version: its program makes it.
			_ = m.NakWithDelay(time.Minute)
			continue
		}
		// Where an answer to the store is lost, the call is handed out again.
		fn(Delivery{
			Call: c, Number: meta.Sequence.Stream, class: class,
			done:    func() { _ = m.Ack() },
			retry:   func(after time.Duration) { _ = m.NakWithDelay(after) },
			working: func() { _ = m.InProgress() },
		})
	}
}

func nextCall(ctx context.Context, consumer jetstream.Consumer) (jetstream.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, callWait)
	defer cancel()
	return consumer.Next(jetstream.FetchContext(ctx))
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
