//go:build unix

package dfu

import "syscall"

// detached puts a program into a process group of its own, so that the
// terminal's Ctrl-C does not reach it.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
