// Package plan decides how a fleet is spread over workers: who runs which devices,
// when a lease is over, what is counted and what is missing.
//
//	Split        a fleet in parts: ranges of devices
//	Coordinator  gives parts to workers and takes them from silent ones
//	Worker       knows which parts it may run, and until when
//	Ledger       adds up what arrives, each thing once
//	Clock        what time it is elsewhere, and how precisely that is known
//
// A part has one lease at a time, with an epoch that grows with each owner. All
// changes of a lease are compare-and-set on its revision, so two parties never
// both believe that theirs succeeded. Nobody compares clocks of machines:
//
//	worker        sends a renewal ............ acknowledged
//	              |---- 3/4 of the lease: then it has stopped ----|
//	coordinator          sees it
//	                     |---- the lease: then it gives the part away ----|
//
// The worker counts from before the coordinator can have seen the renewal, and
// less. So as long as clocks run equally fast to a quarter, and a worker that
// wants to stop can, no two workers send for a part at a time.
//
// All types are machines: time and messages go in, messages come out. What this
// package is not: NATS, or devices.
package plan
