//go:build !linux

package tcp

import "syscall"

// bindLate does nothing: the system has no such option.
func bindLate(string, string, syscall.RawConn) error { return nil }
