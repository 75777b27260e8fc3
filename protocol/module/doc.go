// Package module reads, makes and judges the images of Device OS firmware
// modules (PDC-7), what an update carries:
//
//	[vector table 512]  prefix 24  [extensions]  body  [extensions | product words]  suffix 36  CRC-32
//
// [Parse] and [Module.Append] are the format. [Target] makes the checks of a
// cloud before it sends an image, [Board] those of a device that has received
// one, in the device's order and with its error numbers.
//
// All integers are little-endian except the CRC. An image file is one module, or
// two, of which the first has the flag [Combined].
//
// What this package is not: a linker, or a judge of code. Assets and combined
// images are modules too.
package module
