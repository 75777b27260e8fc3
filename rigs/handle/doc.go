// Package handle has one board do what an operation needs of it: be in DFU mode,
// listen, restart, answer a request; and finds it again each time it comes back.
//
// A board is its serial number and its USB path. In DFU mode the path alone must
// do: some bootloaders tell a serial number of their own.
//
// What this package is not: a lease. Whoever holds a handle has made sure that
// nobody else does.
package handle
