// Package target brings up what is judged: the reference cloud and simulated
// devices of many Device OS generations, on real sockets of the loopback
// interface or on a virtual network, with a tap on the wire between them.
//
// An [Env] is what checks work with. Its devices are handles: a check tells a
// [Device] what to do and waits for what the device says happened, but judges by
// the packets that crossed the wire ([Device.Packets]), which the capture decoder
// read on its own.
//
// What this package is not: a judge.
package target
