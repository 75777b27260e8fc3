// Package fleet runs many simulated devices at once: the driver of the machines
// of package device.
//
// A fleet holds devices by number, from 0 in the order of Add. There are two
// kinds, with the same commands:
//
//   - [Real] has sockets. Devices are spread over shards, one a core, each with
//     its own sockets and one device at a time at work. On loopback every device has an
//     address of its own on sockets that the shard shares; for a cloud elsewhere
//     every device has a socket of its own.
//   - [Virtual] has a place for every device on a vnet.Network, in virtual time:
//     equal seeds give equal runs.
//
// Commands are asynchronous: they are queued for the device's shard and may be
// given from anywhere, observers included. What came of them is an event:
//
//	f, err := fleet.NewReal(fleet.Options{UDP: cloud})
//	first, err := f.Add(fleet.Spec{Config: config, ID: id})
//	go f.Run(ctx)
//	f.PowerOn(first)
//	err = f.WaitOnline(ctx, first)
//
// A [Feed] gives a shard what to do without a queue, a [Meter] hears of every byte, a
// [Net] loses and delays datagrams: package loadtest uses all three.
//
// What this package is not: behavior of devices (package device), a workload or
// a judge. It never looks into a packet.
package fleet
