// Package loadtest runs a scenario: it turns a workload into what devices of a
// fleet do, and what becomes of it into records.
//
//	run, err := loadtest.Run(ctx, loadtest.Options{
//		Scenario: s, Cloud: loadtest.Cloud{UDP: addr, EC: key}, Keys: keys, Member: list, Sink: sink,
//	})
//
// A [Sink] hears of every interval while the run goes on; the [record.Run] is what
// is left in the end. A [Part] is a range of the scenario's devices: parts of one
// scenario may run in other processes and on other machines, and what they measure
// adds up to what one run of the whole would have measured.
//
// How it works: each shard of the fleet has a feed (feed.go), which takes its turns
// from the streams of package workload and does them to devices on the shard's own
// goroutine, and a book (book.go), in which the same goroutine writes what happened.
// The conductor (conduct.go) only keeps the time: it closes the books once an
// interval, and ends the run. All of it works the same way on sockets and in
// virtual time (engine.go).
//
// What this package is not: a judge (package scenario), a view, or a format of
// files (package record).
package loadtest
