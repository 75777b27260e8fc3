// Package flash brings a firmware image onto a board as one operation: the image
// is judged first, then it goes by one of four ways, then the board is asked what
// it runs.
//
//	image.go    what an image is, and whether it is for this board
//	way.go      the four ways: control request, DFU, YMODEM, over the air
//	verify.go   what the board says afterwards
//
// What this package is not: a builder or a downloader of images, or a lease.
package flash
