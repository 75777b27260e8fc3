package bench

import (
	"errors"
	"fmt"
	"net"
	"sync"
)

// share divides n operations among window workers.
func share(n, window int, work func(worker, n int) error) error {
	var wait sync.WaitGroup
	failed := make([]error, window)
	for w := range window {
		part := n / window
		if w < n%window {
			part++
		}
		if part > 0 {
			wait.Go(func() { failed[w] = work(w, part) })
		}
	}
	wait.Wait()
	return errors.Join(failed...)
}

// postPion sends the bytes of our message through connections of pion and gets
// those of an acknowledgement back. Nobody looks at them.
func postPion(window int) (*Entrant, func(), error) {
	server, client := pionConfigs()
	cloud, err := newPionCloud(server, 8)
	if err != nil {
		return nil, nil, err
	}
	pairs := &pionPairs{}
	devices, clouds, err := cloud.connect(client, window, 8)
	pairs.add(devices...)
	pairs.add(clouds...)
	if err != nil {
		return nil, nil, err
	}
	for _, conn := range clouds {
		go acknowledge(conn)
	}
	up := reading.Append(nil)
	e := &Entrant{Name: "pion", Do: func(n int) error {
		return share(n, window, func(w, n int) error {
			down := make([]byte, 100)
			for range n {
				if _, err := devices[w].Write(up); err != nil {
					return fmt.Errorf("pion: writing: %w", err)
				}
				if _, err := devices[w].Read(down); err != nil {
					return fmt.Errorf("pion: reading: %w", err)
				}
			}
			return nil
		})
	}}
	return e, func() { pairs.close(); cloud.close() }, nil
}

// acknowledge answers everything with four bytes until conn is closed.
func acknowledge(conn net.Conn) {
	buf := make([]byte, 100)
	for {
		if _, err := conn.Read(buf); err != nil {
			return
		}
		if _, err := conn.Write([]byte{0x60, 0, buf[2], buf[3]}); err != nil {
			return
		}
	}
}
