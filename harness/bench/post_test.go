package bench

import "fmt"

// posts are confirmable messages and their acknowledgements on live sessions, over
// sockets: one at a time, where every datagram wakes somebody, and many.
func (r *run) posts() error {
	for _, window := range []int{1, 64} {
		if err := r.post(window); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) post(window int) error {
	muster, sizes, closeMuster, err := postOurs(window)
	if err != nil {
		return err
	}
	defer closeMuster()
	floor, closeFloor, err := postFloor(sizes)
	if err != nil {
		return err
	}
	defer closeFloor()
	pion, closePion, err := postPion(window)
	if err != nil {
		return err
	}
	defer closePion()
	gocoap, closeGoCoAP, err := postGoCoAP(window)
	if err != nil {
		return err
	}
	defer closeGoCoAP()
	if err := r.contest.Run(floor, muster, pion, gocoap); err != nil {
		return err
	}
	row := Row{What: fmt.Sprintf("confirmable POST and its ACK, per side, %d at a time", window), Unit: "µs CPU", Target: "≤ 8 µs"}
	row.compare(muster, floor, pion)
	row.GoCoAP = gocoap.Cost()
	for _, x := range []*float64{&row.Ours, &row.Floor, &row.Pion, &row.GoCoAP} {
		*x /= 2 // the process is both sides
	}
	row.Judge(8, 5.5)
	r.rows = append(r.rows, row)
	return nil
}

// postFloor is the kernel with datagrams of our sizes.
func postFloor(sizes []size) (*Entrant, func(), error) {
	k, err := newKernel()
	if err != nil {
		return nil, nil, err
	}
	return &Entrant{Name: "floor", Do: times(func() error {
		for _, s := range sizes {
			if err := k.carry(s.up, s.bytes); err != nil {
				return err
			}
		}
		return nil
	})}, k.close, nil
}
