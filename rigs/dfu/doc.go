// Package dfu drives dfu-util: reads and writes the memory of a board that is in
// DFU mode.
//
//	region.go   where keys and modules lie, by platform
//	tool.go     the program: found, run, its sentences understood
//	list.go     dfu-util -l
//
// The program and not a protocol of our own, because it is what every bench has,
// and because it handles bootloaders of ten years.
//
// What this package is not: the way into DFU mode, or out of a lease.
package dfu
