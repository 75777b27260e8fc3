// Package usbfs makes control transfers through Linux's usbfs, the nodes below
// /dev/bus/usb: one ioctl, without cgo. A request to the device itself claims no
// interface, so it goes beside the driver of a serial port or a hub.
//
// What this package is not: a protocol. Packages control and power know what to ask.
package usbfs
