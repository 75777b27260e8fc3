// Package fleets holds tests of fleets against the reference cloud, each party a
// process of its own, as its users have them: what one side reports is compared
// with what the other side counted.
//
// What this package is not: code. There is nothing to import.
package fleets
