// Package command is the command line of fleets: "muster fleet" and its
// sub-commands.
//
//	command.go    muster fleet: make keys, and the quick run without a scenario
//	scenario.go   muster fleet run, muster fleet check
//	settings.go   flags that they share
//	cloud.go      where the cloud is, and which keys it has
//	members.go    which devices, with which keys
//	preflight.go  what of this machine will not do for a run
//	run.go        a run, and its exit code
//	watch.go      who watches it: screen, record, report, metrics, lines
//	workers.go    the same on many machines
//	summary.go    what is said in the end
//	preview.go    what a scenario would do, drawn
//
// What this package is not: the run itself (package loadtest).
package command
