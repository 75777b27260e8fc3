package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A NATS server that could not write gives up for good. Here it is inside this process,
// which holds the sessions of devices, so it is replaced by a new one when the disk is
// well again. The new one reads what is on the disk, and nothing is acknowledged before
// that is known to hold all that was.

// healInterval is how often a failed disk is tried.
const healInterval = 2 * time.Second

// trialSize is how much must fit on a disk before it counts as well, in bytes.
const trialSize = 1 << 20

// acked is the newest that was acknowledged of each stream.
type acked struct {
	mu   sync.Mutex
	last map[string]Revision
}

// note reads the answer to a publication, and notes what it acknowledges.
func (a *acked) note(stream string, answer []byte) (Revision, error) {
	r, err := parseAck(answer)
	if err != nil {
		return r, err
	}
	a.stored(stream, r)
	return r, nil
}

// stored notes that all of a stream up to r is acknowledged.
func (a *acked) stored(stream string, r Revision) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last == nil {
		a.last = map[string]Revision{}
	}
	a.last[stream] = max(a.last[stream], r)
}

// newest returns a copy.
func (a *acked) newest() map[string]Revision {
	a.mu.Lock()
	defer a.mu.Unlock()
	newest := make(map[string]Revision, len(a.last))
	for stream, r := range a.last {
		newest[stream] = r
	}
	return newest
}

// heal watches the server of a data directory until the store is closed.
func (j *jet) heal() {
	e := j.embedded
	tick := time.NewTicker(healInterval)
	defer tick.Stop()
	for {
		select {
		case <-e.stopped:
			return
		case <-tick.C:
		}
		if e.broken() == "" || tryDisk(e.dir) != nil {
			continue
		}
		if err := e.replace(); err != nil {
			e.c.Warn("storage: the disk can be written again, but the storage does not start: " + err.Error())
			continue
		}
		lost, err := j.missing()
		switch {
		case lost != nil:
			// Memory and disk differ: only a start can bring them together.
			e.doubting("the disk can be written again, but " + lost.Error() + ": start the cloud again")
			e.c.Warn("storage: " + lost.Error() + ": nothing is stored until the cloud is started again")
			return
		case err != nil:
			e.c.Warn("storage: the disk can be written again, but the storage does not answer: " + err.Error())
		default:
			e.doubting("")
			e.c.Warn("storage: the disk can be written again, and all that was acknowledged is there")
		}
	}
}

// tryDisk reports whether a directory can be written.
func tryDisk(dir string) error {
	name := filepath.Join(dir, ".trial")
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, trialSize))
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(name))
}

// replace stops the server and starts another. Until somebody is sure of that one, it
// stores nothing.
func (e *embedded) replace() error {
	e.mu.Lock()
	old := e.server
	e.doubt = "the storage starts anew"
	e.mu.Unlock()
	stopServer(old)
	s, log, err := startServer(e.dir, e.c)
	if err != nil {
		e.doubting(err.Error())
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.server, e.log = s, log
	return nil
}

func (e *embedded) doubting(why string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.doubt = why
}

// missing compares what the server has with what was acknowledged. It returns what of
// that is lost, and an error if it cannot know.
func (j *jet) missing() (lost, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	for stream, newest := range j.acked.newest() {
		s, err := j.stream(ctx, stream)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("the records of %s are gone", stream), nil
		}
		if err != nil {
			return nil, err
		}
		if last := Revision(s.CachedInfo().State.LastSeq); last < newest {
			return fmt.Errorf("the last %d records of %s, which were acknowledged, are gone", newest-last, stream), nil
		}
	}
	return nil, nil
}

// stream returns a stream as soon as the connection has found the new server.
func (j *jet) stream(ctx context.Context, name string) (jetstream.Stream, error) {
	for {
		s, err := j.js.Stream(ctx, name)
		if err == nil || errors.Is(err, jetstream.ErrStreamNotFound) || ctx.Err() != nil {
			return s, err
		}
		pause(ctx, 100*time.Millisecond)
	}
}
