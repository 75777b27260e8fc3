//go:build !linux

package rigs

import "syscall"

func mortal() *syscall.SysProcAttr { return nil }
