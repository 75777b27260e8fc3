package bench

import (
	"fmt"
	"net/netip"

	"github.com/muster/muster/transport/udp"
)

// handshakesOverUDP are the same handshakes over sockets: one after the other,
// where every datagram wakes somebody, and many at a time, as when a fleet comes
// back.
func (r *run) handshakesOverUDP() error {
	for _, parallel := range []int{1, 64} {
		if err := r.handshakeOverUDP(parallel); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) handshakeOverUDP(parallel int) error {
	floor, closeFloor, err := handshakeFloor()
	if err != nil {
		return err
	}
	defer closeFloor()
	muster, closeMuster, err := handshakeOurs(parallel)
	if err != nil {
		return err
	}
	defer closeMuster()
	pion, closePion, err := handshakePion(parallel)
	if err != nil {
		return err
	}
	defer closePion()
	if err := r.contest.Run(floor, muster, pion); err != nil {
		return err
	}
	row := Row{What: fmt.Sprintf("the same over UDP, %d at a time", parallel), Unit: "µs CPU", Target: "≤ 400 µs, pion ≥ 1.9 ×"}
	row.compare(muster, floor, pion)
	row.Judge(400, 306)
	if row.UnderPion < 1.9 {
		row.Reached = Missed
	}
	r.rows = append(r.rows, row)
	return nil
}

// handshakeFloor is the public-key operations, and the kernel with the datagrams
// of our handshake.
func handshakeFloor() (*Entrant, func(), error) {
	a := newArena()
	if _, _, err := a.handshake(); err != nil {
		return nil, nil, err
	}
	k, err := newKernel()
	if err != nil {
		return nil, nil, err
	}
	return &Entrant{Name: "floor", Do: times(func() error {
		for _, s := range a.sizes {
			if err := k.carry(s.up, s.bytes); err != nil {
				return err
			}
		}
		return asymmetric()
	})}, k.close, nil
}

func handshakeOurs(parallel int) (*Entrant, func(), error) {
	var devices *knockers
	cloud := newGatekeeper()
	e, err := serve(cloud, func(addr netip.AddrPort) udp.Handler {
		devices = newKnockers(addr, parallel)
		return devices
	})
	if err != nil {
		return nil, nil, err
	}
	return &Entrant{Name: "ours", Max: 2000, Do: func(n int) error { return devices.place(e, n) }}, e.close, nil
}

func handshakePion(parallel int) (*Entrant, func(), error) {
	server, client := pionConfigs()
	cloud, err := newPionCloud(server, parallel)
	if err != nil {
		return nil, nil, err
	}
	pairs := &pionPairs{}
	return &Entrant{Name: "pion", Max: 200, Clean: pairs.close, Do: func(n int) error {
		devices, clouds, err := cloud.connect(client, n, parallel)
		pairs.add(devices...)
		pairs.add(clouds...)
		return err
	}}, cloud.close, nil
}
