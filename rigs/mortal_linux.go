package rigs

import "syscall"

// mortal has a program be told to end when its parent is killed.
func mortal() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }
