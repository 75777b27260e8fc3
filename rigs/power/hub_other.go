//go:build !linux

package power

import (
	"errors"

	"github.com/muster/muster/rigs/inventory"
)

func usbHub(inventory.Tree, string) (func(on bool) error, error) {
	return nil, errors.New("hub ports are switched on Linux only: use a relay or a pdu")
}
