//go:build !linux

package doctor

import (
	"errors"
	"net"
	"syscall"
)

func pathMTU(net.Conn) int { return 0 }

func refused(err error) error {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return ErrRefused
	}
	return err
}
