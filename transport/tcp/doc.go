// Package tcp moves streams between hosts and real sockets.
//
// An [Engine] accepts and dials. Each stream has one goroutine, which reads and
// calls the [Handler]; what is to be written waits in a bounded queue, so that
// nobody ever blocks on a peer. A peer that does not read loses its stream, and
// nobody else notices.
//
// What this package is not: a framing. A chunk is what one read returned.
package tcp
