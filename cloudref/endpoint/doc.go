// Package endpoint is the reference cloud's node: it finds the session of each
// datagram and stream, and joins what the machines below it decide.
//
// The way of a datagram from a device:
//
//	Datagram (udp.go) -> cookie gate, half-open handshake (halfopen.go), or session by
//	connection id, trailer or address (index.go) -> link.Link -> device (device.go)
//	-> app.Device -> held until durable (durable.go) -> link.Link -> out
//
// The way of a TCP stream: StreamData (tcp.go) -> lightssl handshake -> link.Link
// -> the same device.
//
// A [Node] is a transport.Host. It starts no goroutine, reads no clock and opens
// no socket, so the same node serves real sockets and a seeded run in virtual
// time. It is safe for concurrent use: each device has a mutex, no two of which
// are ever held together. What concerns another device, and what the store
// completes, becomes a job (jobs.go) that runs after the lock was released.
//
// What this package is not: it decides nothing about messages (package app
// does), stores nothing itself (package store does), and checks no token of the
// API (package cloudref does).
package endpoint
