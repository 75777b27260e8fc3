package bench

import (
	"fmt"

	piondtls "github.com/pion/dtls/v2"
	"github.com/pion/transport/v2/dpipe"

	"github.com/muster/muster/protocol/dtls"
)

// restore is what brings a stored session back, and apart from that what its
// first record costs, whose key is not expanded yet.
func (r *run) restore() error {
	device, cloud, err := newArena().handshake()
	if err != nil {
		return err
	}
	state := cloud.Export()
	stored := state.Append(nil)
	record, err := device.Seal(nil, dtls.TypeApplication, make([]byte, 20))
	if err != nil {
		return fmt.Errorf("sealing: %w", err)
	}
	var s dtls.Session
	restoring := &Entrant{Name: "restore", Do: times(func() error {
		st, err := dtls.ParseState(stored)
		if err != nil {
			return err
		}
		s.Restore(&st)
		return nil
	})}
	buf := make([]byte, len(record))
	first := &Entrant{Name: "restore and first record", Do: times(func() error {
		if err := restoring.Do(1); err != nil {
			return err
		}
		copy(buf, record)
		_, _, _, err := s.Open(buf)
		return err
	})}
	pion, closePion, err := pionRestore()
	if err != nil {
		return err
	}
	defer closePion()
	if err := r.contest.Run(restoring, first, pion); err != nil {
		return err
	}
	row := Row{What: "restore a stored session, window kept", Unit: "µs CPU", Target: "≤ 5 µs"}
	row.compare(restoring, nil, pion)
	row.Reached = reached(row.Ours <= 5)
	with := Row{What: "the same and its first record opened", Unit: "µs CPU", Target: "≤ 5 µs"}
	with.compare(first, nil, nil)
	with.Reached = reached(with.Ours <= 5)
	r.rows = append(r.rows, row, with)
	return nil
}

// pionRestore is the import of pion's state, which loses the replay window.
func pionRestore() (e *Entrant, closeAll func(), err error) {
	pairs := &pionPairs{}
	server, client := pionConfigs()
	cloud, _, err := pairs.handshakeInMemory(server, client)
	if err != nil {
		return nil, nil, err
	}
	state := cloud.ConnectionState()
	stored, err := state.MarshalBinary()
	if err != nil {
		return nil, nil, fmt.Errorf("pion: storing: %w", err)
	}
	resumed := &pionPairs{}
	e = &Entrant{Name: "pion", Max: 1000, Clean: resumed.close, Do: times(func() error {
		var st piondtls.State
		if err := st.UnmarshalBinary(stored); err != nil {
			return fmt.Errorf("pion: reading: %w", err)
		}
		here, _ := dpipe.Pipe()
		conn, err := piondtls.Resume(&st, here, server)
		if err != nil {
			return fmt.Errorf("pion: resuming: %w", err)
		}
		resumed.add(conn)
		return nil
	})}
	return e, pairs.close, nil
}
