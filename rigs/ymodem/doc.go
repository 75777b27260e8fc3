// Package ymodem sends a firmware image over a board's console, as Device OS up
// to 5.x takes it in listening mode.
//
//	Sender   the protocol as a pure machine
//	Send     the machine on a port, from the letter f to the board's last word
//
// Device OS (system/src/system_ymodem.cpp): blocks of 128 or 1024 bytes, block 0
// with name and size; the receiver answers ACK, then C, to block 0 and ACK to the
// others; it does not look at the CRC, and answers EOT only after it has judged
// the image.
//
// What this package is not: a way into listening mode. It speaks to a board that
// listens.
package ymodem
