package bench

import (
	"bytes"
	"context"
	"fmt"
	"time"

	piondtls "github.com/pion/dtls/v3"
	"github.com/plgd-dev/go-coap/v3/dtls"
	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/mux"
	"github.com/plgd-dev/go-coap/v3/net"
	"github.com/plgd-dev/go-coap/v3/options"
	"github.com/plgd-dev/go-coap/v3/udp/client"
)

// Both ends have a pre-shared key: only records are compared, and their suite is
// ours.
var (
	goCoAPKey   = piondtls.WithPSK(func([]byte) ([]byte, error) { return []byte("bench"), nil })
	goCoAPHint  = piondtls.WithPSKIdentityHint([]byte("bench"))
	goCoAPSuite = piondtls.WithCipherSuites(piondtls.TLS_PSK_WITH_AES_128_CCM_8)
)

// goCoAPMax bounds the messages of a turn: go-coap remembers each for 247 s and
// looks through them, so more of them would measure the past.
const goCoAPMax = 500

// postGoCoAP posts with go-coap over pion 3.
func postGoCoAP(window int) (*Entrant, func(), error) {
	listener, err := net.NewDTLSListener("udp4", "127.0.0.1:0", net.NewDTLSServerOptions(goCoAPKey, goCoAPHint, goCoAPSuite))
	if err != nil {
		return nil, nil, fmt.Errorf("go-coap: listening: %w", err)
	}
	routes := mux.NewRouter()
	_ = routes.Handle("/E/temperature", mux.HandlerFunc(func(w mux.ResponseWriter, _ *mux.Message) {
		_ = w.SetResponse(codes.Changed, message.TextPlain, nil) // the poster tells if it failed
	})) // the pattern is valid
	server := dtls.NewServer(options.WithMux(routes))
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	var conns []*client.Conn
	closeAll := func() {
		for _, c := range conns {
			_ = c.Close() // the server may be gone already
		}
		server.Stop()
		<-served
		_ = listener.Close()
	}
	for range window {
		c, err := dtls.Dial(listener.Addr().String(), dtls.NewDTLSClientOptions(goCoAPKey, goCoAPHint, goCoAPSuite))
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("go-coap: dialling: %w", err)
		}
		conns = append(conns, c)
	}
	e := &Entrant{Name: "go-coap", Max: goCoAPMax, Do: func(n int) error {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		return share(n, window, func(w, n int) error {
			for range n {
				answer, err := conns[w].Post(ctx, "/E/temperature", message.TextPlain, bytes.NewReader(reading.Payload))
				if err != nil {
					return fmt.Errorf("go-coap: posting: %w", err)
				}
				if answer.Code() != codes.Changed {
					return fmt.Errorf("go-coap: answered %s", answer.Code())
				}
			}
			return nil
		})
	}}
	return e, closeAll, nil
}
