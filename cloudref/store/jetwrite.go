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
		if w.cas && w.expect == 0 && errors.Is(err, ErrConflict) {
			j.writeOverTombstone(w, done)
			return
		}
		done(r, err)
	})
}

func (j *jet) publish(w write, done func(Revision, error)) {
	msg := &nats.Msg{Subject: j.subject(w.bucket, w.key), Data: w.value}
	if w.delete {
		msg.Data = nil
		msg.Header = nats.Header{headerOperation: {operationDelete}, headerTTL: {tombstoneTTL}}
	}
	if w.cas {
		if msg.Header == nil {
			msg.Header = nats.Header{}
		}
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
	request, err := json.Marshal(map[string]string{"last_by_subj": j.subject(b, key)})
	if err != nil {
		done(entry{}, err)
		return
	}
	msg := &nats.Msg{Subject: "$JS.API.STREAM.MSG.GET." + bucketStream + b.String(), Data: request}
	j.requests.send(msg, func(m *nats.Msg, err error) {
		if err != nil {
			done(entry{}, err)
			return
		}
		done(parseStored(key, m.Data))
	})
}

// codeNoMessage is JetStream's for a subject that nobody wrote to.
const codeNoMessage = 10037

// parseStored reads an answer of the leader.
func parseStored(key string, b []byte) (entry, error) {
	var answer struct {
		Error   *apiError `json:"error"`
		Message struct {
			Sequence uint64 `json:"seq"`
			Header   []byte `json:"hdrs"`
			Data     []byte `json:"data"`
		} `json:"message"`
	}
	switch err := json.Unmarshal(b, &answer); {
	case err != nil:
		return entry{}, fmt.Errorf("%w: it answered %.80q", ErrUnavailable, b)
	case answer.Error != nil && answer.Error.ErrCode == codeNoMessage:
		return entry{}, ErrNotFound
	case answer.Error != nil:
		return entry{}, fmt.Errorf("%w: %s", ErrUnavailable, answer.Error.Description)
	case bytes.Contains(answer.Message.Header, []byte(headerOperation+": "+operationDelete)):
		return entry{}, ErrNotFound
	}
	return entry{key: key, value: answer.Message.Data, revision: Revision(answer.Message.Sequence)}, nil
}
