package control

import "time"

// A Transport makes control transfers to one board.
type Transport interface {
	// Control makes one control transfer and waits at most timeout. It fills data
	// when the data stage comes in, and sends it otherwise; n is the length of
	// the data stage. Errors are or wrap [ErrGone], [ErrStall] or [ErrSilent]
	// where that is known.
	Control(s Setup, data []byte, timeout time.Duration) (n int, err error)
	// Close lets the board go.
	Close() error
}
