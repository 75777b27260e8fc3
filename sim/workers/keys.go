package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/muster/muster/sim/workers/plan"
)

// What is in the bucket, each under the id of its run and a dot.
const (
	keyRun         = "run"         // Notice: what everybody may know
	keyCoordinator = "coordinator" // seat: who coordinates
	keyPlan        = "plan"        // []plan.Part
	keyBegin       = "begin"       // start
	keyStop        = "stop"        // stop: it is over, or to end
	keyFor         = "for"         // .SESSION: admission
	keyPart        = "part"        // .N: plan.Lease
)

// A Notice is what everybody on the server may know of a run.
type Notice struct {
	Protocol int           `json:"protocol"`
	Version  string        `json:"version"`
	Name     string        `json:"name"` // of the scenario
	Digest   string        `json:"digest"`
	Devices  int           `json:"devices"`
	Every    time.Duration `json:"every"`
	Length   time.Duration `json:"length"`
	Lease    time.Duration `json:"lease"`
	// Patience is how long workers go on without a coordinator.
	Patience time.Duration `json:"patience"`
}

// A seat is who coordinates a run.
type seat struct {
	Session string `json:"session"`
	Host    string `json:"host"`
	PID     int    `json:"pid"`
	Beat    uint64 `json:"beat"`
}

// A start is when the first phase begins, by the coordinator's clock.
type start struct {
	At time.Time `json:"at"`
}

// A stop is why a run is over.
type stop struct {
	Why string `json:"why"`
}

// An admission is what one worker gets.
type admission struct {
	Hello  plan.Hello `json:"hello"`  // as which it came
	Sealed []byte     `json:"sealed"` // a Job, for its key only
}

// A call is how a coordinator looks for workers, and says that it lives.
type call struct {
	Protocol int    `json:"protocol"`
	Version  string `json:"version"`
	Run      string `json:"run"`
	Session  string `json:"session"`
}

func key(run string, parts ...string) string { return run + "." + strings.Join(parts, ".") }

func partKey(run string, part int) string { return key(run, keyPart, strconv.Itoa(part)) }

// errMoved says that an entry was changed by somebody else.
var errMoved = errors.New("somebody else changed it")

// put stores an entry if it has the revision still; 0: if there is none. The error
// is errMoved, or that the server was not reached: then it may be stored or not.
func (b *Bus) put(ctx context.Context, k string, v any, revision uint64) (uint64, error) {
	value, err := json.Marshal(v)
	if err != nil {
		panic("workers: encoding an entry: " + err.Error())
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if revision == 0 {
		revision, err = b.kv.Create(ctx, k, value)
	} else {
		revision, err = b.kv.Update(ctx, k, value, revision)
	}
	var api *jetstream.APIError
	if errors.Is(err, jetstream.ErrKeyExists) || errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		return 0, fmt.Errorf("%s: %w", k, errMoved)
	}
	return revision, err
}

// get reads an entry. Its revision is 0 when there is none.
func (b *Bus) get(ctx context.Context, k string, v any) (revision uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	e, err := b.kv.Get(ctx, k)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(e.Value(), v); err != nil {
		return 0, fmt.Errorf("the entry %s is no entry of muster: %w", k, err)
	}
	return e.Revision(), nil
}
