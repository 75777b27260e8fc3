// Package bench measures the numbers that Muster promises, each beside its floor
// (what the kernel or the public-key operations alone cost) and beside pion/dtls
// doing the same on the same machine in the same minute:
//
//	go test ./harness/bench -run '^TestNumbers$' -count=1 -v -args -numbers
//
// A [Contest] lets the entrants take turns and compares CPU time, because a clock
// on the wall measures the neighbours too. docs/numbers.md says what each line
// means.
//
// What this package is not: a test that fails when the machine is slow, and not a
// profile (go test -bench in the packages themselves is).
package bench
