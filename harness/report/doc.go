// Package report turns what checks found into something a person or a build
// server reads: a table in the terminal, JUnit, JSON and one self-contained
// HTML page.
//
// [Run] is the whole result and the only input of every form. A [Result] is one
// check on one generation of devices. [Verdict] is the ladder on which results
// are added up.
//
// What this package is not: a judge. Checks decide; this package adds up and
// draws.
package report
