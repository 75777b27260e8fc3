package store

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// startTimeout bounds the start of the server, which reads its files. A million
// sessions after a crash take seconds.
const startTimeout = 5 * time.Minute

// An embedded is a NATS server inside this process. It has no port, handles no
// signal and prints nothing. One whose disk failed is replaced when the disk is well
// again: see heal.go.
type embedded struct {
	dir string
	c   Config

	mu     sync.Mutex
	server *server.Server
	log    *serverLog
	// doubt is why what the server stores cannot be relied on, although it runs.
	doubt string

	stopped chan struct{}
	healing sync.WaitGroup
}

func newEmbedded(dir string, c Config) (*embedded, error) {
	e := &embedded{dir: dir, c: c, stopped: make(chan struct{})}
	var err error
	e.server, e.log, err = startServer(dir, c)
	return e, err
}

func startServer(dir string, c Config) (*server.Server, *serverLog, error) {
	s, err := server.NewServer(&server.Options{
		ServerName:             "muster",
		DontListen:             true,
		NoSigs:                 true,
		NoLog:                  true,
		DisableJetStreamBanner: true,
		JetStream:              true,
		StoreDir:               dir,
		// The space on the disk is ours to watch. Left at zero, the limit is
		// three quarters of what happened to be free at the start.
		JetStreamMaxStore: 1 << 50,
		SyncInterval:      SyncInterval,
		SyncAlways:        c.SyncAlways,
		// The only client is this process. It must not be thrown out for being
		// slow while all cores are busy with handshakes.
		MaxPending:    256 << 20,
		WriteDeadline: time.Minute,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("starting the storage: %w", err)
	}
	log := &serverLog{warn: c.Warn}
	s.SetLoggerV2(log, false, false, false)
	s.Start()
	if err := log.fatal(); err != nil {
		stopServer(s)
		return nil, nil, fmt.Errorf("starting the storage: %w", err)
	}
	if !s.ReadyForConnections(startTimeout) {
		stopServer(s)
		return nil, nil, errors.New("starting the storage: it is not ready in time")
	}
	return s, log, nil
}

func stopServer(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

func (e *embedded) dial(opts ...nats.Option) (*nats.Conn, error) {
	return nats.Connect("", append(opts, nats.InProcessServer(e))...)
}

// InProcessConn implements [nats.InProcessConnProvider], with the server that runs
// now.
func (e *embedded) InProcessConn() (net.Conn, error) {
	e.mu.Lock()
	s := e.server
	e.mu.Unlock()
	return s.InProcessConn()
}

func (e *embedded) stop() {
	close(e.stopped)
	e.healing.Wait()
	stopServer(e.server)
}

// broken returns why nothing is stored, empty if all is well.
func (e *embedded) broken() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.doubt != "" {
		return e.doubt
	}
	return e.log.brokenDisk()
}

// lastError returns the last error that the server logged, empty if none.
func (e *embedded) lastError() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.log.lastError()
}

// A serverLog takes the server's log: notices are dropped, warnings passed on,
// errors kept as well, to tell why the storage does not answer.
type serverLog struct {
	warn func(string)

	mu     sync.Mutex
	last   string // error
	reason string // of the server's end
	broken string // why nothing more is stored until the next start
}

// criticalErrors are in what the server logs when it has given up a stream, or all,
// because the disk failed. It does not answer to writes then, nor say so to who waits.
var criticalErrors = [...]string{"critical write error", "will be disabled"}

var _ server.Logger = (*serverLog)(nil)

func (*serverLog) Noticef(string, ...any) {}
func (*serverLog) Debugf(string, ...any)  {}
func (*serverLog) Tracef(string, ...any)  {}

func (l *serverLog) Warnf(format string, v ...any) { l.warn("storage: " + fmt.Sprintf(format, v...)) }

func (l *serverLog) Errorf(format string, v ...any) {
	line := fmt.Sprintf(format, v...)
	l.mu.Lock()
	l.last = line
	for _, text := range criticalErrors {
		if l.broken == "" && strings.Contains(strings.ToLower(line), text) {
			l.broken = line
		}
	}
	l.mu.Unlock()
	l.warn("storage: " + line)
}

// brokenDisk returns why the server stores nothing more, empty if it does.
func (l *serverLog) brokenDisk() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

// Fatalf does not end the process, as the name would suggest: the server shuts
// itself down, and Open returns the reason.
func (l *serverLog) Fatalf(format string, v ...any) {
	line := fmt.Sprintf(format, v...)
	l.mu.Lock()
	l.reason = line
	l.mu.Unlock()
	l.warn("storage: " + line)
}

func (l *serverLog) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reason == "" {
		return nil
	}
	return errors.New(strings.TrimSpace(l.reason))
}

// lastError returns the last error that the server logged, empty if none.
func (l *serverLog) lastError() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}
