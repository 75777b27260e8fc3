// Package conformance judges devices and their cloud.
//
// A [Check] is a plain function that takes an environment and one generation of
// devices, does something, and records findings about what was seen on the
// wire. Checks are grouped into suites, one file each (suite_*.go). Ginkgo is a
// thin shell around them (shell.go): it selects, orders and interrupts, and no
// check knows it.
//
// What is required is data (package requirements), and so are the faults that
// prove a check (package mutants): Cover compares both with the suites.
//
// Run runs suites and returns a report; Command is the sub-command "muster
// conform". A program that has its own tests calls Run too.
//
// What this package is not: a judge by hearsay. A check that asks the target how
// it fared is a defect; the wire tells.
package conformance
