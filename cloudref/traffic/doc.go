// Package traffic remembers what devices and the cloud said last, in the clear,
// and what that cost in bytes, for a page that shows it to the owner of a device.
//
// It is bounded: it knows the devices that were heard last, and of each the last
// lines. What it forgets is gone; the truth about bytes for a verdict is the
// harness's, which reads the wire on its own.
package traffic
