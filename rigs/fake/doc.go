// Package fake is a board that nobody needs to buy: a whole Particle board on
// pseudo-terminals, with the sysfs tree, the USB hub and the cables around it.
//
// A [Bench] stands for the host: its Sys and Dev folders take the place of /sys
// and /dev. A [Board] on it has consoles that answer as Device OS does in
// listening mode, sees 14,400 and 28,800 baud touches from the change of speed,
// restarts, comes back under another number, hangs, and loses power when its
// hub port is switched off, if the port is honest. Inside it may run a [Device],
// which a test or the harness fills with a simulated one that really connects
// to a cloud.
//
//	bench, err := fake.NewBench(t.TempDir())
//	board, err := bench.Add(fake.Spec{Serial: id, Platform: 13, DeviceOS: "6.2.0", Path: "1-1.4"})
//	// hand bench.Sys() and bench.Dev() to the code under test
//
// What a pseudo-terminal cannot show is missing: real modem lines (a [Pin] of
// the board stands for them), break, parity, and the timing of a bus. Nothing
// here proves anything about a real kernel driver.
//
// What this package is not: shared with what it tests. It was written from what
// boards do, and imports none of the packages that drive them.
package fake
