// Package cloudref is the reference cloud: a local Particle Device Cloud that
// real boards and simulated ones connect to.
//
// [Start] opens the sockets (UDP for DTLS, TCP for the first boards) and the
// store, and returns a [Cloud] with which a program registers devices, calls
// functions, reads variables, publishes, listens and sends firmware. Below it,
// package endpoint finds sessions, package app decides about messages, package
// store remembers.
//
// What this package is not: a hosted service. There is one process, one key
// pair, and whoever holds the Cloud may do anything.
package cloudref
