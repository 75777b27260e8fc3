package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// clusterPatience is how long a cluster may take to elect its leaders when a node
// starts: machines that start together need some time.
const clusterPatience = 30 * time.Second

// clusterRetry is how often it is asked meanwhile.
const clusterRetry = 500 * time.Millisecond

// openURL connects to a cluster. The error says what to do.
func openURL(ctx context.Context, c Config) (*jet, error) {
	if c.KeyFile == "" {
		return nil, errors.New("store: a cluster needs a key file: make one with NewKeyFile and give every node a copy")
	}
	key, err := readKey(c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	files, err := c.Files.options()
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	end, warned := time.Now().Add(clusterPatience), false
	for {
		j, err := connect(ctx, c, dialURL(c.URL, files), key)
		if err == nil {
			return j, nil
		}
		if !electing(err) || time.Now().After(end) || ctx.Err() != nil {
			return nil, fmt.Errorf("store: NATS at %s: %w", redact(c.URL), explain(err))
		}
		if !warned {
			c.Warn("storage: the NATS cluster has no leader yet; waiting for it")
			warned = true
		}
		pause(ctx, clusterRetry)
	}
}

// electing reports whether an error may go away by itself, when leaders are
// elected.
func electing(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.Code == 503
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, ErrUnavailable)
}

// explain adds to an error of a connection what to do.
func explain(err error) error {
	var api *jetstream.APIError
	var network net.Error
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &untrusted):
		return fmt.Errorf("%w: name the file with the certificate of who vouches for the server, or use the name in the server's certificate", err)
	case errors.Is(err, nats.ErrSecureConnWanted):
		return fmt.Errorf("%w: the server has no TLS; use nats:// in its URL", err)
	case strings.Contains(err.Error(), "tls: certificate required"), strings.Contains(err.Error(), "tls: bad certificate"),
		strings.Contains(err.Error(), "closed by remote after TLS handshake"):
		return fmt.Errorf("%w: the server wants a certificate that it knows of this machine too", err)
	case errors.Is(err, nats.ErrNoServers), errors.Is(err, nats.ErrTimeout) && !errors.As(err, &api):
		return fmt.Errorf("%w: no NATS server answers there; start it, or correct the URL (nats://HOST:4222, several with commas)", err)
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired):
		return fmt.Errorf("%w: put user and password, or a token, into the URL (nats://USER:PASSWORD@HOST:4222), or name the file of credentials", err)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%w: the server has no JetStream for this account; start it with nats-server -js", err)
	case errors.Is(err, ErrKeyLost), errors.Is(err, ErrWrongKey):
		return fmt.Errorf("%w; copy it from the data directory of a node that runs", err)
	case errors.As(err, &api) && strings.Contains(api.Description, "no suitable peers"), errors.As(err, &api) && strings.Contains(api.Description, "insufficient"):
		return fmt.Errorf("%w: each record is kept by three servers; start three with JetStream and storage", err)
	case errors.As(err, &api) && api.Code == 503:
		return fmt.Errorf("%w: the cluster has no leader; more than half of its servers must run and reach one another", err)
	case errors.As(err, &network):
		return fmt.Errorf("%w: correct the URL (nats://HOST:4222, several with commas)", err)
	default:
		return err
	}
}
