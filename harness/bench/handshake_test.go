package bench

// handshakeInMemory is a full mutual handshake, both ends and the cookie, without
// a network.
func (r *run) handshakeInMemory() error {
	ours, pions := newArena(), &pionPairs{}
	server, client := pionConfigs()
	floor := &Entrant{Name: "floor", Do: times(asymmetric)}
	muster := &Entrant{Name: "ours", Do: times(func() error {
		_, _, err := ours.handshake()
		return err
	})}
	pion := &Entrant{Name: "pion", Max: 200, Clean: pions.close, Do: times(func() error {
		_, _, err := pions.handshakeInMemory(server, client)
		return err
	})}
	if err := r.contest.Run(floor, muster, pion); err != nil {
		return err
	}
	row := Row{What: "full mutual handshake, both ends, in memory", Unit: "µs CPU", Target: "≤ 1.15 × floor"}
	row.compare(muster, floor, pion)
	row.Reached = reached(row.OverFloor <= 1.15)
	r.rows = append(r.rows, row)
	return nil
}
