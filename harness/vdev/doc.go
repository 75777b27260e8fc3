// Package vdev is a simulated device as a program of its own, which behaves as the
// virtual device of Device OS does (TRN-6.7, and its HAL for gcc): it takes who it is
// from vdev.conf, then its command line, then the environment; finds its cloud in the
// blob with the server key, always on the ports 5684 and 5683; binds port 5684 of all
// addresses; keeps its session in memory only; logs nothing unless it is told to; has
// its serial port at standard input and output; ends when it is reset, and executes
// itself again when it was updated.
//
// Tests run it by executing themselves: see [Main].
//
// What this package is not: a product. Users bring their own programs.
package vdev
