package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

func (j *jet) subject(b bucket, key string) string {
	return bucketSubject + b.String() + "." + key
}

func (j *jet) write(w write, done func(Revision, error)) {
	if s := j.requests.space; s != nil && !w.delete {
		if err := s.check(time.Now()); err != nil {
			done(0, err)
			return
		}
	}
	j.publish(w, func(r Revision, err error) {
		switch {
		case !w.cas || !errors.Is(err, ErrConflict):
			done(r, err)
		case w.by != "":
			j.writeOverOwn(w, done)
		case w.expect == 0:
			j.writeOverTombstone(w, done)
		default:
			done(r, err)
		}
	})
}

func (j *jet) publish(w write, done func(Revision, error)) {
	msg := &nats.Msg{Subject: j.subject(w.bucket, w.key), Data: w.value}
	if w.delete {
		msg.Data = nil
		msg.Header = nats.Header{headerOperation: {operationDelete}, headerTTL: {tombstoneTTL}}
	}
	if msg.Header == nil && (w.cas || w.by != "") {
		msg.Header = nats.Header{}
	}
	if w.by != "" {
		msg.Header[headerBy] = []string{w.by}
	}
	if w.cas {
		msg.Header[headerExpect] = []string{strconv.FormatUint(uint64(w.expect), 10)}
	}
	j.requests.send(msg, func(m *nats.Msg, err error) {
		if err != nil {
			done(0, err)
			return
		}
		done(j.acked.note(bucketStream+w.bucket.String(), m.Data))
	})
}

// writeOverTombstone repeats a write that asked for a new key: to JetStream a
// deleted key is not new.
func (j *jet) writeOverTombstone(w write, done func(Revision, error)) {
	j.last(w.bucket, w.key, func(m *nats.Msg, err error) {
		switch {
		case errors.Is(err, ErrNotFound): // the mark has just gone
		case err != nil:
			done(0, err)
			return
		case m.Header.Get(headerOperation) != operationDelete:
			done(0, ErrConflict)
			return
		default:
			w.expect = sequenceOf(m)
		}
		j.publish(w, done)
	})
}

// writeOverOwn repeats a write whose condition does not hold, if what is there was
// written by the same writer, who was not told; or is the mark of a deletion, where it
// asked for a new key.
func (j *jet) writeOverOwn(w write, done func(Revision, error)) {
	j.lastOfLeader(w.bucket, w.key, func(m storedMessage, err error) {
		own, deleted := m.header(headerBy) == w.by, m.header(headerOperation) == operationDelete
		switch {
		case errors.Is(err, ErrNotFound):
			w.expect = 0 // the mark has just gone
		case err != nil:
			done(0, err)
			return
		case own || deleted && w.expect == 0:
			w.expect = Revision(m.Sequence)
		default:
			done(0, ErrConflict)
			return
		}
		j.publish(w, done)
	})
}

// last gets the last message of a key, which may be the mark of its deletion.
func (j *jet) last(b bucket, key string, done func(*nats.Msg, error)) {
	api := "$JS.API.DIRECT.GET." + bucketStream + b.String() + "." + j.subject(b, key)
	j.requests.send(&nats.Msg{Subject: api}, func(m *nats.Msg, err error) {
		switch {
		case err != nil:
			done(nil, err)
		case m.Header.Get("Status") == "404":
			done(nil, ErrNotFound)
		case m.Header.Get("Status") != "":
			done(nil, fmt.Errorf("%w: %s %s", ErrUnavailable, m.Header.Get("Status"), m.Header.Get("Description")))
		default:
			done(m, nil)
		}
	})
}

func sequenceOf(m *nats.Msg) Revision {
	n, _ := strconv.ParseUint(m.Header.Get(headerSequence), 10, 64)
	return Revision(n)
}

func (j *jet) read(b bucket, key string, done func(entry, error)) {
	j.last(b, key, func(m *nats.Msg, err error) {
		if err == nil && m.Header.Get(headerOperation) == operationDelete {
			err = ErrNotFound
		}
		if errors.Is(err, ErrNotFound) && j.embedded == nil {
			j.latest(b, key, done) // a replica may lag behind what was just made
			return
		}
		if err != nil {
			done(entry{}, err)
			return
		}
		done(entry{key: key, value: m.Data, revision: sequenceOf(m)}, nil)
	})
}

// latest asks the leader of the stream, which no replica is ahead of.
func (j *jet) latest(b bucket, key string, done func(entry, error)) {
	if j.embedded != nil {
		j.read(b, key, done)
		return
	}
	j.lastOfLeader(b, key, func(m storedMessage, err error) {
		if err == nil && m.header(headerOperation) == operationDelete {
			err = ErrNotFound
		}
		if err != nil {
			done(entry{}, err)
			return
		}
		done(entry{key: key, value: m.Data, revision: Revision(m.Sequence)}, nil)
	})
}

// lastOfLeader gets the last message of a key, which may be the mark of its deletion,
// from the leader of its stream.
func (j *jet) lastOfLeader(b bucket, key string, done func(storedMessage, error)) {
	request, err := json.Marshal(map[string]string{"last_by_subj": j.subject(b, key)})
	if err != nil {
		done(storedMessage{}, err)
		return
	}
	msg := &nats.Msg{Subject: "$JS.API.STREAM.MSG.GET." + bucketStream + b.String(), Data: request}
	j.requests.send(msg, func(m *nats.Msg, err error) {
		if err != nil {
			done(storedMessage{}, err)
			return
		}
		done(parseStored(m.Data))
	})
}

// A storedMessage is a message as the leader of a stream has it.
type storedMessage struct {
	Sequence uint64 `json:"seq"`
	Header   []byte `json:"hdrs"`
	Data     []byte `json:"data"`
}

// header returns a header's value, "" without.
func (m *storedMessage) header(name string) string {
	_, rest, _ := bytes.Cut(m.Header, []byte("\r\n"+name+": "))
	value, _, _ := bytes.Cut(rest, []byte("\r\n"))
	return string(value)
}

// codeNoMessage is JetStream's for a subject that nobody wrote to.
const codeNoMessage = 10037

// parseStored reads an answer of the leader.
func parseStored(b []byte) (storedMessage, error) {
	var answer struct {
		Error   *apiError     `json:"error"`
		Message storedMessage `json:"message"`
	}
	switch err := json.Unmarshal(b, &answer); {
	case err != nil:
		return storedMessage{}, fmt.Errorf("%w: it answered %.80q", ErrUnavailable, b)
	case answer.Error != nil && answer.Error.ErrCode == codeNoMessage:
		return storedMessage{}, ErrNotFound
	case answer.Error != nil:
		return storedMessage{}, fmt.Errorf("%w: %s", ErrUnavailable, answer.Error.Description)
	}
	return answer.Message, nil
}
