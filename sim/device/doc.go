// Package device is a simulated Particle device: what a board running Device OS
// does with the messages of the cloud, and what it sends of its own accord.
//
// A [Device] is a machine: it takes time, bytes and wishes of the application,
// and gives [Action]s (datagrams, stream writes, dials) and [Event]s. One
// machine serves UDP and TCP, and every release from 0.5.3 to 6.2.0; what
// differs between releases it looks up in package profile and in the Dialect of
// package pdc. Two things outlive a reset: the driver's [Config], which many
// devices share, and the device's [NVRAM].
//
// A day of a device:
//
//	off --PowerOn--> waiting --> opening --> securing --> greeting --> settling --> online
//	                   ^           |            |            |            |           |
//	                   `--back-off-+------------+------------+------------+-----------'
//
// A resumed session skips securing, and greeting too when the cloud knows
// everything that Hello would tell.
//
// A driver gives each Device its turn and then acts on the [Out]:
//
//	d.Datagram(now, b, &out) // or StreamData, Advance, Publish, ...
//	for _, a := range out.Actions { ... }
//	for _, e := range out.Events { ... }
//	out.Reset()
//	timer.Set(d.Deadline())
//
// The evidence for all of this is TestRecordedConversations: each recording of
// real firmware in package fixtures is played to a Device, which must say what
// the firmware said.
//
// Rule labels: "PDC-5.1" is section 5.1 of the application protocol reference,
// "TRN-3.5" section 3.5 of the transport reference, "D-14", "N-24" and "R-76"
// their conformance points. Search for "Device OS:" to list what a board does
// against an RFC.
//
// What this package is not: a driver. It has no socket, no clock and no
// goroutine; package fleet has. It never shares logic with the cloud.
package device
