package store

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func (j *jet) appendEvent(e Event, once string, done func(Revision, error)) {
	if s := j.requests.space; s != nil {
		if err := s.check(time.Now()); err != nil {
			done(0, err)
			return
		}
	}
	msg := &nats.Msg{
		Subject: eventSubjectOf(&e),
		Data:    e.append(make([]byte, 0, eventHeadLen+len(e.Body))),
	}
	if e.Node != (NodeID{}) {
		msg.Header = nats.Header{headerNode: {e.Node.String()}}
		if e.To != (DeviceID{}) {
			msg.Header[headerTo] = []string{e.To.String()}
		}
		if e.Product != 0 {
			msg.Header[headerProduct] = []string{fmt.Sprintf("%d.%d", e.Product, e.Version)}
		}
	}
	j.once(msg, once)
	j.requests.send(msg, func(m *nats.Msg, err error) {
		if err != nil {
			done(0, err)
			return
		}
		done(j.acked.note(eventStream, m.Data))
	})
}

// once names a message, where copies of it may be sent.
func (j *jet) once(msg *nats.Msg, name string) {
	if name == "" || j.embedded != nil {
		return
	}
	if msg.Header == nil {
		msg.Header = nats.Header{}
	}
	msg.Header[nats.MsgIdHdr] = []string{name}
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
	if node := m.Headers().Get(headerNode); node != "" {
		if e.Node, err = ParseNodeID(node); err != nil {
			return e, err
		}
		if to, err := ParseDeviceID(m.Headers().Get(headerTo)); err == nil {
			e.To = to
		}
		if _, err := fmt.Sscanf(m.Headers().Get(headerProduct), "%d.%d", &e.Product, &e.Version); err != nil {
			e.Product, e.Version = 0, 0 // none
		}
	}
	return e, e.parse(m.Data())
}
