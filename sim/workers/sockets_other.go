//go:build !linux

package workers

// sockets is for how many devices there are sockets.
func sockets(addresses int) int { return 10_000 * max(1, addresses) }
