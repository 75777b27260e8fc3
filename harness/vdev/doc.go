// Package vdev is a simulated device as a program of its own, which behaves as the
// virtual device of Device OS does (TRN-6.7): it takes who it is from vdev.conf, the
// environment or its command line, finds its cloud in the blob with the server key,
// always on the ports 5684 and 5683, keeps its session in memory only, prints its log
// and its serial port, and executes itself again when it has been updated.
//
// Tests run it by executing themselves: see [Main].
//
// What this package is not: a product. Users bring their own programs.
package vdev
