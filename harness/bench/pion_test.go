package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	piondtls "github.com/pion/dtls/v2"
	"github.com/pion/transport/v2/dpipe"
)

// pionConfigs returns what makes pion do the same as our handshake: mutual, one
// suite, cookie, extended master secret not forced, nothing verified but the
// proofs. The keys are in certificates, because pion knows no raw ones.
func pionConfigs() (server, client *piondtls.Config) {
	cloud, device := certificates()
	config := func() *piondtls.Config {
		return &piondtls.Config{
			CipherSuites:       []piondtls.CipherSuiteID{piondtls.TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8},
			InsecureSkipVerify: true,
			ConnectContextMaker: func() (context.Context, func()) {
				return context.WithTimeout(context.Background(), 2*time.Minute)
			},
		}
	}
	server, client = config(), config()
	server.Certificates = append(server.Certificates, cloud)
	server.ClientAuth = piondtls.RequireAnyClientCert
	client.Certificates = append(client.Certificates, device)
	return server, client
}

// pionPairs are connections of pion, to be closed together.
type pionPairs struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (p *pionPairs) add(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, conns...)
}

func (p *pionPairs) close() {
	var wait sync.WaitGroup
	for _, c := range p.conns {
		wait.Go(func() { _ = c.Close() }) // the peer may be gone already
	}
	wait.Wait()
	p.conns = nil
}

// handshakeInMemory connects two pions by a pipe.
func (p *pionPairs) handshakeInMemory(server, client *piondtls.Config) (cloud, device *piondtls.Conn, err error) {
	here, there := dpipe.Pipe()
	type result struct {
		conn *piondtls.Conn
		err  error
	}
	accepted := make(chan result, 1)
	go func() {
		conn, err := piondtls.Server(there, server)
		accepted <- result{conn, err}
	}()
	device, err = piondtls.Client(here, client)
	got := <-accepted
	if err := errors.Join(err, got.err); err != nil {
		return nil, nil, fmt.Errorf("pion: %w", err)
	}
	p.add(device, got.conn)
	return got.conn, device, nil
}

// A pionCloud accepts connections over UDP.
type pionCloud struct {
	listener net.Listener
	accepted chan net.Conn
	failed   chan error
}

// newPionCloud shakes up to workers hands at a time.
func newPionCloud(config *piondtls.Config, workers int) (*pionCloud, error) {
	listener, err := piondtls.Listen("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, config)
	if err != nil {
		return nil, fmt.Errorf("pion: %w", err)
	}
	c := &pionCloud{listener: listener, accepted: make(chan net.Conn, 4096), failed: make(chan error, workers)}
	for range workers {
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					c.failed <- err
					return
				}
				c.accepted <- conn
			}
		}()
	}
	return c, nil
}

// accept returns the next connection.
func (c *pionCloud) accept() (net.Conn, error) {
	select {
	case conn := <-c.accepted:
		return conn, nil
	case err := <-c.failed:
		return nil, fmt.Errorf("pion: accepting: %w", err)
	}
}

func (c *pionCloud) close() { _ = c.listener.Close() }

// dial makes one device.
func (c *pionCloud) dial(config *piondtls.Config) (*piondtls.Conn, error) {
	conn, err := piondtls.Dial("udp4", c.listener.Addr().(*net.UDPAddr), config)
	if err != nil {
		return nil, fmt.Errorf("pion: dialling: %w", err)
	}
	return conn, nil
}

// connect makes n devices, parallel at a time, and returns them and the
// cloud's ends in the order of their arrival.
func (c *pionCloud) connect(config *piondtls.Config, n, parallel int) (devices, clouds []net.Conn, err error) {
	turns := make(chan struct{}, n)
	for range n {
		turns <- struct{}{}
	}
	close(turns)
	var mu sync.Mutex
	var wait sync.WaitGroup
	for range min(parallel, n) {
		wait.Go(func() {
			for range turns {
				device, dialErr := c.dial(config)
				mu.Lock()
				if dialErr != nil {
					err = errors.Join(err, dialErr)
				} else {
					devices = append(devices, device)
				}
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	for range len(devices) {
		conn, acceptErr := c.accept()
		if acceptErr != nil {
			return devices, clouds, acceptErr
		}
		clouds = append(clouds, conn)
	}
	return devices, clouds, err
}
