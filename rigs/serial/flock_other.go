//go:build !linux

package serial

// Hold does nothing here: the lock file and the system tell others.
func Hold(string) (release func(), err error) { return func() {}, nil }
