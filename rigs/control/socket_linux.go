package control

import (
	"errors"
	"fmt"
	"net"
	"net/rpc"
	"time"
)

// SocketName is the socket below the dev folder of a fake bench where its boards
// take control transfers: a program cannot serve an ioctl.
const SocketName = "usb"

// transferService is what is called over the socket.
const transferService = "Bus"

// A Remote is a control transfer on its way to a bench. It is exported for
// net/rpc.
type Remote struct {
	Path    string // USB path
	Setup   Setup
	Data    []byte // of the data stage, if it goes to the board
	Timeout time.Duration
}

// A Transferred is what became of it.
type Transferred struct {
	N     int
	Data  []byte // of the data stage, if it came from the board
	Error string // empty: none
}

// known are the errors that cross the socket as themselves.
var known = []error{ErrGone, ErrStall, ErrSilent}

// ServeSocket answers control transfers at a socket with the boards that open
// opens by USB path, until the listener is closed.
func ServeSocket(socket string, open func(path string) (Transport, error)) (net.Listener, error) {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("a socket for control transfers: %w", err)
	}
	server := rpc.NewServer()
	if err := server.RegisterName(transferService, &socketBus{open}); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			go server.ServeConn(conn)
		}
	}()
	return listener, nil
}

type socketBus struct {
	open func(path string) (Transport, error)
}

// Control makes a transfer for somebody else. It is exported for net/rpc.
func (b *socketBus) Control(t Remote, answer *Transferred) error {
	board, err := b.open(t.Path)
	if err != nil {
		answer.Error = err.Error()
		return nil
	}
	defer board.Close() //nolint:errcheck // a transfer holds nothing
	data := t.Data
	if t.Setup.In() {
		data = make([]byte, t.Setup.Length)
	}
	answer.N, err = board.Control(t.Setup, data, t.Timeout)
	switch {
	case err != nil:
		answer.Error = err.Error()
		for _, k := range known {
			if errors.Is(err, k) {
				answer.Error = k.Error()
			}
		}
	case t.Setup.In():
		answer.Data = data[:answer.N]
	}
	return nil
}

// socketBoard is a board behind a socket.
type socketBoard struct {
	path   string
	client *rpc.Client
}

func dialSocket(socket, path string) (Transport, error) {
	client, err := rpc.Dial("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("USB %s: the fake bench is gone (%w): start \"muster rig fake\" again, or unset its variables", path, err)
	}
	return &socketBoard{path, client}, nil
}

// Control implements Transport.
func (b *socketBoard) Control(s Setup, data []byte, timeout time.Duration) (int, error) {
	t := Remote{Path: b.path, Setup: s, Timeout: timeout}
	if !s.In() {
		t.Data = data
	}
	var answer Transferred
	if err := b.client.Call(transferService+".Control", t, &answer); err != nil {
		return 0, fmt.Errorf("USB %s: %w (%w)", b.path, ErrGone, err)
	}
	for _, k := range known {
		if answer.Error == k.Error() {
			return 0, fmt.Errorf("USB %s: %w", b.path, k)
		}
	}
	if answer.Error != "" {
		return 0, fmt.Errorf("USB %s: %s", b.path, answer.Error)
	}
	copy(data, answer.Data)
	return answer.N, nil
}

// Close implements Transport.
func (b *socketBoard) Close() error { return b.client.Close() }
