package bench

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/dtls"
)

// clientConfig is that of a device of today, serverConfig that of the cloud which
// knows it.
func clientConfig() *dtls.ClientConfig {
	return &dtls.ClientConfig{Gen: dtls.GenF, Key: deviceKey, ServerKey: &cloudKey.PublicKey, Rand: rand.Reader}
}

func serverConfig() *dtls.ServerConfig {
	known := string(dtls.SPKI(&deviceKey.PublicKey))
	return &dtls.ServerConfig{Key: cloudKey, Rand: rand.Reader, Verify: func(spki []byte) error {
		if string(spki) != known {
			return dtls.ErrUnknownKey
		}
		return nil
	}}
}

// A size is one datagram of a conversation.
type size struct {
	up    bool
	bytes int
}

// An arena is where a device and a cloud meet without a network.
type arena struct {
	client   *dtls.ClientConfig
	server   *dtls.ServerConfig
	gate     *dtls.Gate
	up, down dtls.Out
	sizes    []size // of the last handshake
}

func newArena() *arena {
	return &arena{client: clientConfig(), server: serverConfig(), gate: dtls.NewGate(rand.Reader, 0, dtls.GateFaults{})}
}

var errNotEstablished = errors.New("the handshake did not end")

// handshake does a full mutual handshake, cookie included, and returns both
// sessions.
func (a *arena) handshake() (device, cloud *dtls.Session, err error) {
	const now = clock.Instant(0)
	peer := []byte("127.0.0.1:40000")
	var server *dtls.Server
	client := dtls.NewClient(a.client)
	a.sizes = a.sizes[:0]
	a.up.Reset()
	client.Start(now, &a.up)
	for range 4 {
		a.down.Reset()
		for _, d := range a.up.Datagrams {
			a.sizes = append(a.sizes, size{true, len(d)})
			if server != nil {
				server.Receive(now, d, &a.down)
			} else if a.gate.Receive(now, peer, d, &a.down) == dtls.Admitted {
				server = dtls.NewServer(a.server)
				server.Receive(now, d, &a.down)
			}
		}
		if cloud, err = established(&a.down, cloud); err != nil {
			return nil, nil, err
		}
		a.up.Reset()
		for _, d := range a.down.Datagrams {
			a.sizes = append(a.sizes, size{false, len(d)})
			client.Receive(now, d, &a.up)
		}
		if device, err = established(&a.up, device); err != nil {
			return nil, nil, err
		}
		if device != nil && cloud != nil {
			return device, cloud, nil
		}
	}
	return nil, nil, errNotEstablished
}

func established(out *dtls.Out, s *dtls.Session) (*dtls.Session, error) {
	for i := range out.Events {
		switch e := &out.Events[i]; e.Kind {
		case dtls.EventEstablished:
			s = e.Session
		case dtls.EventFailed:
			return nil, fmt.Errorf("handshake: %w", e.Err)
		default:
			return nil, fmt.Errorf("unexpected event: %v", e.Kind)
		}
	}
	return s, nil
}
