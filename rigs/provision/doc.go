// Package provision points a board at a cloud, and puts back what the board had.
//
// A board's keys are the one thing on a bench that money does not replace, so
// nothing is written before what it overwrites is on disk:
//
//	journal.go    what is owed to boards: one file each, private, written ahead
//	provision.go  save, register, write, restart, see it connect
//	restore.go    pay what is owed, after the lease or after a crash
//	blob.go       what is written; keys.go: what is read of it
//
// Only the server key (the cloud's public key and address) is ever written. The
// device's private key is read, saved and left alone.
//
// What this package is not: a way to make keys. A board that has none makes one
// when it starts.
package provision
