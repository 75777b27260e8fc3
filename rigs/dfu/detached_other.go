//go:build !unix

package dfu

import "syscall"

func detached() *syscall.SysProcAttr { return nil }
