//go:build !linux

package control

import "errors"

// OpenUSB opens the board at a USB path. It is there on Linux only.
func OpenUSB(string) (Transport, error) {
	return nil, errors.New("control requests need Linux: flash and provision with --by dfu here, or run the rig on Linux")
}
