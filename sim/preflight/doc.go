// Package preflight looks at a machine before a fleet runs on it, and says what would
// become the bottleneck and how to change it.
//
// [Look] gathers [Facts]; [Check] is pure and holds them against a [Plan].
package preflight
