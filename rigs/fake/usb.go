//go:build linux

package fake

import "errors"

// A Setup is the first stage of a USB control transfer to a board (USB 2.0,
// section 9.3).
type Setup struct {
	RequestType, Request uint8
	Value, Index, Length uint16
}

// In reports whether data goes from the board to the host.
func (s Setup) In() bool { return s.RequestType&0x80 != 0 }

// Errors of control transfers, as usbfs has them.
var (
	ErrStall   = errors.New("fake: the board stalls: it does not know the request (EPIPE)")
	ErrGone    = errors.New("fake: the board is not on the bus (ENODEV)")
	ErrTimeout = errors.New("fake: the board does not answer (ETIMEDOUT)")
)

// A Function answers the control transfers of a board in one of its modes: data
// is what the host sends; what it returns is cut to the Length. An error stalls.
// It may call the board's methods. Calls for one board come one at a time.
type Function interface {
	Control(b *Board, s Setup, data []byte) ([]byte, error)
}

// Functions are what a board offers on endpoint 0, by mode; nil stalls.
type Functions struct {
	Running Function // application, listening and safe mode: vendor requests of Device OS
	DFU     Function // the bootloader
}

// Control does a control transfer with the board as the host would do it over
// usbfs: into data for requests of direction in, from it else. It returns the
// length of the data stage.
func (b *Board) Control(s Setup, data []byte) (int, error) {
	b.control.Lock()
	defer b.control.Unlock()
	b.mu.Lock()
	mode, present, hung := b.mode, b.present, b.hung
	b.mu.Unlock()
	switch {
	case !present:
		return 0, ErrGone
	case hung:
		return 0, ErrTimeout
	}
	f := b.spec.Functions.Running
	if mode == DFU {
		f = b.spec.Functions.DFU
	}
	if f == nil {
		return 0, ErrStall
	}
	if s.In() {
		answer, err := f.Control(b, s, nil)
		return copy(data, answer[:min(len(answer), int(s.Length))]), err
	}
	_, err := f.Control(b, s, data)
	if err != nil {
		return 0, err
	}
	return len(data), nil
}
