// Package control speaks Particle's USB control requests: what particle-usb and
// the CLI use to reset a board, change its mode, read its identity and its
// modules, and flash it.
//
//	Exchange   one request and its reply, as a pure machine
//	Transport  one control transfer: usbfs on Linux, a fake in tests
//	Device     requests by name, over a Transport
//	Responder  the board's side, for fakes
//
// A request is a chain of vendor requests to the device, all on the default
// endpoint:
//
//	INIT kind, size → (CHECK …) → SEND payload → CHECK … → RECV reply
//
// The firmware works on the request between two CHECKs, so the host polls.
//
// Device OS: firmware before 0.8.0 has none of this; Gen 3 has it since 0.9.0.
// Facts from system/src/usb_control_request_channel.cpp and from particle-usb.
//
// What this package is not: a claim on a board. Leases are package lease's.
package control
