package workers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What coordinators and workers share on a server.
const (
	Bucket = "muster-fleet"         // runs, leases
	Stream = "muster-fleet-samples" // what was measured

	subjectSamples = "muster.fleet.samples." // and the run's id: in the stream
	subjectCall    = "muster.fleet.call"     // a coordinator looks for workers
	subjectHello   = "muster.fleet.hello."   // and the run's id: a worker is there
	subjectClock   = "muster.fleet.clock."   // and the run's id: what time is it?
	subjectRefused = "muster.fleet.refused." // and the session's: why not
)

const (
	// keep is how long the server keeps a run that nobody has cleared away.
	keep = 24 * time.Hour
	// duplicates is for how long the server itself knows a batch again. What comes
	// later is known again by the coordinator.
	duplicates = 10 * time.Minute
	// answerTime bounds how long the server may take to answer.
	answerTime = 10 * time.Second
	// startTime bounds how long it may take to begin: clusters elect leaders.
	startTime = 30 * time.Second
)

// A Server says how to reach NATS.
type Server struct {
	URL   string // nats://HOST:4222, several with commas
	Creds string // file with credentials; "": none but those of the URL
	CA    string // file with a certificate authority for TLS; "": the system's
}

// A Bus is a connection to a server, and what is shared there.
type Bus struct {
	conn    *nats.Conn
	js      jetstream.JetStream
	kv      jetstream.KeyValue
	stream  jetstream.Stream
	largest int // bytes of a message
}

// Dial connects to a server and makes there what is missing. The error says what to
// do. say hears of connections that are lost and come back.
func Dial(ctx context.Context, s Server, who string, say func(string)) (*Bus, error) {
	options := []nats.Option{
		nats.Name(who), nats.MaxReconnects(-1), nats.ReconnectWait(500 * time.Millisecond), nats.Timeout(answerTime),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				say(fmt.Sprintf("the connection to NATS is lost (%v): trying again", err))
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { say("connected to NATS again") }),
	}
	for _, file := range []string{s.Creds, s.CA} {
		if file == "" {
			continue
		}
		if _, err := os.Stat(file); err != nil {
			return nil, fmt.Errorf("workers: reading what is needed to connect to NATS: %w", err)
		}
	}
	if s.Creds != "" {
		options = append(options, nats.UserCredentials(s.Creds))
	}
	if s.CA != "" {
		options = append(options, nats.RootCAs(s.CA))
	}
	conn, err := nats.Connect(s.URL, options...)
	if err != nil {
		return nil, fmt.Errorf("workers: NATS at %s: %w", redact(s.URL), explain(err))
	}
	b, err := newBus(ctx, conn)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("workers: NATS at %s: %w", redact(s.URL), explain(err))
	}
	return b, nil
}

// newBus makes the bucket and the stream, waiting for a cluster to elect its leaders.
func newBus(ctx context.Context, conn *nats.Conn) (*Bus, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	b := &Bus{conn: conn, js: js, largest: int(conn.MaxPayload())}
	for {
		once, done := context.WithTimeout(ctx, answerTime)
		err := b.open(once)
		done()
		var api *jetstream.APIError
		if err == nil {
			return b, nil
		}
		if electing := errors.As(err, &api) && api.Code == 503 && api.ErrorCode != jetstream.JSErrCodeJetStreamNotEnabled; !electing || ctx.Err() != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (b *Bus) open(ctx context.Context) error {
	if _, err := b.js.AccountInfo(ctx); err != nil {
		return err
	}
	err := b.make(ctx, 3)
	if err != nil && ctx.Err() == nil {
		err = b.make(ctx, 1)
	}
	return err
}

// make makes the bucket and the stream unless they are there.
func (b *Bus) make(ctx context.Context, replicas int) (err error) {
	if b.kv, err = b.js.KeyValue(ctx, Bucket); errors.Is(err, jetstream.ErrBucketNotFound) {
		b.kv, err = b.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: Bucket, Description: "fleets of muster: runs, and who has which devices", History: 1, TTL: keep, Replicas: replicas,
		})
		if errors.Is(err, jetstream.ErrBucketExists) {
			b.kv, err = b.js.KeyValue(ctx, Bucket) // somebody else was first
		}
	}
	if err != nil {
		return err
	}
	if b.stream, err = b.js.Stream(ctx, Stream); errors.Is(err, jetstream.ErrStreamNotFound) {
		b.stream, err = b.js.CreateStream(ctx, jetstream.StreamConfig{
			Name: Stream, Description: "fleets of muster: what workers measured", Subjects: []string{subjectSamples + "*"},
			MaxAge: keep, Duplicates: duplicates, Replicas: replicas, Storage: jetstream.FileStorage,
		})
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			b.stream, err = b.js.Stream(ctx, Stream)
		}
	}
	return err
}

// Close ends the connection.
func (b *Bus) Close() { b.conn.Close() }

// explain adds to an error of a connection what to do.
func explain(err error) error {
	var api *jetstream.APIError
	var network net.Error
	switch {
	case errors.Is(err, nats.ErrNoServers), errors.Is(err, nats.ErrTimeout):
		return fmt.Errorf("%w: no NATS server answers there; start it, or correct the URL (nats://HOST:4222, several with commas)", err)
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired):
		return fmt.Errorf("%w: put user and password, or a token, into the URL (nats://USER:PASSWORD@HOST:4222), or give --nats-creds FILE", err)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%w: the server has no JetStream for this account; start it with nats-server -js", err)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &api) && api.Code == 503:
		return fmt.Errorf("%w: JetStream does not answer; more than half of the servers of a cluster must run and reach one another", err)
	case errors.As(err, &network):
		return fmt.Errorf("%w: correct the URL (nats://HOST:4222, several with commas)", err)
	default:
		return err
	}
}

// redact leaves out what may be a password.
func redact(urls string) string {
	list := strings.Split(urls, ",")
	for i, u := range list {
		if at := strings.LastIndexByte(u, '@'); at >= 0 {
			list[i] = "…" + u[at:]
		}
	}
	return strings.Join(list, ",")
}
